"""Shocks that take hours: what expires is worth at their end what it is with so much less time."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest
import QuantLib as ql
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from risk.margin.instruments import Instrument
from risk.margin.revaluation import InstrumentTable, profit_matrix, resolve
from risk.margin.shocks import ShockSet
from risk.margin.tails import expected_shortfall
from risk.stress.exposure import over
from tests.risk.builders import INSTRUMENTS, MOMENT, matrices, scenarios, snapshot
from tests.risk.test_revaluation import COINS, prices

STRIKE = 100_000


def table_of(hours: float) -> InstrumentTable:
    """A call, a put and a future of BTC that expire in so many hours."""
    expiry = MOMENT + timedelta(hours=hours)
    return resolve(
        [
            Instrument(id="C", kind="option", underlying="BTC", expiry=expiry, strike=Decimal(STRIKE)),
            Instrument(id="P", kind="option", underlying="BTC", expiry=expiry, strike=Decimal(STRIKE), is_call=False),
            Instrument(id="F", kind="future", underlying="BTC", expiry=expiry),
        ],
        snapshot(),
    )


def after(table: InstrumentTable, hours: float, shock: ShockSet) -> NDArray[np.float64]:
    """(I,) gains under the first shock, which takes `hours`."""
    found: NDArray[np.float64] = profit_matrix(table, replace(shock, hours=hours))[:, 0]
    return found


@pytest.mark.parametrize(("ratio", "vol"), [(1.0, 1.0), (0.8, 1.5), (1.3, 0.7)])
def test_an_option_is_worth_black_76_with_the_time_that_is_left(ratio: float, vol: float) -> None:
    table = table_of(30 * 24)
    years, left, carry = 30 / 365, 28 / 365, float(table.basis_annual[0])
    rate = -np.log(float(table.discount[0])) / years
    found = after(table, 48.0, prices(ratio, vol))
    forward = 95_000 * ratio * np.exp(carry * left)
    deviation = float(table.vol[0])
    for row, kind in ((0, ql.Option.Call), (1, ql.Option.Put)):
        then = ql.blackFormula(kind, STRIKE, forward, deviation * vol * np.sqrt(left), np.exp(-rate * left))
        now = ql.blackFormula(kind, STRIKE, float(table.forward[0]), deviation * np.sqrt(years), np.exp(-rate * years))
        assert found[row] == pytest.approx(then - now, rel=1e-9)
    assert found[2] == pytest.approx(forward - float(table.forward[0]), rel=1e-9)


@pytest.mark.parametrize("hours", [1.0, 23.9, 24.0])
@pytest.mark.parametrize("ratio", [0.5, 1.0, STRIKE / 95_000, 1.4])
def test_what_expires_on_the_way_is_settled_at_the_price_of_the_end(hours: float, ratio: float) -> None:
    table = table_of(hours)
    call, put, future = after(table, 24.0, prices(ratio, 3.0))
    still = profit_matrix(table, prices(0.0))[:, 0]  # a call at zero loses all that it is worth now
    assert call == pytest.approx(max(95_000 * ratio - STRIKE, 0.0) + still[0], rel=1e-9, abs=1e-6)
    paid = put - (max(STRIKE - 95_000 * ratio, 0.0) - max(STRIKE - 95_000, 0.0))
    assert paid == pytest.approx(after(table, 24.0, prices(1.0))[1], rel=1e-9, abs=1e-6)
    assert future == pytest.approx(95_000 * ratio - float(table.forward[2]))


@given(st.floats(0.0, 400.0), st.floats(2.0, 300.0), st.floats(0.2, 3.0))
def test_a_call_less_a_put_stays_a_discounted_forward(hours: float, days: float, ratio: float) -> None:
    table = table_of(24 * days)
    call, put, future = after(table, hours, prices(ratio, 1.3))
    gone = min(hours / (24 * days), 1.0)
    discount = float(table.discount[0])
    owed = discount * (float(table.forward[0]) - STRIKE)
    left = discount ** (1 - gone) * (float(table.forward[0]) + future - STRIKE)
    assert call - put == pytest.approx(left - owed, rel=1e-8, abs=1e-4)


def test_time_alone_costs_whoever_holds_options_and_nobody_who_holds_coins() -> None:
    table = matrices().table
    gains = {item.id: gain for item, gain in zip(INSTRUMENTS, after(table, 24.0, prices(1.0)).tolist(), strict=True)}
    assert gains["BTC-CALL"] < -30.0
    assert gains["BTC-PUT"] < -30.0
    assert gains["BTC-FUT"] == pytest.approx(-95_000 * 0.04 / 365, rel=0.01), "the basis that a day closes"
    assert all(gains[name] == 0.0 for name in ("BTC", "BTC-PERP", "ETH-PERP", "BTC-INV", "USDC"))


def test_a_shock_that_strikes_at_once_is_what_it_was() -> None:
    table = matrices().table
    moved: Sequence[ShockSet] = [prices(0.9, 1.2), replace(prices(0.9, 1.2), hours=1e-9)]
    at_once, nearly = (profit_matrix(table, shock) for shock in moved)
    assert at_once == pytest.approx(nearly, rel=1e-9, abs=1e-6)


def straddle_losses(days: float, hours: float) -> NDArray[np.float64]:
    """(S,) losses of a bought straddle under the standard scenarios, as if they took so many hours."""
    profit = profit_matrix(table_of(24 * days), replace(scenarios().shocks, hours=hours))
    losses: NDArray[np.float64] = -(profit[0] + profit[1])
    return losses


def test_scenarios_of_a_margin_period_take_it_and_all_other_shocks_strike_at_once() -> None:
    assert scenarios().shocks.hours == 24.0
    assert scenarios().over(60.0, 24.0).shocks.hours == 60.0
    assert over(scenarios().shocks, 10.0, 1.0).hours == pytest.approx(240.0), "future exposure, too"
    assert scenarios("worked-example").shocks.hours == 0.0
    assert scenarios("worked-example").over(60.0, 24.0).shocks.hours == 0.0
    assert matrices().stress_shocks.hours == 0.0


@pytest.mark.parametrize(("days", "more"), [(2.0, 0.2), (7.0, 0.15), (30.0, 0.08), (180.0, 0.02)])
def test_bought_options_need_more_by_what_time_takes_and_sold_ones_hardly_less(days: float, more: float) -> None:
    at_once, at_end = straddle_losses(days, 0.0), straddle_losses(days, 24.0)
    bought = [float(expected_shortfall(losses[None, :], 0.99)[0]) for losses in (at_once, at_end)]
    sold = [float(expected_shortfall(-losses[None, :], 0.99)[0]) for losses in (at_once, at_end)]
    assert bought[1] > (1.0 + more) * bought[0]
    assert 0.98 * sold[0] < sold[1] < 1.01 * sold[0]


def test_time_is_carried_by_the_square_of_its_root() -> None:
    shock = replace(ShockSet.of_prices(COINS, np.full((1, len(COINS)), 0.9)), hours=24.0)
    assert shock.carried(np.sqrt(10.0)).hours == pytest.approx(240.0)
    assert prices(0.9).carried(2.0).hours == 0.0
