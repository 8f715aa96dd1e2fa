"""Is the expected shortfall the mean of what lies beyond the quantile? Acerbi and Szekely's second test.

Z2 = 1 - sum_t L_t 1{L_t > VaR_t} / (T (1 - q) ES_t): zero on average for a right model, negative when losses beyond
the quantile are larger or more frequent than forecast. Losses positive. Source: Acerbi and Szekely 2014, test 2; its
critical value of -0.70 holds at T = 250 and q = 97.5% only, so that here it is simulated for the forecasts at hand.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NULL_PATHS = 5_000
SIZE = 0.05


@dataclass(frozen=True)
class TailForecast:
    """A Pareto tail a window, (T,) each: `value_at_risk` at `quantile`, beyond it P(L > x | L > VaR) =
    (1 + xi (x - VaR)/scale)^(-1/xi), hence ES = VaR + scale/(1 - xi)."""

    quantile: float
    value_at_risk: Floats
    scale: Floats
    xi: Floats

    @property
    def expected_shortfall(self) -> Floats:
        """(T,) mean loss beyond the quantile."""
        mean: Floats = self.value_at_risk + self.scale / (1.0 - self.xi)
        return mean


def second_statistic(losses: Floats, value_at_risk: Floats, expected_shortfall: Floats, quantile: float) -> float:
    """Z2 of `losses` (T,)."""
    beyond = losses > value_at_risk
    share = np.sum(losses[beyond] / expected_shortfall[beyond])
    return float(1.0 - share / (losses.size * (1.0 - quantile)))


def simulated_statistics(forecast: TailForecast, seed: int, paths: int = NULL_PATHS) -> Floats:
    """(paths,) sorted Z2 of worlds in which the forecast is right: exceptions independent, sizes from its tail."""
    random = np.random.default_rng(seed)
    windows = forecast.value_at_risk.size
    probability = 1.0 - forecast.quantile
    counts = random.binomial(windows, probability, size=paths)
    path = np.repeat(np.arange(paths), counts)
    day = random.integers(windows, size=path.size)  # two of one path on one day: of order 1/T, without effect
    xi = np.maximum(forecast.xi[day], 1e-9)
    excess = np.expm1(-xi * np.log(random.random(path.size))) * forecast.scale[day] / xi
    sizes = (forecast.value_at_risk[day] + excess) / forecast.expected_shortfall[day]
    sums = np.bincount(path, weights=sizes, minlength=paths)
    statistics: Floats = np.sort(1.0 - sums / (windows * probability))
    return statistics


def p_value(statistic: float, null: Floats) -> float:
    """One-sided: share of right worlds with a Z2 as low, itself counted among them."""
    return (int(np.searchsorted(null, statistic, side="right")) + 1) / (null.size + 1)
