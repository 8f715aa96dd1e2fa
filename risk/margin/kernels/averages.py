"""Exponential averages of a series."""

import numpy as np
from numpy.typing import NDArray

from risk.margin.kernels.compiling import compiled


@compiled("float64[::1](float64[::1], float64)")
def exponential_average(values: NDArray[np.float64], decay: float) -> NDArray[np.float64]:
    """(n,) y[i] = (1 - decay) values[i] + decay y[i - 1], from nothing: `scipy.signal.lfilter` to the last bit, without
    half a second for importing scipy's signal and statistics in every process that prices."""
    result = np.empty_like(values)
    last = 0.0
    for i in range(values.size):
        last = (1.0 - decay) * values[i] + decay * last
        result[i] = last
    return result
