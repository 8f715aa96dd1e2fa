"""The liquidity charge against its numeric minimum, and its limits."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize

from risk.margin.addons import LiquidityModel, close_out_cost
from risk.margin.ruleset import ruleset

MODEL = LiquidityModel.of(ruleset("standard"))


def one(value: float) -> np.ndarray:
    """A scalar as the arrays the model takes."""
    return np.array([value])


@given(st.floats(1e4, 1e10), st.floats(1e7, 1e11), st.floats(0.005, 0.2))
def test_the_closed_form_is_the_numeric_minimum(notional: float, adv: float, vol: float) -> None:
    best = float(MODEL.best_days(one(notional), one(adv))[0])

    def cost(log_days: float) -> float:
        return float(MODEL.cost(one(notional), one(adv), one(vol), one(np.exp(log_days)))[0])

    found = optimize.minimize_scalar(
        cost, bounds=(np.log(best) - 3, np.log(best) + 3), method="bounded", options={"xatol": 1e-10}
    )
    closed = float(MODEL.least_cost(one(notional), one(adv), one(vol))[0])
    assert closed == pytest.approx(found.fun, rel=1e-8)
    assert cost(np.log(best)) == pytest.approx(closed, rel=1e-12)


@given(st.floats(0.0, 1e10), st.floats(1.001, 10.0))
def test_twice_the_position_costs_more_than_twice(notional: float, factor: float) -> None:
    adv, vol = one(1e9), one(0.05)
    small, large = (float(MODEL.charge(one(x), adv, vol)[0]) for x in (notional, notional * factor))
    # Below the least normal float a product has few digits, or none.
    assert large >= factor * small * (1 - 1e-12) - sys.float_info.min


def test_nothing_costs_nothing_and_short_costs_as_long() -> None:
    adv, vol = np.full(3, 1e9), np.full(3, 0.05)
    charges = MODEL.charge(np.array([0.0, 5e6, -5e6]), adv, vol)
    assert charges[0] == 0.0
    assert charges[1] == charges[2] > 0.0


def test_the_participation_cap_lengthens_the_run_down() -> None:
    adv = one(1e8)
    assert MODEL.days(one(5e8), adv)[0] == pytest.approx(5e8 / (0.10 * 1e8))
    assert MODEL.days(one(1e4), adv)[0] == MODEL.best_days(one(1e4), adv)[0]


@given(st.floats(1e4, 1e10), st.floats(1e7, 1e11), st.floats(0.005, 0.2))
def test_the_charge_is_the_least_cost_without_the_risk_that_the_period_holds(
    notional: float, adv: float, vol: float
) -> None:
    """The one closed form in the other: at T* impact and risk are equal, and risk counts from the period's end on."""
    model = replace(MODEL, participation=np.inf)
    size, turnover, daily = one(notional), one(adv), one(vol)
    best = model.best_days(size, turnover)
    held = np.minimum(model.risk(size, daily, best), model.risk(size, daily, model.days_in_mpor))
    least = model.cost(size, turnover, daily, best)
    assert model.charge(size, turnover, daily) == pytest.approx(least - held, rel=1e-9)


def test_no_risk_is_charged_twice_and_none_is_missed_at_the_end_of_the_period() -> None:
    """Where the run-down just fits: impact and spread alone; the next dollar adds to it without a jump."""
    adv, vol = one(1e9), one(0.05)
    fits = MODEL.participation * MODEL.days_in_mpor * 1e9
    at = MODEL.charge(one(fits), adv, vol)
    assert at[0] == pytest.approx(MODEL.spread / 2 * fits + MODEL.impact_at_best(one(fits), adv, vol)[0], rel=1e-12)
    assert MODEL.charge(one(fits * (1 + 1e-9)), adv, vol)[0] == pytest.approx(at[0], rel=1e-7)


def test_a_close_out_never_costs_more_than_the_position() -> None:
    cost = close_out_cost(MODEL, one(1e12), one(1e6), one(0.1))
    assert cost[0] == pytest.approx(1e12 * (1 + MODEL.spread / 2))
