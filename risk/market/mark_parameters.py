"""The figures of the rules that make marks, under a version that every quality names. What they mean: `marks`."""

from __future__ import annotations

from dataclasses import dataclass

from risk.market.snapshot import AHEAD_LIMIT_S


@dataclass(frozen=True, kw_only=True)
class MarkParameters:
    """The rules of the guards. A change of any figure is a new version; snapshots name the version that made them."""

    version: str
    quote_age_limit_s: int = 180  # as Deribit's index
    peg_age_limit_s: int = 3_600  # a stablecoin moves less than what is quoted in it
    ahead_limit_s: float = AHEAD_LIMIT_S
    fresh_s: float = 90.0  # a minute bar is up to a minute old when it closes
    half_life_s: float = 60.0  # of a vote: in a fast market a price of two minutes ago should hardly count
    perpetual_share: float = 0.25  # of a perpetual's turnover counts
    # Of spot's votes, where spot trades `turnover_usd_min` a day. With a perpetual on its side a second spot venue then
    # needs a third of the first one's volume to carry the median.
    perpetual_votes_max: float = 0.25
    # Of spot's votes, for one venue that two others can contradict: just less than half, so that the median, which goes
    # half way when the votes are even, stays within the others.
    single_votes_max: float = 0.499_999
    witnesses_min: int = 2  # fresh spot venues besides it, each with `turnover_usd_min`: a thin pair is easily moved
    sources_good: int = 3
    # Between venues, and from the last mark: venues were apart by 5 on 10 October 2025; 10 is a misplaced digit.
    absurd_factor: float = 10.0
    outlier_bps: float = 200.0  # apart from the mark by more than this in calm markets is no spread
    outlier_share_max: float = 0.25  # a minority with more of the votes than this is a market, not an error
    divided_bps: float = 100.0  # between the sources
    turnover_usd_min: float = 1_000_000.0  # a day: below it anybody can move all sources
    unconfirmed_move_max: float = 0.25  # of a single source against the last mark: a crash looks like an error
    level_stands_s: int = 3_600  # a level `absurd_factor` away from the last mark, in look after look
    movement_bps_per_sqrt_minute: float = 10.0  # 4% a day, an ordinary volatility
    floor_bps: tuple[float, ...] = (250.0, 50.0, 5.0)  # with one, two, three or more sources


# Since 1: old votes are stale, however far apart. Since 2: no volume carries a mark alone or hides that others differ.
# Since 3: a level tenfold away from the last mark is not believed before it has stood.
STANDARD = MarkParameters(version="marks-4")
