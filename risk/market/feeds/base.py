"""What every feed is, when it speaks, and how a bar of prices becomes a snapshot.

A bar is known only when it has closed, so a snapshot is dated at the close. Feeds differ in where bars come from;
depth and implied volatility are derived here, the same way for all, from the calibrated parameters and the path of
prices so far. Standard library only: the feed process never loads array code.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from math import ceil, exp, inf, isfinite, log, sqrt
from types import MappingProxyType
from typing import Protocol

from risk.market.mark_parameters import STANDARD
from risk.market.marks import Mark, aged, is_absurd
from risk.market.parameters import COINS, CoinParameters, load_parameters, load_surfaces
from risk.market.quality import MarkQuality, MarkState
from risk.market.snapshot import DEFAULT_AGE_LIMITS_S, MarketSnapshot, Underlying
from risk.market.surface import AGE_LIMIT_S, VolSurface

CRASH_START = datetime(2025, 10, 10, 20, tzinfo=UTC)
CRASH_END = datetime(2025, 10, 11, tzinfo=UTC)
HOUR = timedelta(hours=1)
FIVE_MINUTES = timedelta(minutes=5)

DEPTH_MEMORY_DAYS = 0.5 / 24  # makers widen at once and are back within an hour or two
VOL_MEMORY_DAYS = 2.0  # implied volatility follows a few days of realised movement
DEPTH_FLOOR = 0.05  # assumption: at worst a twentieth of ordinary depth remains; the books of 10 October were not empty
VOL_RATIO_LIMITS = (0.5, 6.0)  # realised over calibrated volatility: beyond it the estimate is an artefact of one bar
FUNDING_8H = Decimal("0.0001")  # assumption: the interest component alone, where funding is not recorded
UNJUDGED = MarkQuality(MarkState.STALE, ceil(STANDARD.floor_bps[0]), STANDARD.version, ())  # of a mark of one source
NO_SURFACES: Mapping[str, VolSurface] = MappingProxyType({})
NO_DEPTHS: Mapping[str, Decimal] = MappingProxyType({})
TENOR_OF_BASIS_DAYS = 91  # assumption: forwards carry at the rate of one quarter, where no curve is recorded


class Feed(Protocol):
    """A source of snapshots in ascending time; `source` labels them, `first` and `last` bound them."""

    @property
    def source(self) -> str:
        """What the feed is: a recording, a reconstruction, a stated path."""
        ...

    @property
    def first(self) -> datetime:
        """Time of the earliest snapshot."""
        ...

    @property
    def last(self) -> datetime:
        """Time of the latest snapshot."""
        ...

    def bars(self, start: datetime, end: datetime) -> Iterator[MarketSnapshot]:
        """Every snapshot with start <= as_of <= end, ascending."""
        ...

    def next_after(self, moment: datetime) -> MarketSnapshot | None:
        """The first snapshot later than `moment`, or None when the feed has ended."""
        ...


def schedule(start: datetime, end: datetime) -> Iterator[datetime]:
    """Times of snapshots in [start, end]: every whole hour, and every five minutes in (20:00, 24:00] of
    10 October 2025, when an hour would hide the crash."""
    moment = start.replace(minute=0, second=0, microsecond=0)
    while moment <= end:
        if moment >= start:
            yield moment
        moment += FIVE_MINUTES if CRASH_START <= moment < CRASH_END else HOUR


@dataclass(frozen=True)
class Turnover:
    """USD traded on a mean day of those to `to`."""

    usd: Decimal
    to: date


NO_TURNOVERS: Mapping[str, Turnover] = MappingProxyType({})


@dataclass(frozen=True)
class CoinBar:
    """USD prices of one coin since the previous snapshot; `closed_at` is when its last trade bar closed."""

    close: Decimal
    high: float
    low: float
    closed_at: datetime


@dataclass(frozen=True)
class Bar:
    """All coins at one time. `qualities` of marks that were made from several sources; `usdc_peg` USD per USDC where it
    was observed, and `peg_quality` how sure that is, seen at `peg_observed_at`, where somebody judged it."""

    as_of: datetime
    coins: Mapping[str, CoinBar]
    qualities: Mapping[str, MarkQuality] = field(default_factory=dict)
    usdc_peg: Decimal = Decimal(1)
    peg_quality: MarkQuality | None = None
    peg_observed_at: datetime | None = None


@dataclass
class _CoinState:
    """Running variance per day of one coin, short memory and long, as of the bar `since`; and its last bar, with the
    range from `since` on. Bars that come faster than five minutes are folded in together, so that the figures do not
    depend on how often a market is looked at."""

    fast: float
    slow: float
    bar: CoinBar | None = None
    since: CoinBar | None = None
    high: float = 0.0
    low: float = inf

    def advance(self, bar: CoinBar) -> None:
        """Take the next bar; fold in the stretch that it ends when that is long enough."""
        self.bar = bar
        if self.since is None:
            self.since = bar
            return
        self.high, self.low = max(self.high, bar.high), min(self.low, bar.low)
        if bar.closed_at - self.since.closed_at >= FIVE_MINUTES:
            self.fast, self.slow = self.variances()
            self.since, self.high, self.low = bar, 0.0, inf

    def begin_again(self, bar: CoinBar) -> None:
        """Go on from a new level, as volatile as before: the step to it is in no variance."""
        self.fast, self.slow = self.variances()
        self.bar = self.since = bar
        self.high, self.low = 0.0, inf

    def variances(self) -> tuple[float, float]:
        """Short memory and long with what has happened since: the larger of the close-to-close and the range estimate;
        a stretch that is not over counts as five minutes."""
        if self.bar is None or self.since is None or self.low > self.high:
            return self.fast, self.slow
        days = max((self.bar.closed_at - self.since.closed_at).total_seconds(), 300.0) / 86_400.0
        move = log(float(self.bar.close) / float(self.since.close)) ** 2
        span = log(self.high / self.low) ** 2 / (4.0 * log(2.0))  # Parkinson (1980)
        rate = max(move, span) / days
        return (
            self.fast + (1.0 - exp(-days / DEPTH_MEMORY_DAYS)) * (rate - self.fast),
            self.slow + (1.0 - exp(-days / VOL_MEMORY_DAYS)) * (rate - self.slow),
        )


class SeriesFeed:
    """A feed over a known series of bars. Subclasses name their `source` and give `load`; bars load on first use."""

    source = ""

    def __init__(self) -> None:
        self._snapshots: list[MarketSnapshot] | None = None
        self._times: list[datetime] = []

    def load(self) -> Sequence[Bar]:
        """All bars of the series, ascending."""
        raise NotImplementedError

    @property
    def first(self) -> datetime:
        """Time of the earliest snapshot."""
        return self._all()[0].as_of

    @property
    def last(self) -> datetime:
        """Time of the latest snapshot."""
        return self._all()[-1].as_of

    def bars(self, start: datetime, end: datetime) -> Iterator[MarketSnapshot]:
        """Every snapshot with start <= as_of <= end, ascending."""
        snapshots = self._all()
        yield from snapshots[bisect_left(self._times, start) : bisect_right(self._times, end)]

    def next_after(self, moment: datetime) -> MarketSnapshot | None:
        """The first snapshot later than `moment`, or None when the series has ended."""
        snapshots = self._all()
        index = bisect_right(self._times, moment)
        return snapshots[index] if index < len(snapshots) else None

    def _all(self) -> list[MarketSnapshot]:
        if self._snapshots is None:
            self._snapshots = list(snapshots_of(self.load(), self.source))
            self._times = [snapshot.as_of for snapshot in self._snapshots]
        return self._snapshots


def snapshots_of(bars: Sequence[Bar], source: str) -> Iterator[MarketSnapshot]:
    """Snapshots of ascending bars; the first is that of the first bar by which every coin has been seen."""
    maker, surfaces = SnapshotMaker(source), {coin: one.surface for coin, one in load_surfaces().items()}
    for bar in bars:
        maker.advance(bar)
        if maker.coins_seen == COINS:
            yield maker.snapshot(bar, surfaces)


class SnapshotMaker:
    """Follows the path of prices bar by bar. A coin without a bar keeps its last mark and that mark's time, so it ages
    openly; a coin that was never seen is not in the market."""

    def __init__(self, source: str, age_limits_s: Mapping[str, int] = DEFAULT_AGE_LIMITS_S) -> None:
        parameters = load_parameters()
        self._source = source
        self._age_limits_s = age_limits_s
        self._parameters = parameters
        self._basis = next(rate for days, rate in parameters.rates if days == TENOR_OF_BASIS_DAYS)
        self._states = {coin: _CoinState(p.vol_now**2, p.vol_now**2) for coin, p in parameters.coins.items()}
        self._faults: dict[str, MarkQuality] = {}

    @property
    def coins_seen(self) -> tuple[str, ...]:
        """The coins that have had a bar, in alphabetical order."""
        return tuple(coin for coin in COINS if self._states[coin].bar is not None)

    def advance(self, bar: Bar) -> None:
        """Fold in the next bar, later than the last. A price that was not made from several sources is taken as it
        comes, but for one that cannot be a price: then the coin keeps its last mark, in doubt by name. A level tenfold
        away that several sources have shown for long enough is where a coin goes on from, and no move."""
        self._faults = {}
        for coin, coin_bar in bar.coins.items():
            state = self._states[coin]
            fault = "" if coin in bar.qualities else _fault(coin_bar, state.bar)
            if not fault and state.bar is not None and is_absurd(coin_bar.close, state.bar.close):
                state.begin_again(coin_bar)
            elif not fault:
                state.advance(coin_bar)
            elif state.bar is not None:
                kept = Mark(state.bar.close, state.bar.closed_at, UNJUDGED)
                self._faults[coin] = aged(kept, bar.as_of, {self._source: fault})

    def snapshot(
        self,
        bar: Bar,
        surfaces: Mapping[str, VolSurface] = NO_SURFACES,
        depths: Mapping[str, Decimal] = NO_DEPTHS,
        smiled: Collection[str] = (),
        turnovers: Mapping[str, Turnover] = NO_TURNOVERS,
    ) -> MarketSnapshot:
        """The market at `bar`, which was the last to be folded in; at least one coin has been seen. `depths` USD by
        coin, as order books show them, and `turnovers` of these days; a coin without has the calibrated ones.

        Of `surfaces` those are taken that are young enough then, and none of the future: without one the options of a
        coin have one volatility. The coins of `smiled` had one before: which of them have none now is said by name.
        """
        seen = self.coins_seen
        limit_s = self._age_limits_s.get("surface", AGE_LIMIT_S)
        fit = {c: one for c, one in surfaces.items() if 0 <= (bar.as_of - one.as_of).total_seconds() <= limit_s}
        coins = {
            c: _underlying(self._states[c], self._parameters.coins[c], self._basis, fit.get(c), depths.get(c))
            for c in seen
        }
        traded = {c: one for c, one in turnovers.items() if c in seen}
        of_today = {c: replace(coins[c], adv_usd=one.usd, turnover_to=one.to) for c, one in traded.items()}
        return MarketSnapshot(
            as_of=bar.as_of,
            source=self._source,
            underlyings=coins | of_today,
            rates=self._parameters.rates,
            usdc_peg=bar.usdc_peg,
            age_limits_s=self._age_limits_s,
            qualities={coin: quality for coin, quality in {**self._faults, **bar.qualities}.items() if coin in seen},
            peg_quality=bar.peg_quality,
            peg_observed_at=bar.peg_observed_at,
            lost_smiles=tuple(coin for coin in seen if coin in smiled and coin not in fit),
        )


def _fault(bar: CoinBar, last: CoinBar | None) -> str:
    """Why a bar of one source is no price; empty for one that may be."""
    if not (bar.close.is_finite() and isfinite(bar.high) and isfinite(bar.low)) or bar.close <= 0 or bar.low <= 0:
        return "no price"
    if not bar.low <= bar.high:
        return "crossed bar"
    if last is not None and is_absurd(bar.close, last.close):
        return "absurd price"
    if not bar.low <= float(bar.close) <= bar.high:
        return "close outside its bar"
    if is_absurd(Decimal(bar.high), bar.close) or is_absurd(Decimal(bar.low), bar.close):
        return "absurd range"
    return ""


def _underlying(
    state: _CoinState, ordinary: CoinParameters, basis: Decimal, surface: VolSurface | None, depth: Decimal | None
) -> Underlying:
    """Depth that no book shows shrinks in proportion to the volatility of the last hours; implied volatility follows
    the square root of the volatility ratio, since options price the days to come and not the last five minutes."""
    assert state.bar is not None
    fast, slow = state.variances()
    thinner = min(1.0, max(DEPTH_FLOOR, ordinary.vol_now / sqrt(fast)))
    low, high = VOL_RATIO_LIMITS
    dearer = sqrt(min(high, max(low, sqrt(slow) / ordinary.vol_now)))
    return Underlying(
        mark=state.bar.close,
        basis_annual=basis,
        funding_8h=FUNDING_8H,
        depth_usd=depth or Decimal(f"{float(ordinary.depth_usd) * thinner:.0f}"),
        adv_usd=ordinary.adv_usd,
        atm_vol=Decimal(f"{float(ordinary.atm_vol) * dearer:.4f}"),
        observed_at=state.bar.closed_at,
        surface=surface,
    )
