"""The filter of the standard ruleset: tomorrow's covariance of 24-hour returns from hourly ones.

A day's realised covariance is the sum of products of its 24 hourly log returns. The forecast is the plain mean of four
exponential averages of it, with half-lives of about 1, 3, 10 and 46 days: quick enough for the day after a crash, slow
enough to remember it a quarter later. Nothing is fitted, so nothing can be fitted to the future. One recursion serves
every portfolio: the forecast variance of a book is w' S w, hence a hedged pair has a volatility of its own.

Residuals are whitened: z_t = L_t^-1 r_t with L_t the Cholesky root of the forecast, coins in the order in which their
recording begins, so that a coin that begins later leaves the residuals of the older ones as they are. A scenario for
today is L_today z: past surprises in today's volatilities and today's correlations. Sources: Barone-Adesi, Giannopoulos
and Vosper 1999 (filtered history), Bollerslev, Hood, Huss and Pedersen 2018 (exponential realised averages).
Pure: arrays in, arrays out. Needs numpy and scipy: risk workers only.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from risk.margin.kernels import exponential_average

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

WINDOW_HOURS = 24
SEED_WINDOWS = 30  # the first month of a coin only starts its averages
EIGENVALUE_MIN = 1e-3  # of a forecast correlation: in a coin's first weeks averages of unequal age may contradict


@dataclass(frozen=True)
class FilteredHistory:
    """T non-overlapping windows of C coins. `ends` (T,) row of the hourly table at which each window ends; `order` (C,)
    the coins by first recorded hour; `returns` (T, C) log returns; `covariance` (T + 1, C, C): row t is the forecast
    for window t made before it, the last one is for the window to come; `root` its lower Cholesky root and `residual`
    (T, C) the whitened residuals, both with coins in `order`. NaN where a coin has not been recorded for 30 windows.
    """

    ends: Integers
    order: Integers
    returns: Floats
    covariance: Floats
    root: Floats
    residual: Floats


def filter_history(log_close: Floats, decays: tuple[float, ...], last_row: int) -> FilteredHistory:
    """Filter the windows that end at `last_row`, `last_row` - 24, ... of `log_close` (H, C), hourly log prices that are
    NaN where nothing is recorded. `decays` are a window's each. Raises ValueError when no two windows fit."""
    ends = np.arange(last_row % WINDOW_HOURS, last_row + 1, WINDOW_HOURS, dtype=np.int64)
    ends = ends[ends >= WINDOW_HOURS]
    if ends.size < 2:
        raise ValueError(f"{last_row + 1} hours hold no two windows of {WINDOW_HOURS}")
    returns = log_close[ends] - log_close[ends - WINDOW_HOURS]
    covariance = forecast_covariances(realised_covariances(log_close, ends), decays)
    recorded = np.isfinite(log_close)
    begins = np.where(recorded.any(axis=0), recorded.argmax(axis=0), log_close.shape[0])
    order = np.argsort(begins, kind="stable").astype(np.int64)
    ordered = covariance[:, order[:, None], order]
    residual = _whitened(ordered[:-1], returns[:, order])
    return FilteredHistory(ends, order, returns, covariance, cholesky_roots(ordered), residual)


def realised_covariances(log_close: Floats, ends: Integers) -> Floats:
    """(T, C, C) sums of products of the 24 hourly log returns before each row of `ends`; NaN where one is missing."""
    hourly = np.diff(log_close, axis=0)
    rows = ends[:, None] + np.arange(-WINDOW_HOURS, 0)
    moves = hourly[rows]
    result: Floats = np.einsum("thi,thj->tij", moves, moves)
    return result


def forecast_covariances(realised: Floats, decays: tuple[float, ...]) -> Floats:
    """(T + 1, C, C) mean over `decays` of exponential averages of `realised` (T, C, C), known before each window.

    Averages weigh what they have seen to one, so that they need no start value. Of two coins of unequal age the
    correlation is averaged over the common windows. An unrecorded window leaves the last forecast standing.
    """
    count, coins = realised.shape[:2]
    result = np.zeros((count + 1, coins, coins))
    for decay in decays:
        variance = [_average(realised[:, i, i], np.isfinite(realised[:, i, i]), decay) for i in range(coins)]
        for i in range(coins):
            result[:, i, i] += variance[i]
            for j in range(i):
                both = np.isfinite(realised[:, i, j])
                parts = [_average(realised[:, a, b], both, decay) for a, b in ((i, j), (i, i), (j, j))]
                correlation = parts[0] / np.sqrt(parts[1] * parts[2])
                result[:, i, j] += correlation * np.sqrt(variance[i] * variance[j])
    lower = np.tril(result, -1)
    summed: Floats = result + np.swapaxes(lower, 1, 2)
    return summed / len(decays)


def _average(values: Floats, recorded: NDArray[np.bool_], decay: float) -> Floats:
    """(T + 1,) the weighted mean of the recorded values before each row; NaN before SEED_WINDOWS of them."""
    rows = np.flatnonzero(recorded)
    result = np.full(values.size + 1, np.nan)
    if rows.size < SEED_WINDOWS:
        return result
    mean = exponential_average(values[rows], decay) / (1.0 - decay ** np.arange(1, rows.size + 1))
    seen = np.cumsum(recorded) - 1  # index of the last recorded value at or before each row
    known = seen >= SEED_WINDOWS - 1
    result[1:][known] = mean[seen[known]]
    return result


def cholesky_roots(covariance: Floats) -> Floats:
    """(T, C, C) lower Cholesky roots, NaN in the rows and columns of coins without a forecast. A correlation whose
    smallest eigenvalue is below 0.001 is lifted to it first. An unknown coin leaves the root of those before it."""
    root = np.full_like(covariance, np.nan)
    known = np.isfinite(np.einsum("tii->ti", covariance))
    for pattern in np.unique(known, axis=0):
        rows = np.flatnonzero((known == pattern).all(axis=1))
        columns = np.flatnonzero(pattern)
        if columns.size:
            block = covariance[rows[:, None, None], columns[:, None], columns]
            root[rows[:, None, None], columns[:, None], columns] = _roots(block)
    return root


def _roots(block: Floats) -> Floats:
    deviation = np.sqrt(np.einsum("tii->ti", block))
    correlation = block / deviation[:, :, None] / deviation[:, None, :]
    # Coins that never traded on the same days say nothing about each other.
    correlation = np.where(np.isfinite(correlation), correlation, 0.0)
    values, vectors = np.linalg.eigh(correlation)
    low = values[:, 0] < EIGENVALUE_MIN
    if low.any():
        lifted = (vectors[low] * np.maximum(values[low], EIGENVALUE_MIN)[:, None, :]) @ np.swapaxes(vectors[low], 1, 2)
        scale = np.sqrt(np.einsum("tii->ti", lifted))
        correlation[low] = lifted / scale[:, :, None] / scale[:, None, :]
    result: Floats = np.linalg.cholesky(correlation) * deviation[:, :, None]
    return result


def of_coins(covariance: Floats, present: NDArray[np.bool_]) -> Floats:
    """`covariance` (T, C, C) with NaN in the rows and columns of coins not `present` (T, C)."""
    result: Floats = np.where(present[:, :, None] & present[:, None, :], covariance, np.nan)
    return result


def _whitened(covariance: Floats, returns: Floats) -> Floats:
    """Forward substitution of L z = r in the root of the coins that are recorded in the window: one that is not (not
    yet, or no longer) takes nothing from the others."""
    root = np.nan_to_num(cholesky_roots(of_coins(covariance, np.isfinite(returns))))
    residual = np.full_like(returns, np.nan)
    for i in range(returns.shape[1]):
        explained = np.einsum("tj,tj->t", root[:, i, :i], np.nan_to_num(residual[:, :i]))
        scale = np.where(root[:, i, i] > 0.0, root[:, i, i], np.nan)
        residual[:, i] = (returns[:, i] - explained) / scale
    return residual


def fill_unrecorded(residual: Floats, random: np.random.Generator) -> tuple[Floats, NDArray[np.bool_]]:
    """Residuals (T, C) without gaps, and which rows (T,) had any to go by (the others stay NaN).

    A coin not recorded on a day takes the surprise of another coin on that day, with a random sign: whitened residuals
    are uncorrelated, and a day that was wild for all was wild for it. The first coin stands for the market and lends
    its residual only where no other is recorded.
    """
    filled = residual.copy()
    missing = np.isnan(residual)
    usable: NDArray[np.bool_] = ~np.all(missing, axis=1)
    for row in np.flatnonzero(missing.any(axis=1) & usable):
        recorded = np.flatnonzero(~missing[row])
        lenders = recorded[recorded > 0] if recorded.size > 1 else recorded
        gaps = np.flatnonzero(missing[row])
        filled[row, gaps] = residual[row, random.choice(lenders, gaps.size)] * random.choice([-1.0, 1.0], gaps.size)
    return filled, usable
