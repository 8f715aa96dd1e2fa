"""What a price says of promised or expected cash flows: yield, duration, convexity, z-spread, discount margin.

Times are ACT/365 years, yields effective annual, spreads over the risk-free curve; all fractions of one. A figure is
None where no rate within `YIELD_BOUNDS` explains the price: a note close to certain loss. Pure numpy and scipy.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

FloatArray = NDArray[np.float64]

YIELD_BOUNDS = (-0.99, 10.0)  # beyond 1,000% a year a yield tells an investor nothing that the price does not
START = 0.05  # between a bill and a high-yield bond
STEPS_MAX = 12  # squared errors: from any sensible start six are enough
TOLERANCE = 1e-13


def yield_of(amounts: FloatArray, times: FloatArray, dirty: float) -> float | None:
    """Effective annual rate at which these flows are worth the price."""

    def worth(rate: float) -> tuple[float, float]:
        grown = 1 + rate
        values = amounts * grown**-times
        return float(values.sum()) - dirty, -float(values @ times) / grown

    return _newton(worth)


def z_spread(amounts: FloatArray, times: FloatArray, factors: FloatArray, dirty: float) -> float | None:
    """Continuous spread over the curve of these discount factors at which the flows are worth the price."""
    discounted = amounts * factors

    def worth(spread: float) -> tuple[float, float]:
        values = discounted * np.exp(-spread * times)
        return float(values.sum()) - dirty, -float(values @ times)

    return _newton(worth)


def discount_margin(
    amounts: FloatArray, forwards: FloatArray, year_fractions: FloatArray, dirty: float
) -> float | None:
    """Simple margin over each period's risk-free forward rate at which the flows are worth the price: of a floating
    note at par at the start of a period it is the quoted spread. `year_fractions` of what is left of each period."""

    def worth(margin: float) -> float:
        return float(amounts @ np.cumprod(1 / (1 + (forwards + margin) * year_fractions)))

    # A margin that makes a factor negative is none: the bound is tightened to the longest period.
    lowest = float(np.max(-1 / year_fractions - forwards)) + 1e-6
    return _root(lambda margin: worth(margin) - dirty, low=max(YIELD_BOUNDS[0], lowest))


def duration_and_convexity(amounts: FloatArray, times: FloatArray, rate: float) -> tuple[float, float]:
    """Modified duration in years and convexity in years squared of flows at their yield."""
    worth = amounts * (1 + rate) ** -times
    price = float(worth.sum())
    duration = float(worth @ times) / price / (1 + rate)
    return duration, float(worth @ (times * (times + 1))) / price / (1 + rate) ** 2


def _newton(worth: Callable[[float], tuple[float, float]]) -> float | None:
    """Where a falling convex function, given with its slope, is zero: three or four steps for a usual note. Newton's
    steps stay on one side of such a root after the first; what they do not settle is bracketed."""
    rate = START
    for _ in range(STEPS_MAX):
        excess, slope = worth(rate)
        if slope >= 0.0:  # flows so far discounted away that nothing moves them
            break
        step = excess / slope
        rate -= step
        if not YIELD_BOUNDS[0] < rate < YIELD_BOUNDS[1]:
            break
        if abs(step) < TOLERANCE:
            return rate
    return _root(lambda one: worth(one)[0])


def _root(
    excess: Callable[[float], float], low: float = YIELD_BOUNDS[0], high: float = YIELD_BOUNDS[1]
) -> float | None:
    """Where a falling function of a rate is zero, or None if that is not within the bounds."""
    if not excess(low) >= 0 >= excess(high):
        return None
    return float(brentq(excess, low, high, xtol=TOLERANCE))
