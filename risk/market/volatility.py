"""Filtering: daily returns into standardised residuals and the volatility of tomorrow (EWMA).

The filter makes a quiet year's history usable in a storm and the reverse: a scenario is a residual times today's
volatility, never below the floor of the full history. Needs numpy: risk workers only.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from risk.market.parameters import VolResponse

Floats = NDArray[np.float64]

EWMA_DECAY = 0.97
LONG_HISTORY_DAYS = 500  # long enough to have seen both a calm and a storm
REST_POINTS = np.linspace(0.0, 1.0, 201)  # of the quantiles of what moves do not explain of volatility
SEED_DAYS = 30  # the first variance is that of the first month: shorter is noise, longer wastes history


def ewma_filter(returns: Floats, decay: float = EWMA_DECAY) -> tuple[Floats, float]:
    """Residuals r_t / sigma_t with sigma_t known before t, and the standard deviation forecast after the last day.

    `returns` (T,) log returns, NaN where none is recorded (skipped, the residual stays NaN). Source:
    sigma2_{t+1} = decay sigma2_t + (1 - decay) r_t^2. Raises ValueError on fewer than SEED_DAYS returns.
    """
    recorded = np.flatnonzero(~np.isnan(returns))
    if recorded.size < SEED_DAYS:
        raise ValueError(f"{recorded.size} returns, at least {SEED_DAYS} are needed to start the filter")
    variance = float(np.mean(np.square(returns[recorded[:SEED_DAYS]])))
    residuals = np.full_like(returns, np.nan)
    for index in recorded:
        residuals[index] = returns[index] / np.sqrt(variance)
        variance = decay * variance + (1.0 - decay) * float(returns[index]) ** 2
    return residuals, float(np.sqrt(variance))


def volatility_floors(returns: Floats) -> Floats:
    """(C,) full-history standard deviations of `returns` (T, C), NaN where unrecorded: the volatility below which
    margin never falls. A coin of fewer than 500 days (and of fewer than the longest recorded) is scaled by how quiet
    its days were for the long ones that share them; NaN for a coin without two returns."""
    counts = np.sum(~np.isnan(returns), axis=0)
    own = np.full(returns.shape[1], np.nan)
    enough = counts > 1
    own[enough] = np.nanstd(returns[:, enough], axis=0)
    long = counts >= min(LONG_HISTORY_DAYS, int(counts.max()))
    floors = own.copy()
    for index in np.flatnonzero(enough & ~long):
        window = ~np.isnan(returns[:, index])
        shared = long & (np.sum(~np.isnan(returns[window]), axis=0) > 1)
        if shared.any():
            floors[index] *= float(np.mean(own[shared] / np.nanstd(returns[window][:, shared], axis=0)))
    return floors


def nearest_correlation(matrix: Floats, floor: float = 1e-6) -> Floats:
    """A positive definite correlation matrix near `matrix` (C, C): negative eigenvalues are lifted to `floor`."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2.0)
    lifted: Floats = (vectors * np.maximum(values, floor)) @ vectors.T
    scale = np.sqrt(np.diag(lifted))
    result: Floats = lifted / np.outer(scale, scale)
    return result


def vol_change(moves: Floats, response: VolResponse, noise: Floats, as_recorded: bool) -> Floats:
    """Log change of implied volatility for `moves` in daily standard deviations: `down` for each of a fall, `up` for
    each of a rise, and by itself the rest at the probability of `noise` (standard normal): one of those `as_recorded`,
    or of the normal distribution with their deviation."""
    rest = np.interp(ndtr(noise), REST_POINTS, response.rest) if as_recorded else response.residual * noise
    change: Floats = response.down * np.maximum(-moves, 0.0) + response.up * np.maximum(moves, 0.0) + rest
    return change


def fit_vol_response(moves: Floats, changes: Floats) -> VolResponse:
    """By least squares of log `changes` (T,) on the days' `moves` (T,)."""
    design = np.column_stack([np.maximum(-moves, 0.0), np.maximum(moves, 0.0)])
    beta, *_ = np.linalg.lstsq(design, changes, rcond=None)
    rest = changes - design @ beta
    quantiles = np.quantile(rest - rest.mean(), REST_POINTS)
    return VolResponse(float(beta[0]), float(beta[1]), float(rest.std()), tuple(quantiles.tolist()))
