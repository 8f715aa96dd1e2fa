"""The vectorised Black-76 against QuantLib and against the special functions of scipy."""

import numpy as np
import pytest
import QuantLib as ql
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import erfcx

from risk.margin.kernels import option_values
from risk.margin.kernels.options import LARGEST_EXPONENT, exp_of_negative, mills_ratio

SCENARIOS = 64


def values(forward: np.ndarray, vol_ratio: np.ndarray, deviation: float, strike: float, is_call: bool) -> np.ndarray:
    """The kernel's values at a discount of 0.97."""
    out = np.empty(forward.size)
    with np.errstate(divide="ignore"):
        option_values(out, forward, np.log(forward), vol_ratio, deviation, strike, 0.97, is_call)
    return out


def test_the_exponential_has_its_stated_error() -> None:
    x = np.concatenate([np.linspace(0.0, LARGEST_EXPONENT, 20_001), np.geomspace(1e-12, 1.0, 1_000)])
    found = np.array([exp_of_negative(value) for value in x.tolist()])
    assert np.abs(found / np.exp(-x) - 1.0).max() < 1e-15
    assert 0.0 < exp_of_negative(1e6) < 1e-307


def test_the_mills_ratio_has_its_stated_error() -> None:
    x = np.concatenate([np.linspace(0.0, 50.0, 20_001), np.geomspace(1e-12, 1e6, 5_000)])
    found = np.array([mills_ratio(value) for value in x.tolist()])
    assert np.abs(found / (np.sqrt(np.pi / 2) * erfcx(x / np.sqrt(2))) - 1.0).max() < 1e-14


@given(st.integers(0, 10_000), st.floats(0.01, 2.0), st.floats(0.3, 3.0), st.booleans())
def test_a_row_of_scenarios_agrees_with_quantlib(seed: int, deviation: float, moneyness: float, is_call: bool) -> None:
    random = np.random.default_rng(seed)
    forward = 1e5 * np.exp(0.3 * random.standard_normal(SCENARIOS))
    vol_ratio = np.exp(0.4 * random.standard_normal(SCENARIOS))
    strike = 1e5 * moneyness
    kind = ql.Option.Call if is_call else ql.Option.Put
    pairs = zip(forward.tolist(), (deviation * vol_ratio).tolist(), strict=True)
    expected = np.array([ql.blackFormula(kind, strike, level, spread, 0.97) for level, spread in pairs])
    # QuantLib subtracts two nearly equal numbers where an option is worth nearly nothing; the kernel does not.
    slack = 1e-10 * expected + 1e-15 * np.maximum(forward, strike)
    assert (np.abs(values(forward, vol_ratio, deviation, strike, is_call) - expected) <= slack).all()


def test_an_option_far_from_the_money_keeps_its_digits() -> None:
    """Ten deviations out: 1e-22 of the forward, where a difference of normal probabilities has no correct digit."""
    strike, deviation = 1e5 * np.exp(1.0), 0.1
    found = values(np.array([1e5]), np.ones(1), deviation, strike, True)[0]
    steps = np.linspace(0.0, 2.0, 400_001)  # over ln(F_T / K): the payoff against the lognormal density
    centred = (steps + 1.0 + deviation**2 / 2) / deviation
    density = np.exp(-(centred**2) / 2) / (deviation * np.sqrt(2 * np.pi))
    expected = 0.97 * np.trapezoid(strike * np.expm1(steps) * density, steps)
    assert found < 1e-17
    assert found == pytest.approx(expected, rel=1e-7)


def test_a_coin_at_zero_and_a_volatility_of_zero_leave_the_intrinsic_value() -> None:
    forward, vol_ratio = np.array([0.0, 120.0, 100.0, 0.0]), np.array([1.0, 0.0, 0.0, 0.0])
    assert values(forward, vol_ratio, 0.2, 100.0, True) == pytest.approx(0.97 * np.array([0.0, 20.0, 0.0, 0.0]))
    assert values(forward, vol_ratio, 0.2, 100.0, False) == pytest.approx(0.97 * np.array([100.0, 0.0, 0.0, 100.0]))


@pytest.mark.parametrize("is_call", [True, False])
def test_more_volatility_is_never_worth_less(is_call: bool) -> None:
    vol_ratio = np.linspace(0.1, 10.0, 500)
    found = values(np.full(500, 9e4), vol_ratio, 0.15, 1e5, is_call)
    assert (np.diff(found) > 0.0).all()
