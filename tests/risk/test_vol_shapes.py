"""Skew and term slope of the volatility surface under shocks: what moves, what stands, and no arbitrage by either."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest
import QuantLib as ql
from numpy.typing import NDArray

from risk.margin.instruments import Instrument
from risk.margin.revaluation import option_price, profit_matrix, resolve
from risk.margin.shocks import ShockSet
from tests.risk.builders import MOMENT, snapshot
from tests.risk.test_revaluation import prices


def stressed_vols(years: float, strikes: Sequence[float], **moved: float) -> NDArray[np.float64]:
    """(n,) stressed over present implied volatility of BTC puts at these strikes over the forward, when the surface
    alone moves: the price that the kernel finds, put back into Black-76."""
    expiry = MOMENT + timedelta(days=365 * years)
    forward = resolve([Instrument(id="F", kind="future", underlying="BTC", expiry=expiry)], snapshot()).forward[0]
    puts = [
        Instrument(
            id=f"{k}",
            kind="option",
            underlying="BTC",
            expiry=expiry,
            strike=Decimal(f"{forward * k:.2f}"),
            is_call=False,
        )
        for k in strikes
    ]
    table = resolve(puts, snapshot())
    still = prices(1.0)
    shapes = {name: np.full_like(still.vol_ratio, value) for name, value in moved.items()}
    shock = replace(still, **shapes)  # type: ignore[arg-type]
    after = profit_matrix(table, shock)[:, 0]
    found = []
    for row, item in enumerate(puts):
        strike, discount = float(item.strike or 0), float(table.discount[row])
        now = float(option_price(forward, strike, table.vol[row] * np.sqrt(table.years[row]), discount, False))
        deviation = ql.blackFormulaImpliedStdDev(ql.Option.Put, strike, forward, now + after[row], discount)
        found.append(deviation / np.sqrt(table.years[row]))
    return np.array(found) / table.vol


def test_a_skew_steepens_the_smile_and_leaves_the_money_alone() -> None:
    low, at, high = stressed_vols(30 / 365, [0.9, 1.0, 1.1], vol_skew=-0.1)
    assert at == pytest.approx(1.0, abs=1e-6)
    assert low > 1.02
    assert high < 0.98
    wing, farther = stressed_vols(30 / 365, [0.7, 0.6], vol_skew=-9.0)
    assert wing == pytest.approx(farther, rel=1e-4) == pytest.approx(1.5, rel=1e-4)


def test_a_term_slope_moves_near_expiries_most_and_leaves_thirty_days_alone() -> None:
    near, usual, far = (stressed_vols(days / 365, [1.0], vol_term=0.2)[0] for days in (7, 30, 180))
    assert usual == pytest.approx(1.0, abs=1e-6)
    assert near == pytest.approx((30 / 7) ** 0.2, rel=1e-5)
    assert far == pytest.approx((30 / 180) ** 0.2, rel=1e-5)


@pytest.mark.parametrize("slope", [-9.0, 9.0])
def test_no_slope_lets_total_variance_fall_with_the_expiry(slope: float) -> None:
    """Where present volatility is the same for all expiries: no calendar arbitrage in any scenario."""
    days = [2.0, 7.0, 30.0, 90.0, 180.0, 360.0, 700.0]
    ratio = [stressed_vols(day / 365, [1.0], vol_term=slope)[0] for day in days]
    assert (np.diff(np.array(ratio) ** 2 * days) > -1e-3).all()  # of 30, to a strike's cent


def test_volatility_stops_at_its_floor() -> None:
    found = stressed_vols(0.5, [1.0, 0.9], vol_ratio=1e-6)
    vol = float(snapshot().underlyings["BTC"].atm_vol)
    assert found * vol == pytest.approx(0.05, rel=0.02)


def test_an_option_gains_the_same_alone_as_among_others() -> None:
    """Coins and expiries in any order: what some share is no other's."""
    options = [
        Instrument(
            id=f"{number}",
            kind="option",
            underlying=("BTC", "ETH")[number % 2],
            expiry=MOMENT + timedelta(days=(7, 30, 90)[number % 3]),
            strike=Decimal(100 * (number + 1)),
            is_call=number % 4 < 2,
        )
        for number in range(12)
    ]
    ratio = np.repeat([[0.0], [0.7], [1.0], [1.3]], len(snapshot().coins), axis=1)
    moves = ShockSet.of_prices(snapshot().coins, ratio, 2.0 - ratio)
    shocks = replace(moves, vol_term=moves.vol_term + 0.1, vol_skew=moves.vol_skew - 0.1)
    together = profit_matrix(resolve(options, snapshot()), shocks)
    alone = [profit_matrix(resolve([option], snapshot()), shocks)[0] for option in options]
    assert np.array_equal(together, np.array(alone))
    assert (together != 0.0).any(axis=1).all()
