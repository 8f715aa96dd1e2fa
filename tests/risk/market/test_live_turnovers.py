"""Turnover of the live market: the calibrated one by what is traded now, never on the word of one exchange."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from risk.market.feeds.base import Turnover
from risk.market.feeds.live import LiveFeed, LiveLimits
from risk.market.feeds.turnovers import AGE_LIMIT_DAYS, DAYS, RAISED_MAX, Turnovers, believed, mean_day
from risk.market.parameters import load_parameters
from risk.market.snapshot import MarketSnapshot
from tests.risk.builders import MARKS
from tests.risk.market.exchange_server import Candle, Exchanges, exchanges

NOW = datetime.now(UTC)
TODAY = NOW.date()
YESTERDAY = TODAY - timedelta(days=1)
CALIBRATED = load_parameters().calibrated_to
PRICE = float(MARKS["BTC"])
KEYS = {"kraken": "XXBTZUSD", "coinbaseexchange": "BTC-USD", "bitstamp": "btcusd", "binance": "BTCUSDT"}
SIZES = {"kraken": 4_000.0, "coinbaseexchange": 9_000.0, "bitstamp": 900.0, "binance": 30_000.0}  # coins a day
ORDINARY = float(load_parameters().coins["BTC"].adv_usd)


def daily(end: date, coins: float, days: int = DAYS) -> list[Candle]:
    """Candles of the days before `end`, and one of the day that has begun, which is no day yet."""
    first = datetime(end.year, end.month, end.day, tzinfo=UTC) - timedelta(days=days)
    stamps = [int((first + timedelta(days=row)).timestamp() * 1000) for row in range(days + 1)]
    return [(at, PRICE, PRICE, PRICE, PRICE, coins if at < stamps[-1] else coins / 100) for at in stamps]


def trade(world: Exchanges, shares: dict[str, float], days: int = DAYS) -> None:
    """Each exchange's days now are this share of its calibrated ones."""
    usual_end = CALIBRATED + timedelta(days=1)
    world.candles = {
        (name, KEYS[name]): daily(usual_end, SIZES[name]) + daily(TODAY, SIZES[name] * share, days)
        for name, share in shares.items()
    }


@pytest.fixture
def world() -> Iterator[Exchanges]:
    with exchanges() as running:
        running.price = {coin: float(mark) for coin, mark in MARKS.items()} | {"USDC": 1.0, "USDT": 1.0}
        trade(running, dict.fromkeys(KEYS, 1.0))
        yield running


def read(world: Exchanges, now: datetime = NOW) -> dict[str, Turnover]:
    """The levels when every exchange has answered once, or has been named."""
    turnovers = Turnovers(mirror=world.url)
    try:
        return heard(turnovers, now)
    finally:
        turnovers.close()


def heard(turnovers: Turnovers, now: datetime = NOW) -> dict[str, Turnover]:
    deadline = time.monotonic() + 20
    turnovers.levels(now)
    while any(line.pending is not None for line in turnovers._lines):
        assert time.monotonic() < deadline
        time.sleep(0.02)
        turnovers.levels(now)
    return turnovers.levels(now)


# Refusals first.


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda rows: rows[:24], "24 of 30 days"),
        (lambda rows: [], "0 of 30 days"),
        (lambda rows: rows + rows, "60 of 30 days"),
        (lambda rows: [*rows[:-1], (rows[-1][0], 1.0, 1.0, 1.0, float("nan"), 1.0)], "a day of"),
        (lambda rows: [*rows[:-1], (rows[-1][0], 1.0, 1.0, 1.0, 0.0, 1.0)], "a day of"),
        (lambda rows: [*rows[:-1], (rows[-1][0], 1.0, 1.0, 1.0, 1.0, -1.0)], "a day of"),
        (lambda rows: [*rows[:-1], (rows[-1][0], 1.0, 1.0, 1.0, 1.0, float("inf"))], "a day of"),
    ],
)
def test_days_that_are_none_are_refused(change: Callable[[list[Candle]], list[Candle]], why: str) -> None:
    rows = daily(TODAY, 5.0)[:-1]
    with pytest.raises(ValueError, match=why):
        mean_day(change(rows), TODAY - timedelta(days=DAYS), TODAY)


@pytest.mark.parametrize(("present", "usual"), [(0.0, 1e9), (5e7, 1e9), (2e10, 1e9), (1e12, 1e9), (1e9, 0.0)])
def test_a_turnover_of_another_unit_or_of_an_outage_is_refused(present: float, usual: float) -> None:
    with pytest.raises(ValueError, match="where"):
        believed(present, usual)


@pytest.mark.parametrize("shares", [{"binance": 1.5}, {}, dict.fromkeys(KEYS, 1_000.0), dict.fromkeys(KEYS, 0.0)])
def test_one_exchange_none_or_impossible_ones_leave_the_calibrated_turnover(
    world: Exchanges, shares: dict[str, float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    trade(world, shares)
    assert read(world) == {}
    assert "no turnover of BTC from kraken: " in caplog.text


def test_one_exchange_cannot_raise_it_and_one_that_lies_is_named(
    world: Exchanges, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    trade(world, {"kraken": 1.0, "bitstamp": 10.0})
    assert float(read(world)["BTC"].usd) == pytest.approx(ORDINARY, rel=1e-6), "the lower of two"
    trade(world, {"kraken": 1_000.0, "bitstamp": 0.8, "binance": 0.7, "coinbaseexchange": 0.9})
    assert float(read(world)["BTC"].usd) == pytest.approx(0.8 * ORDINARY, rel=1e-6)
    assert "no turnover of BTC from kraken: answer not understood" in caplog.text


def test_no_number_of_exchanges_raises_it_above_its_limit(world: Exchanges) -> None:
    trade(world, dict.fromkeys(KEYS, 12.0))
    assert float(read(world)["BTC"].usd) == pytest.approx(RAISED_MAX * ORDINARY, rel=1e-6)


# Effects.


@pytest.mark.parametrize("days", [25, 30])
def test_it_is_the_calibrated_one_by_the_lower_middle_share_of_the_exchanges(world: Exchanges, days: int) -> None:
    trade(world, {"kraken": 0.5, "coinbaseexchange": 0.6, "bitstamp": 1.4, "binance": 0.9}, days)
    found = read(world)
    assert set(found) == {"BTC"}, "the others have no candles"
    assert float(found["BTC"].usd) == pytest.approx(0.6 * ORDINARY, rel=1e-6)
    assert found["BTC"].to == YESTERDAY


def test_it_stays_some_days_with_its_own_day_and_then_is_the_calibrated_one(world: Exchanges) -> None:
    trade(world, {})
    turnovers = Turnovers(mirror=world.url)
    turnovers.resume({"BTC": Turnover(Decimal(7_000_000_000), YESTERDAY)})
    for later in range(AGE_LIMIT_DAYS):
        assert heard(turnovers, NOW + timedelta(days=later))["BTC"].to == YESTERDAY
    assert turnovers.levels(NOW + timedelta(days=AGE_LIMIT_DAYS)) == {}
    turnovers.close()


def test_the_calibrations_days_are_asked_for_once(world: Exchanges) -> None:
    turnovers, asked = Turnovers(mirror=world.url), []
    for _ in range(2):
        heard(turnovers)
        asked.append(world.requests["coinbaseexchange/products/BTC-USD/candles"])
        for line in turnovers._lines:
            line.asked_at = float("-inf")
    assert asked == [2, 3]
    turnovers.close()


def test_a_snapshot_carries_it_with_its_day_and_a_restart_goes_on_with_it(world: Exchanges) -> None:
    trade(world, dict.fromkeys(KEYS, 0.5))
    limits = LiveLimits(timeout_s=2.0, deadline_s=5.0, step_s=0.0, backoff_s=0.01, keep_rate_limits=False)
    turnovers = Turnovers(mirror=world.url)
    feed = LiveFeed(lambda: datetime.now(UTC), limits=limits, mirror=world.url, turnovers=turnovers)
    first = feed.next_after(datetime.now(UTC) - timedelta(seconds=1))
    assert first is not None
    assert first.underlyings["BTC"].turnover_to is None, "no market waits for turnover"
    assert float(first.underlyings["BTC"].adv_usd) == ORDINARY
    assert "turnover_to" not in first.to_json()
    heard(turnovers)
    second = feed.next_after(first.as_of)
    assert second is not None
    feed.close()
    bitcoin = MarketSnapshot.from_json(second.to_json()).underlyings["BTC"]
    assert bitcoin.turnover_to == YESTERDAY
    assert float(bitcoin.adv_usd) == pytest.approx(0.5 * ORDINARY, rel=1e-6)
    assert second.underlyings["ETH"].turnover_to is None
    without = replace(second, underlyings=dict(second.underlyings) | {"BTC": replace(bitcoin, turnover_to=None)})
    assert without.id != second.id, "where it comes from is part of what determines a figure"
    trade(world, {})
    again = Turnovers(mirror=world.url)
    feed = LiveFeed(lambda: datetime.now(UTC), limits=limits, mirror=world.url, turnovers=again)
    feed.resume(second)
    third = feed.next_after(second.as_of)
    assert third is not None
    assert third.underlyings["BTC"].adv_usd == bitcoin.adv_usd
    feed.close()
