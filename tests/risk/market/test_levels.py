"""A move of a thousand times that most venues show is no mark at once, in either direction: it is named, the coin keeps
its last mark in doubt, nothing follows from it, and only a level that has stood for an hour is believed."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from intermediary.errors import Refusal
from risk.market.feeds.live import LiveFeed, LiveLimits
from risk.market.levels import Level, level_after
from risk.market.mark_parameters import STANDARD
from risk.market.marks import AbsurdMove, Mark, Quote, aged, mark_of
from risk.market.quality import MarkState
from risk.market.snapshot import MarketSnapshot
from risk.unsure import is_doubted
from tests.risk.builders import MARKS
from tests.risk.market.exchange_server import Exchanges, exchanges

NOW = datetime(2025, 10, 10, 21, 20, tzinfo=UTC)
LAST = Decimal(100)
HOUR = timedelta(seconds=STANDARD.level_stands_s)
LOOK = timedelta(seconds=10)


def quotes(*prices: str, now: datetime = NOW) -> list[Quote]:
    """Sources a, b, c, ... of one depth, a second old."""
    at = now - timedelta(seconds=1)
    return [Quote(source=source, price=Decimal(p), at=at, volume=1e6) for source, p in zip("abcdef", prices)]  # noqa: B905


def told(*prices: str, level: Level | None = None) -> AbsurdMove:
    with pytest.raises(AbsurdMove, match="no_mark") as refused:
        mark_of("AVAX", quotes(*prices), NOW, last=LAST, level=level)
    return refused.value


# Refusals first.


@pytest.mark.parametrize("shown", ["100000", "1001", "9.99", "0.1"])
@pytest.mark.parametrize("sources", [2, 3, 4])
def test_a_move_of_more_than_tenfold_that_all_show_is_refused_with_the_numbers(shown: str, sources: int) -> None:
    refused = told(*[shown] * sources)
    assert refused.price == Decimal(shown)
    assert refused.data["left_out"] == dict.fromkeys("abcd"[:sources], f"absurd move, {shown} after 100")
    assert refused.data["prices"] == dict.fromkeys("abcd"[:sources], shown)
    assert f"most sources say {shown} after 100" in refused.message


@pytest.mark.parametrize("shown", ["100000", "0.1"])
def test_two_of_three_do_not_carry_it_and_who_says_the_last_price_is_named_as_that(shown: str) -> None:
    assert told(shown, shown, "100").data["left_out"] == {
        "a": f"absurd move, {shown} after 100", "b": f"absurd move, {shown} after 100",
        "c": "near the last mark, against most",
    }  # fmt: skip


def test_one_source_alone_is_not_believed_whatever_level_has_stood() -> None:
    stood = Level(Decimal(100_000), NOW - HOUR, NOW - LOOK)
    with pytest.raises(Refusal, match="no_mark") as refused:
        mark_of("AVAX", quotes("100000"), NOW, last=LAST, level=stood)
    assert refused.value.data["left_out"] == {"a": "unconfirmed move"}


@pytest.mark.parametrize("state", [MarkState.GOOD, MarkState.DIVIDED, MarkState.SINGLE_SOURCE])
def test_the_mark_that_stays_is_stale_and_as_wide_as_what_is_shown_is_away(state: MarkState) -> None:
    refused = told("100000", "100000")
    calm = mark_of("AVAX", quotes("100", "100", "100"), NOW)
    kept = aged(Mark(calm.price, calm.observed_at, replace(calm.quality, state=state)), NOW, {}, STANDARD,
                refused.apart_bps)  # fmt: skip
    assert kept.state is MarkState.STALE
    assert kept.uncertainty_bps == pytest.approx(69_078, abs=2)  # 10,000 ln 1,000


# What passes at once.


@pytest.mark.parametrize("shown", ["33", "10.1", "999", "300"])
def test_a_fall_of_two_thirds_or_of_almost_nine_tenths_that_most_show_passes_at_once(shown: str) -> None:
    found = mark_of("AVAX", quotes(shown, shown, shown), NOW, last=LAST)
    assert (found.price, found.quality.state) == (Decimal(shown), MarkState.GOOD)
    assert mark_of("AVAX", quotes(shown, shown, "100"), NOW, last=LAST).price == Decimal(shown)


def test_a_first_mark_is_held_against_nothing() -> None:
    assert mark_of("AVAX", quotes("100000", "100000"), NOW).price == 100_000


# A level that stays.


def shown_for(duration: timedelta, price: str, step: timedelta = LOOK) -> Level:
    """The level after looks at one price, the last one a step ago."""
    level, at = None, NOW - step - duration
    while at <= NOW - step:
        level = level_after(level, Decimal(price), at, STANDARD)
        at += step
    assert level is not None
    return level


@pytest.mark.parametrize("shown", ["100000", "0.1"])
def test_a_level_is_believed_once_it_has_stood_for_an_hour_and_not_before(shown: str) -> None:
    told(shown, shown, level=shown_for(HOUR - 2 * LOOK, shown))
    found = mark_of("AVAX", quotes(shown, shown), NOW, last=LAST, level=shown_for(HOUR, shown))
    assert found.price == Decimal(shown)


def test_another_absurd_price_is_not_of_the_level_that_stood() -> None:
    told("100000", "100000", level=shown_for(HOUR, "2000"))
    told("0.1", "0.1", level=shown_for(HOUR, "100000"))


def test_a_level_begins_anew_after_a_pause_or_a_jump_and_goes_on_through_a_fall_look_by_look() -> None:
    stood = shown_for(HOUR, "2000")
    within = NOW + timedelta(seconds=STANDARD.quote_age_limit_s) - LOOK
    assert level_after(stood, Decimal(2_000), within, STANDARD).since == stood.since
    assert level_after(stood, Decimal(2_000), within + LOOK, STANDARD).since == within + LOOK
    assert level_after(stood, Decimal(1_600), NOW, STANDARD).since == stood.since
    assert level_after(stood, Decimal(1_500), NOW, STANDARD).since == NOW


# The live feed.

LIMITS = LiveLimits(
    timeout_s=2.0, deadline_s=4.0, step_s=0.01, backoff_s=0.01, backoff_max_s=0.02, keep_rate_limits=False
)


class World:
    """Exchanges, the platform's clock, and the feed between them."""

    def __init__(self, said: Exchanges) -> None:
        self.said = said
        self.ahead = timedelta()
        said.price = {coin: float(mark) for coin, mark in MARKS.items()} | {"USDC": 1.0, "USDT": 1.0}
        said.now = self.now
        self.feed = self.opened()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def opened(self) -> LiveFeed:
        return LiveFeed(self.now, limits=LIMITS, mirror=self.said.url)

    def look(self, later: timedelta = timedelta()) -> MarketSnapshot:
        self.ahead += later
        time.sleep(LIMITS.backoff_max_s)
        found = self.feed.next_after(self.feed.last if self.feed._snapshots else self.now() - LOOK)
        assert found is not None
        return found

    def times(self, factor: float, coin: str = "BTC", venues: tuple[str, ...] = ()) -> None:
        """All exchanges show the coin so many times as dear, or some of them do."""
        price = float(MARKS.get(coin, 1)) * factor
        for venue in venues or ("kraken", "coinbaseexchange", "bitstamp", "binance"):
            self.said.prices[venue, coin] = price


@pytest.fixture
def world() -> Iterator[World]:
    with exchanges() as running:
        made = World(running)
        yield made
        made.feed.close()


def figures(found: MarketSnapshot, coin: str = "BTC") -> tuple[Decimal, Decimal, Decimal]:
    item = found.underlyings[coin]
    return item.mark, item.atm_vol, item.depth_usd


@pytest.mark.parametrize("factor", [1_000.0, 0.001])
@pytest.mark.parametrize("venues", [(), ("kraken", "coinbaseexchange", "binance")])
def test_a_market_of_a_thousand_times_moves_no_figure_and_is_over_when_the_price_is_back(
    world: World, factor: float, venues: tuple[str, ...]
) -> None:
    world.look()
    calm = world.look(timedelta(minutes=1))
    world.times(factor, venues=venues)
    for _ in range(2):
        found = world.look(timedelta(minutes=2))
        assert figures(found) == figures(calm), "the last mark, and no volatility or depth of what is not believed"
        quality = found.qualities["BTC"]
        assert is_doubted(quality, 10**9), "no new risk on it"
        assert quality.state is MarkState.STALE
        assert quality.uncertainty_bps > 60_000
        reasons = {seen.source: seen.left_out for seen in quality.left_out}
        assert len(reasons) == 4
        assert reasons["kraken"].startswith("absurd move, ")
        assert reasons["bitstamp"].startswith("near the last mark" if venues else "absurd move, ")
        assert found.underlyings["BTC"].observed_at == calm.underlyings["BTC"].observed_at
        assert found.qualities["ETH"].state is MarkState.GOOD, "others go on"
    world.said.prices = {}
    back = world.look(timedelta(minutes=2))
    assert back.qualities["BTC"].state is MarkState.GOOD
    assert back.qualities["BTC"].uncertainty_bps < 20
    assert back.mark("BTC") == pytest.approx(calm.mark("BTC"), rel=Decimal("1e-9"))
    assert back.underlyings["BTC"].atm_vol <= calm.underlyings["BTC"].atm_vol
    assert back.underlyings["BTC"].depth_usd >= calm.underlyings["BTC"].depth_usd


def test_the_next_process_does_not_believe_it_either(world: World) -> None:
    calm = world.look()
    world.times(1_000.0)
    held = world.look(timedelta(minutes=1))
    world.feed.close()
    world.feed = world.opened()
    world.feed.resume(MarketSnapshot.from_json(held.to_json()))
    found = world.look(timedelta(minutes=1))
    assert found.mark("BTC") == calm.mark("BTC")
    assert found.qualities["BTC"].uncertainty_bps > 60_000
    world.said.prices = {}
    assert world.look(timedelta(minutes=1)).qualities["BTC"].uncertainty_bps < 20


@pytest.mark.parametrize("factor", [1_000.0, 0.001])
def test_a_coin_that_was_counted_anew_goes_on_from_its_level_after_an_hour_as_volatile_as_before(
    world: World, factor: float
) -> None:
    world.look()
    calm = world.look(timedelta(minutes=1))
    world.times(factor)
    minutes = 0
    while world.look(timedelta(minutes=2)).qualities["BTC"].state is MarkState.STALE:
        minutes += 2
    assert 58 <= minutes <= 62
    found = world.look(timedelta(minutes=2))
    assert float(found.mark("BTC")) == pytest.approx(float(MARKS["BTC"]) * factor)
    assert not is_doubted(found.qualities["BTC"], 250), "though few dollars trade where the price is a thousandth"
    assert found.underlyings["BTC"].atm_vol <= calm.underlyings["BTC"].atm_vol, "the step is in no variance"
    assert found.underlyings["BTC"].depth_usd >= calm.underlyings["BTC"].depth_usd
    world.times(factor * 1.02)
    moved = world.look(timedelta(minutes=2))
    assert moved.underlyings["BTC"].atm_vol > found.underlyings["BTC"].atm_vol, "and moves from there on are"


def test_a_fall_of_two_thirds_within_a_look_is_a_market_like_any_other(world: World) -> None:
    world.look()
    calm = world.look(timedelta(minutes=1))
    world.times(0.33)
    found = world.look(timedelta(minutes=1))
    assert float(found.mark("BTC")) == pytest.approx(float(MARKS["BTC"]) * 0.33)
    assert found.qualities["BTC"].state is MarkState.GOOD
    assert found.underlyings["BTC"].atm_vol > calm.underlyings["BTC"].atm_vol


def test_usdc_at_a_thousand_dollars_moves_nothing_and_is_never_a_level(world: World) -> None:
    world.look()
    world.times(1_000.0, "USDC")
    found = world.look(timedelta(minutes=1))
    assert found.usdc_peg == 1
    assert found.peg_quality is not None
    assert found.peg_quality.state is MarkState.STALE
    assert not world.feed._levels
