"""How sharp is a quantile forecast, and is one sharper than another? Pinball loss and the Diebold-Mariano statistic.

A constant of a thousand passes no coverage test, but one may pass coverage and still hold twice what is needed. The
pinball loss is least in expectation for the true quantile (Koenker and Bassett 1978), so that it ranks forecasts that
all pass. Diebold and Mariano 1995, with Newey and West's variance.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def pinball(losses: Floats, forecast: Floats, quantile: float) -> Floats:
    """(T,) q (L - f) above the forecast, (1 - q)(f - L) below it."""
    gap = losses - forecast
    score: Floats = np.where(gap > 0.0, quantile * gap, (quantile - 1.0) * gap)
    return score


def diebold_mariano(first: Floats, second: Floats) -> float:
    """Mean of `first` - `second` (T,) in standard errors: negative when the first is sharper. Beyond -1.96 it is so at
    95%. Lags up to T^(1/3), by Bartlett's weights; 0 where the two never differ."""
    difference = first - second
    centred = difference - difference.mean()
    count = difference.size
    lags = int(count ** (1.0 / 3.0))
    variance = float(centred @ centred) / count
    for lag in range(1, lags + 1):
        weight = 1.0 - lag / (lags + 1.0)
        variance += 2.0 * weight * float(centred[lag:] @ centred[:-lag]) / count
    return float(difference.mean() / np.sqrt(variance / count)) if variance > 0.0 else 0.0
