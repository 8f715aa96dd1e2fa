"""Are losses beyond the threshold spread as the fitted Pareto tail says? Its residuals, tested.

A loss above a tail's threshold u becomes e = ln(1 + xi (L - u)/beta)/xi, exponential with mean one where the tail is
right, whatever its parameters were on that day (McNeil and Frey 2000). That uses every loss beyond about 95%, five
times as many as exceptions at 99%, and asks for the whole shape of the tail, not for one number of it.
Two-sided for the conditional model, by Anderson and Darling's statistic, which weighs the far tail most. One-sided for
the margin, by the residuals' mean: it may only be below one (their sum is a gamma variable: the p-value is exact).
"""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincc

from risk.backtest.coverage import SIZE
from risk.backtest.walk import Tails
from risk.margin.kernels import compiled
from risk.margin.tails import SMALLEST_SHAPE

Floats = NDArray[np.float64]

NULL_PATHS = 20_000
NULL_SIZE = 100  # residuals of a simulated right tail: the statistic's law is nearly the same for every number of them
NULL_SEED = 100
PROBABILITIES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98)  # of the quantiles that a report draws against the model's


def residuals(losses: Floats, tails: Tails) -> Floats:
    """(T, B) residuals of `losses` (T, B), NaN where a loss is not beyond its threshold or nothing is tested."""
    beyond = losses > tails.u
    xi = np.maximum(tails.xi, SMALLEST_SHAPE)
    scaled = np.where(beyond, losses - tails.u, 0.0) / np.where(tails.beta > 0.0, tails.beta, np.nan)
    result: Floats = np.where(beyond, np.log1p(xi * scaled) / xi, np.nan)
    return result


@compiled("float64(float64[::1])")
def anderson_darling(ascending: Floats) -> float:
    """The statistic of sorted residuals (n,) against the exponential law of mean one, all its parameters known:
    -n - 1/n sum (2 i - 1) (ln F(e_i) + ln(1 - F(e_{n + 1 - i}))). Needs n > 0 and residuals above zero."""
    n = ascending.size
    total = 0.0
    for i in range(n):
        # A residual of zero to the last digit has a logarithm of minus infinity, which no loss deserves.
        total += (2.0 * i + 1.0) * (np.log(max(-np.expm1(-ascending[i]), 1e-16)) - ascending[n - 1 - i])
    return -n - total / n


@compiled("void(float64[::1], int64, int64)")
def _simulate(out: Floats, size: int, seed: int) -> None:
    np.random.seed(seed)
    for path in range(out.size):
        drawn = np.random.exponential(1.0, size)
        drawn.sort()
        out[path] = anderson_darling(drawn)


@cache
def darling_null() -> Floats:
    """Sorted statistics of NULL_PATHS right tails."""
    statistics = np.empty(NULL_PATHS)
    _simulate(statistics, NULL_SIZE, NULL_SEED)
    statistics.sort()
    return statistics


def darling_critical() -> float:
    """Beyond it a right tail is rejected at 5%: 2.49 in print (Stephens 1974, all parameters known)."""
    return float(darling_null()[int(np.ceil((1.0 - SIZE) * NULL_PATHS)) - 1])


def tail_test(found: Floats, expected: float) -> dict[str, Any]:
    """Of one book's residuals (n,) without NaN: whether they are exponential. `expected` how many there should be."""
    ascending = np.sort(found)
    statistic = float(anderson_darling(ascending)) if ascending.size else 0.0
    null = darling_null()
    beyond = null.size - int(np.searchsorted(null, statistic, side="left"))
    p = (beyond + 1) / (null.size + 1)
    return {
        "exceedances": int(ascending.size),
        "expected": expected,
        "mean_residual": float(ascending.mean()) if ascending.size else 0.0,
        "anderson_darling": statistic,
        "critical": darling_critical(),
        "p": p,
        "rejected": p < SIZE,
        "quantiles": quantiles(ascending),
    }


def quantiles(ascending: Floats) -> list[list[float]]:
    """[of the exponential law, of the residuals] at some probabilities: equal where the tail is right."""
    if not ascending.size:
        return []
    return [[float(-np.log1p(-share)), float(np.quantile(ascending, share))] for share in PROBABILITIES]


def margin_tail_test(found: Floats, expected: float) -> dict[str, Any]:
    """Of one book's residuals of the margin's tail (n,): whether their mean is above one, which would be too light."""
    count = int(found.size)
    p = float(gammaincc(count, found.sum())) if count else 1.0
    return {
        "exceedances": count,
        "expected": expected,
        "mean_residual": float(found.mean()) if count else 0.0,
        "p": p,
        "rejected": p < SIZE,
    }
