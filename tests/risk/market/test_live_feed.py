"""The live feed against exchanges on loopback in their own formats: what fails costs certainty, not the market."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from intermediary.errors import BadInput, Refusal
from risk.market.exchanges import VENUES, client_of
from risk.market.feeds.live import LiveFeed, LiveLimits, _quote
from risk.market.parameters import COINS
from risk.market.quality import MarkState
from risk.market.snapshot import MarketSnapshot
from risk.unsure import is_doubted
from tests.risk.builders import MARKS
from tests.risk.market.exchange_server import Exchanges, exchanges
from tests.risk.market.feed_contract import assert_contract

# A request to this machine takes milliseconds, and over a second when other tests have it; what is slow takes three.
LIMITS = LiveLimits(
    timeout_s=2.0, deadline_s=4.0, step_s=0.01, backoff_s=0.01, backoff_max_s=0.02, keep_rate_limits=False
)
NAMES = tuple(venue.name for venue in VENUES)


class Platform:
    """The platform's clock, which a test can set ahead."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
def world(platform: Platform) -> Iterator[Exchanges]:
    with exchanges() as running:
        running.price = {coin: float(mark) for coin, mark in MARKS.items()} | {"USDC": 1.0, "USDT": 0.998}
        running.now = platform.now
        yield running


@pytest.fixture
def feed(world: Exchanges, platform: Platform) -> Iterator[LiveFeed]:
    opened = LiveFeed(platform.now, limits=LIMITS, mirror=world.url)
    yield opened
    opened.close()


def look(feed: LiveFeed, platform: Platform) -> MarketSnapshot:
    """The market now: waits for the step, and for exchanges that are left alone for a moment."""
    time.sleep(LIMITS.backoff_max_s)
    found = feed.next_after(feed.last if feed._snapshots else platform.now() - timedelta(seconds=1))
    assert found is not None
    return found


def left_out(snapshot: MarketSnapshot, coin: str = "BTC") -> dict[str, str]:
    return {seen.source: seen.left_out for seen in snapshot.qualities[coin].left_out}


# Refusals first.


def test_three_exchanges_down_of_four_are_no_market(world: Exchanges, feed: LiveFeed, platform: Platform) -> None:
    look(feed, platform)
    world.faults = dict.fromkeys(NAMES[:3], "error")
    with pytest.raises(Refusal, match=r"market\.too_few_sources") as refused:
        look(feed, platform)
    assert set(refused.value.data["silent"]) == set(NAMES[:3])
    assert refused.value.data["needed"] == 2


def test_all_down_from_the_start_is_a_refusal_and_the_market_comes_back(
    world: Exchanges, feed: LiveFeed, platform: Platform
) -> None:
    world.faults = dict.fromkeys(NAMES, "down")
    with pytest.raises(Refusal, match=r"market\.too_few_sources"):
        _ = feed.first
    world.faults = {}
    assert look(feed, platform).qualities["BTC"].state is MarkState.GOOD


def test_without_a_price_of_usdc_there_is_no_market(world: Exchanges, feed: LiveFeed, platform: Platform) -> None:
    world.prices = {(venue, "USDC"): 0.0 for venue in NAMES}
    with pytest.raises(Refusal, match="no_mark") as refused:
        look(feed, platform)
    assert refused.value.data["underlying"] == "USDC"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"kraken": 0.8, "bitstamp": 0.0, "binance": 0.0}, {"kraken": "single source"}),
        ({"kraken": 1.0, "bitstamp": 0.8, "binance": 0.0}, {"kraken": "divided", "bitstamp": "divided"}),
        ({"kraken": 0.0, "bitstamp": 0.0, "binance": 0.0}, {}),
    ],
)
def test_a_price_of_usdc_that_nobody_confirms_moves_nothing_and_is_named(
    world: Exchanges, feed: LiveFeed, platform: Platform, said: dict[str, float], why: dict[str, str]
) -> None:
    calm = look(feed, platform)
    assert calm.peg_quality is not None
    assert (calm.peg_quality.state, len(calm.peg_quality.used)) == (MarkState.GOOD, 3), "Binance quotes it in Tether"
    world.prices = {(venue, "USDC"): price for venue, price in said.items()}
    after = LiveFeed(platform.now, limits=LIMITS, mirror=world.url)
    after.resume(MarketSnapshot.from_json(look(feed, platform).to_json()))
    for found in (look(feed, platform), look(after, platform)):
        assert found.usdc_peg == 1
        assert found.peg_quality is not None
        assert is_doubted(found.peg_quality, 10_000)
        assert found.peg_observed_at == calm.peg_observed_at, "it ages from its own time, in the next process too"
        assert why.items() <= {seen.source: seen.left_out for seen in found.peg_quality.left_out}.items()
        assert found.qualities["BTC"].state is MarkState.GOOD
    after.close()
    world.prices = {}
    assert look(feed, platform).peg_quality.state is MarkState.GOOD  # type: ignore[union-attr]


def test_a_fall_of_usdc_that_several_show_goes_through_at_once(
    world: Exchanges, feed: LiveFeed, platform: Platform
) -> None:
    look(feed, platform)
    world.price["USDC"] = 0.8
    assert float(look(feed, platform).usdc_peg) == pytest.approx(0.8)


def test_an_unknown_exchange_is_refused_by_name() -> None:
    with pytest.raises(BadInput, match=r"market\.unknown_exchange"):
        client_of("mtgox", timeout_s=1.0)


def test_an_exchange_is_asked_no_faster_than_it_allows(world: Exchanges) -> None:
    client = client_of("coinbaseexchange", timeout_s=5.0, mirror=world.url)
    client.load_markets()
    began = time.monotonic()
    for coin in ("BTC", "ETH", "SOL"):
        client.fetch_ticker(f"{coin}/USD")
    assert time.monotonic() - began >= 2 * client.rateLimit / 1000 * 0.95
    assert LiveLimits().keep_rate_limits
    assert client_of("kraken", timeout_s=1.0, keep_rate_limit=False).enableRateLimit


# The market.


def test_four_exchanges_give_good_marks_in_dollars(world: Exchanges, feed: LiveFeed, platform: Platform) -> None:
    snapshot = look(feed, platform)
    assert snapshot.source == "live"
    assert snapshot.coins == COINS
    for coin in COINS:
        assert float(snapshot.mark(coin)) == pytest.approx(world.price[coin], rel=1e-6)
        expected = MarkState.THIN if coin == "HYPE" else MarkState.GOOD  # two exchanges list it
        assert snapshot.qualities[coin].state is expected
    assert len(snapshot.qualities["BTC"].used) == 4
    assert snapshot.usdc_peg == 1
    assert MarketSnapshot.from_json(snapshot.to_json()).id == snapshot.id


def test_the_live_feed_keeps_the_contract_of_all_feeds(feed: LiveFeed, platform: Platform) -> None:
    for _ in range(4):
        look(feed, platform)
    frozen = feed.last
    platform.now = lambda: frozen  # type: ignore[method-assign]
    feed._now = platform.now
    assert_contract(feed, feed.first, feed.last)


def test_asking_again_at_once_asks_nobody(world: Exchanges, platform: Platform) -> None:
    feed = LiveFeed(platform.now, limits=replace(LIMITS, step_s=60.0), mirror=world.url)
    last = feed.last
    before = sum(world.requests.values())
    assert feed.next_after(last) is None
    assert sum(world.requests.values()) == before
    feed.close()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("slow", "timed out"), ("error", "not available"), ("empty", "no ticker"), ("down", "not available"),
     ("garbage", "answer not understood"), ("limit", "rate limit")],
)  # fmt: skip
@pytest.mark.parametrize("venue", ["kraken", "binance"])
def test_one_exchange_in_trouble_degrades_and_is_named(
    world: Exchanges,
    feed: LiveFeed,
    platform: Platform,
    caplog: pytest.LogCaptureFixture,
    venue: str,
    fault: str,
    reason: str,
) -> None:
    calm = look(feed, platform)
    world.faults = {venue: fault}
    began = time.monotonic()
    found = look(feed, platform)
    assert time.monotonic() - began < LIMITS.deadline_s + 1.0
    assert found.mark("BTC") == pytest.approx(calm.mark("BTC"), rel=Decimal("1e-6"))
    assert len(found.qualities["BTC"].used) == 3
    assert found.qualities["BTC"].state is MarkState.GOOD
    assert found.qualities["BTC"].uncertainty_bps >= calm.qualities["BTC"].uncertainty_bps
    assert list(left_out(found)) == [venue]
    assert reason in left_out(found)[venue]
    assert f"exchange {venue}: " in caplog.text


@pytest.mark.parametrize(
    ("fault", "reason"), [("stale", "stale"), ("absurd", "absurd price"), ("crossed", "crossed book")]
)
def test_an_exchange_that_answers_nonsense_is_left_out_by_name(
    world: Exchanges, feed: LiveFeed, platform: Platform, fault: str, reason: str
) -> None:
    world.faults = {"coinbaseexchange": fault}
    found = look(feed, platform)
    assert left_out(found) == {"coinbaseexchange": reason}
    assert float(found.mark("BTC")) == pytest.approx(world.price["BTC"], rel=1e-6)


@pytest.mark.parametrize(
    ("price", "reason"),
    [(0.0, "no price"), (-95_000.0, "no price"), (95e6, "absurd price")],
)
def test_a_price_that_is_none_is_left_out_by_name_and_the_mark_is_that_of_the_others(
    world: Exchanges, feed: LiveFeed, platform: Platform, price: float, reason: str
) -> None:
    world.prices["kraken", "BTC"] = price
    found = look(feed, platform)
    assert left_out(found) == {"kraken": reason}
    assert float(found.mark("BTC")) == pytest.approx(world.price["BTC"], rel=1e-6)
    assert len(found.qualities["ETH"].used) == 4, "and only of that coin"


def test_an_exchange_that_says_a_price_is_no_number_is_left_out_whole(
    world: Exchanges, feed: LiveFeed, platform: Platform
) -> None:
    world.prices["kraken", "BTC"] = float("nan")
    found = look(feed, platform)
    assert "answer not understood" in left_out(found)["kraken"]
    assert float(found.mark("BTC")) == pytest.approx(world.price["BTC"], rel=1e-6)


@pytest.mark.parametrize(("jump", "reason"), [(3_600, "time in the future"), (-3_600, "stale")])
def test_an_exchange_whose_clock_jumps_is_left_out_by_name(
    world: Exchanges, feed: LiveFeed, platform: Platform, jump: int, reason: str
) -> None:
    look(feed, platform)
    world.clocks = {"bitstamp": jump}
    found = look(feed, platform)
    assert left_out(found) == {"bitstamp": reason}
    assert float(found.mark("BTC")) == pytest.approx(world.price["BTC"], rel=1e-6)


def test_a_platform_clock_that_jumps_ahead_puts_the_market_in_doubt_and_one_that_goes_back_offers_nothing(
    world: Exchanges, feed: LiveFeed, platform: Platform
) -> None:
    before = look(feed, platform)
    world.now = lambda: datetime.now(UTC)
    platform.ahead = timedelta(minutes=10)
    after = look(feed, platform)
    assert set(left_out(after).values()) == {"stale"}
    assert all(is_doubted(after.qualities[coin], 10_000) for coin in COINS), "who says no time of its own is left alone"
    assert after.mark("BTC") == pytest.approx(before.mark("BTC"), rel=Decimal("1e-6"))
    platform.ahead = timedelta()
    assert feed.next_after(after.as_of) is None


def test_two_exchanges_left_are_a_thin_market(world: Exchanges, feed: LiveFeed, platform: Platform) -> None:
    look(feed, platform)
    world.faults = dict.fromkeys(NAMES[:2], "error")
    assert look(feed, platform).qualities["BTC"].state is MarkState.THIN


def test_a_crash_on_all_exchanges_goes_through_at_once_and_one_on_a_thin_one_does_not(
    world: Exchanges, feed: LiveFeed, platform: Platform
) -> None:
    look(feed, platform)
    world.price["BTC"] *= 0.4
    assert float(look(feed, platform).mark("BTC")) == pytest.approx(world.price["BTC"], rel=1e-6)
    world.base_volume_usd["bitstamp"] = 5e5
    world.prices["bitstamp", "ETH"] = world.price["ETH"] * 0.4
    found = look(feed, platform)
    assert float(found.mark("ETH")) == pytest.approx(world.price["ETH"], rel=1e-6)
    assert left_out(found, "ETH") == {"bitstamp": "outlier"}


def test_tether_off_par_does_not_move_the_marks(world: Exchanges, feed: LiveFeed, platform: Platform) -> None:
    world.price["USDT"] = 0.93
    found = look(feed, platform)
    prices = [seen.price_usd for seen in found.qualities["SOL"].used if seen.price_usd is not None]
    assert len(prices) == 4
    assert float(max(prices) / min(prices)) == pytest.approx(1.0, abs=1e-6)


def test_a_coin_that_nobody_prices_any_more_keeps_its_mark_and_ages(
    world: Exchanges, feed: LiveFeed, platform: Platform
) -> None:
    before = look(feed, platform)
    world.prices = {(venue, "HYPE"): 0.0 for venue in NAMES}
    platform.ahead = timedelta(minutes=16)
    after = look(feed, platform)
    assert after.mark("HYPE") == before.mark("HYPE")
    assert after.underlyings["HYPE"].observed_at == before.underlyings["HYPE"].observed_at
    assert after.qualities["HYPE"].state is MarkState.STALE
    assert after.qualities["HYPE"].uncertainty_bps > before.qualities["HYPE"].uncertainty_bps
    assert after.stale_fields(platform.now()) == ("HYPE",)
    assert after.qualities["BTC"].state is MarkState.GOOD


def test_a_broken_exchange_is_left_alone_longer_after_each_failure(
    world: Exchanges, feed: LiveFeed, platform: Platform
) -> None:
    look(feed, platform)
    world.faults = {"kraken": "error"}
    feed._limits = replace(LIMITS, backoff_s=30.0, backoff_max_s=300.0)
    look(feed, platform)
    asked = world.requests["kraken/0/public/Ticker"]
    found = look(feed, platform)
    assert world.requests["kraken/0/public/Ticker"] == asked
    assert len(found.qualities["BTC"].used) == 3


def test_an_exchange_that_hangs_is_asked_no_second_question(
    world: Exchanges, platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    feed = LiveFeed(platform.now, limits=replace(LIMITS, timeout_s=3.0, deadline_s=1.0), mirror=world.url)
    look(feed, platform)
    world.faults, world.slow_s = {"bitstamp": "slow"}, 1.6
    assert len(look(feed, platform).qualities["BTC"].used) == 3
    assert "exchange bitstamp: no answer within 1 s" in caplog.text
    look(feed, platform)
    assert world.requests["bitstamp/api/v2/ticker/"] == 2
    feed.close()


@pytest.mark.parametrize("stamp", [1.76e15, 1.76e18, float("nan"), -1e17, "soon"])
def test_a_time_of_no_world_makes_no_price_and_ends_nothing(stamp: object) -> None:
    heard = datetime(2025, 11, 9, tzinfo=UTC)
    ticker = {"bid": 95_000.0, "ask": 95_010.0, "last": 95_005.0, "timestamp": stamp, "baseVolume": 10.0}
    assert not _quote(VENUES[0], ticker, heard).price.is_finite()
    assert _quote(VENUES[0], ticker | {"timestamp": None}, heard).price == 95_005
