"""The plain forecasts that the engine's model must beat, on the same series and dates.

Each takes one book's losses as a series of its own and knows nothing of other books: historical simulation without a
filter, filtered by an exponential average (the yardstick), and filtered by GJR-GARCH(1,1) with Student innovations
(Glosten, Jagannathan and Runkle 1993), refitted on the past once a year.
"""

from math import lgamma

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from risk.margin.kernels import compiled
from risk.market.volatility import SEED_DAYS

Floats = NDArray[np.float64]

WINDOWS = 1_250  # look-back of every historical simulation here
YARDSTICK_DECAY = 0.97
REFIT_WINDOWS = 365
GJR_START = (0.05, 0.08, 0.02, 0.88, 6.0)  # omega as a share of the sample variance, alpha, gamma, beta, dof


def unfiltered(losses: Floats, warm_up: int, quantiles: tuple[float, ...]) -> Floats:
    """(T, K) quantiles of the last 1,250 losses, NaN before `warm_up`."""
    return _simulate(losses, np.ones(losses.size), warm_up, quantiles)


def ewma_filtered(losses: Floats, warm_up: int, quantiles: tuple[float, ...]) -> Floats:
    """(T, K) quantiles of the last 1,250 residuals of the exponential average (0.97) times its forecast."""
    deviation = np.empty_like(losses)
    variance = float(np.mean(np.square(losses[:SEED_DAYS])))
    for t, loss in enumerate(losses):
        deviation[t] = np.sqrt(variance)
        variance = YARDSTICK_DECAY * variance + (1.0 - YARDSTICK_DECAY) * float(loss) ** 2
    return _simulate(losses, deviation, warm_up, quantiles)


def _simulate(losses: Floats, deviation: Floats, warm_up: int, quantiles: tuple[float, ...], begin: int = 0) -> Floats:
    result = np.full((losses.size, len(quantiles)), np.nan)
    rolling_quantiles(result, losses / deviation, np.array(quantiles), max(warm_up, begin), WINDOWS)
    return result * deviation[:, None]


@compiled("void(float64[:, ::1], float64[::1], float64[::1], int64, int64)")
def rolling_quantiles(out: Floats, values: Floats, quantiles: Floats, begin: int, windows: int) -> None:
    """Fill `out` (T, K) from row `begin` with quantiles of the last `windows` of `values` (T,) before each row, linear
    between order statistics as numpy's. The first SEED_DAYS values only started a filter and are left out."""
    ordered = np.empty(windows)
    count = 0
    for t in range(SEED_DAYS, values.size):
        if t >= begin:
            for k in range(quantiles.size):
                place = quantiles[k] * (count - 1)
                low = int(place)
                high = min(low + 1, count - 1)
                out[t, k] = ordered[low] + (place - low) * (ordered[high] - ordered[low])
        if count == windows:
            gone = np.searchsorted(ordered[:count], values[t - windows])
            ordered[gone : count - 1] = ordered[gone + 1 : count].copy()
            count -= 1
        place_of_new = np.searchsorted(ordered[:count], values[t])
        ordered[place_of_new + 1 : count + 1] = ordered[place_of_new:count].copy()
        ordered[place_of_new] = values[t]
        count += 1


@compiled("void(float64[::1], float64[::1], float64, float64, float64, float64)")
def gjr_variances(out: Floats, returns: Floats, omega: float, alpha: float, gamma: float, beta: float) -> None:
    """Fill `out` (T + 1,): v_{t+1} = omega + (alpha + gamma 1{r_t < 0}) r_t^2 + beta v_t, from out[0] as set."""
    for t in range(returns.size):
        square = returns[t] * returns[t]
        out[t + 1] = omega + (alpha + (gamma if returns[t] < 0.0 else 0.0)) * square + beta * out[t]


@compiled("float64(float64[::1], float64, float64, float64, float64, float64, float64)")
def gjr_likelihood(
    returns: Floats, variance: float, omega: float, alpha: float, gamma: float, beta: float, dof: float
) -> float:
    """Log-likelihood of `returns` (T,) under Student innovations scaled to the variances of `gjr_variances`, the first
    one `variance`, without its constant in dof.

    Logarithms cost more than all else, so that they are taken of products of eight days: returns of unit size, as
    `fit_gjr` makes them, leave these far inside what a number can hold."""
    v, total = variance, 0.0
    scale, tail = 1.0, 1.0
    for t in range(returns.size):
        square = returns[t] * returns[t]
        scaled = v * (dof - 2.0)
        scale *= scaled
        tail *= 1.0 + square / scaled
        if t % 8 == 7:
            total -= 0.5 * np.log(scale) + 0.5 * (dof + 1.0) * np.log(tail)
            scale, tail = 1.0, 1.0
        v = omega + (alpha + (gamma if returns[t] < 0.0 else 0.0)) * square + beta * v
    return float(total - 0.5 * np.log(scale) - 0.5 * (dof + 1.0) * np.log(tail))


def fit_gjr(returns: Floats) -> tuple[float, float, float, float, float]:
    """(omega, alpha, gamma, beta, dof) of the largest likelihood, by Nelder and Mead; no mean: daily means are noise.
    The recursion starts at the sample variance. Scale-free: returns may be fractions or percent."""
    scale = float(np.mean(np.square(returns)))
    unit = np.ascontiguousarray(returns / np.sqrt(scale))

    def negative(x: Floats) -> float:
        share, alpha, gamma, beta, dof = x
        explosive = alpha + gamma / 2.0 + beta >= 1.0
        if share <= 0.0 or alpha < 0.0 or alpha + gamma < 0.0 or beta < 0.0 or explosive or not 2.05 < dof < 200.0:
            return 1e12
        constant = lgamma((dof + 1.0) / 2.0) - lgamma(dof / 2.0)
        likelihood = gjr_likelihood(unit, 1.0, share, alpha, gamma, beta, dof)
        return -float(likelihood + unit.size * constant) / unit.size

    options = {"maxiter": 3_000, "maxfev": 3_000, "xatol": 1e-5, "fatol": 1e-9, "adaptive": True}
    found = optimize.minimize(negative, GJR_START, method="Nelder-Mead", options=options)
    share, alpha, gamma, beta, dof = (float(value) for value in found.x)
    return share * scale, alpha, gamma, beta, dof


def gjr_filtered(losses: Floats, warm_up: int, quantiles: tuple[float, ...]) -> Floats:
    """(T, K) as `ewma_filtered`, with a GJR-GARCH fitted to what came before each year's first window."""
    result = np.full((losses.size, len(quantiles)), np.nan)
    returns = np.ascontiguousarray(-losses)
    for begin in range(warm_up, losses.size, REFIT_WINDOWS):
        omega, alpha, gamma, beta, _ = fit_gjr(returns[:begin])
        end = min(begin + REFIT_WINDOWS, losses.size)
        variances = np.empty(end + 1)
        variances[0] = np.mean(np.square(returns[:begin]))
        gjr_variances(variances, returns[:end], omega, alpha, gamma, beta)
        result[begin:end] = _simulate(losses[:end], np.sqrt(variances[:end]), warm_up, quantiles, begin)[begin:]
    return result
