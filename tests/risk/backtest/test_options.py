"""Option books are opened at the day's index and revalued at the next one's, by the engine, from the past alone."""

from datetime import date, timedelta
from math import erf, exp, log, sqrt
from pathlib import Path

import numpy as np
import pytest

from risk.backtest.options import OPTION_BOOKS, RESPONSE_WINDOWS, option_walk
from risk.backtest.past import Past
from risk.backtest.prices import read_prices
from risk.backtest.walk import Walk
from risk.margin.ruleset import ruleset
from tests.risk.backtest.builders import gjr_world, hourly_columns, write

DAYS = 365 + RESPONSE_WINDOWS + 300
FIRST = date(2020, 1, 1)
CALM = 700  # a window in which nothing moves


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Past:
    found = Past(
        read_prices(write(hourly_columns({"BTC": DAYS}), tmp_path_factory.mktemp("options"))), ruleset("standard")
    )
    found.returns[CALM] = 0.0
    return found


def index_of(past: Past, last: int = DAYS) -> dict[date, float]:
    """A tenth above the deviation that each day truly had, a year; the same before and after the calm window."""
    _, deviation = gjr_world(DAYS, 1, seed=3)
    index = {FIRST + timedelta(days=day): 1.1 * float(deviation[day, 0]) * sqrt(365) for day in range(last)}
    calm = past.days[CALM].date()
    if calm in index:
        index[calm] = index[calm - timedelta(days=1)]
    return index


@pytest.fixture(scope="module")
def found(past: Past) -> Walk:
    walked = option_walk(past, index_of(past))
    assert walked is not None
    return walked


def black(forward: float, strike: float, deviation: float) -> tuple[float, float]:
    """Call and put without discount, by the textbook."""
    d1 = log(forward / strike) / deviation + deviation / 2
    call = forward * (1 + erf(d1 / sqrt(2))) / 2 - strike * (1 + erf((d1 - deviation) / sqrt(2))) / 2
    return call, call - forward + strike


def test_a_day_without_any_move_costs_a_straddle_its_time(past: Past, found: Walk) -> None:
    vol = index_of(past)[past.days[CALM].date()]
    before, after = (2 * black(1.0, 1.0, vol * sqrt(days / 365))[0] for days in (30, 29))
    loss = dict(zip([one.name for one in OPTION_BOOKS], found.loss[CALM], strict=True))
    assert loss["straddle long"] == pytest.approx((before - after) / 2)
    assert loss["straddle short"] == pytest.approx(-(before - after) / 2)
    assert loss["straddle long, delta-hedged"] < loss["straddle long"], "per dollar of more notional"
    strike = round(exp(vol * sqrt(30 / 365)), 8)
    sold, bought_back = (black(1.0, strike, vol * sqrt(days / 365))[0] for days in (30, 29))
    assert loss["covered call"] == pytest.approx((bought_back - sold) / 2)


def test_margins_are_above_the_conditional_forecast_and_short_volatility_needs_most(found: Walk) -> None:
    tested = np.flatnonzero(np.isfinite(found.margin).all(axis=1))
    assert tested[0] == found.begin == 366 + RESPONSE_WINDOWS
    assert tested.size >= 250
    margin = dict(zip([book.name for book in found.books], found.margin[tested].mean(axis=0), strict=True))
    assert margin["BTC straddle short"] > 2 * margin["BTC straddle long"]
    assert margin["BTC strangle short"] < margin["BTC straddle short"]


def test_no_forecast_knows_the_index_or_the_price_of_its_own_day(past: Past, found: Walk) -> None:
    index = index_of(past)
    at = 650
    changed = {day: value * (1.5 if day >= past.days[at].date() else 1.0) for day, value in index.items()}
    after = option_walk(past, changed)
    assert after is not None
    assert np.array_equal(found.margin[: at + 1], after.margin[: at + 1], equal_nan=True)
    assert np.array_equal(found.var[: at + 1], after.var[: at + 1], equal_nan=True)
    assert not np.array_equal(found.margin[at + 1], after.margin[at + 1])
    assert not np.array_equal(found.loss[at], after.loss[at])


def test_without_the_coin_or_enough_days_there_are_no_option_books(past: Past, tmp_path: Path) -> None:
    assert option_walk(past, index_of(past, last=600)) is None
    other = Past(read_prices(write(hourly_columns({"AAA": 650}), tmp_path)), ruleset("standard"))
    assert option_walk(other, index_of(past)) is None
