"""The vectorised Black-76 against QuantLib and against the special functions of scipy."""

from decimal import Decimal, localcontext

import numpy as np
import pytest
import QuantLib as ql
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import erfcx

from risk.margin.kernels import option_values
from risk.margin.kernels.options import LARGEST_EXPONENT, exp_of_negative, mills_ratio

SCENARIOS = 64
PI = Decimal(
    "3.1415926535897932384626433832795028841971693993751058209749445923078164062862089986280348253421170679821480865"
)


def values(forward: np.ndarray, vol_ratio: np.ndarray, deviation: float, strike: float, is_call: bool) -> np.ndarray:
    """The kernel's values at a discount of 0.97."""
    out = np.empty(forward.size)
    with np.errstate(divide="ignore"):
        terms = np.array([deviation, strike, 0.97, 0.0, 0.0])
        still, same = np.zeros(forward.size), np.ones(forward.size)
        option_values(out, forward, np.log(forward), vol_ratio, still, same, terms, is_call, 0.0)
    return out


def exact_price(forward: float, strike: float, deviation: float, is_call: bool) -> float:
    """Black-76 without discount, by the power series of the error function in 120 digits."""
    with localcontext() as context:
        context.prec = 120
        level, spread = Decimal(forward), Decimal(deviation)
        d1 = (level / Decimal(strike)).ln() / spread + spread / 2
        sign = 1 if is_call else -1
        up, down = normal_probability(sign * d1), normal_probability(sign * (d1 - spread))
        return float(sign * (level * up - Decimal(strike) * down))


def normal_probability(x: Decimal) -> Decimal:
    """N(x) = 1/2 + phi(0) sum of (-1)^n x^(2n + 1) / (2^n n! (2n + 1))."""
    total, power, n = Decimal(0), x, 0
    while abs(power) > Decimal(10) ** -110:
        total += power / (2 * n + 1)
        n += 1
        power *= -x * x / (2 * n)
    return Decimal("0.5") + total / (2 * PI).sqrt()


def test_the_exponential_has_its_stated_error() -> None:
    x = np.concatenate([np.linspace(-LARGEST_EXPONENT, LARGEST_EXPONENT, 20_001), np.geomspace(1e-12, 1.0, 1_000)])
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
    # QuantLib subtracts two nearly equal numbers where an option is worth nearly nothing: the kernel does not, and is
    # held to the exact value there by the next test.
    slack = 1e-10 * expected + 2e-15 * np.maximum(forward, strike)
    assert (np.abs(values(forward, vol_ratio, deviation, strike, is_call) - expected) <= slack).all()


@pytest.mark.parametrize("is_call", [True, False])
def test_prices_keep_their_digits_however_small(is_call: bool) -> None:
    """Against 120 decimal digits, from the money to twelve deviations out, where prices are 1e-30 of the forward."""
    forward, vol_ratio = 1e5 * np.exp(np.linspace(-1.2, 1.2, 25)), np.ones(25)
    found = values(forward, vol_ratio, 0.1, 1e5, is_call)
    expected = np.array([0.97 * exact_price(level, 1e5, 0.1, is_call) for level in forward.tolist()])
    assert expected.min() < 1e-25
    assert np.abs(found / expected - 1.0).max() < 1e-12


def test_a_coin_at_zero_and_a_volatility_of_zero_leave_the_intrinsic_value() -> None:
    forward, vol_ratio = np.array([0.0, 120.0, 100.0, 0.0]), np.array([1.0, 0.0, 0.0, 0.0])
    assert values(forward, vol_ratio, 0.2, 100.0, True) == pytest.approx(0.97 * np.array([0.0, 20.0, 0.0, 0.0]))
    assert values(forward, vol_ratio, 0.2, 100.0, False) == pytest.approx(0.97 * np.array([100.0, 0.0, 0.0, 100.0]))


@pytest.mark.parametrize("is_call", [True, False])
def test_more_volatility_is_never_worth_less(is_call: bool) -> None:
    vol_ratio = np.linspace(0.1, 10.0, 500)
    found = values(np.full(500, 9e4), vol_ratio, 0.15, 1e5, is_call)
    assert (np.diff(found) > 0.0).all()
