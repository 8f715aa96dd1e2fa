"""Filtering: daily returns into standardised residuals and the volatility of tomorrow (EWMA).

The filter makes a quiet year's history usable in a storm and the reverse: a scenario is a residual times today's
volatility, never below the floor of the full history. Needs numpy: risk workers only.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

EWMA_DECAY = 0.97
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


def nearest_correlation(matrix: Floats, floor: float = 1e-6) -> Floats:
    """A positive definite correlation matrix near `matrix` (C, C): negative eigenvalues are lifted to `floor`."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2.0)
    lifted: Floats = (vectors * np.maximum(values, floor)) @ vectors.T
    scale = np.sqrt(np.diag(lifted))
    result: Floats = lifted / np.outer(scale, scale)
    return result
