"""Do losses exceed a forecast quantile as often, and as independently, as it says? Tests of exceptions.

An exception is a window whose loss is beyond the forecast. `probability` is what the forecast promises (0.01 for a 99%
quantile). Exceptions are few, so that the chi-square limits mislead (Kupiec's has 5% size only for thousands of
windows): every critical value here is exact or simulated from the null for the sample at hand.
Sources: Kupiec 1995; Christoffersen 1998; Basel Committee 1996 (three zones).
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy
from scipy.stats import binom

from risk.margin.kernels import compiled

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

SIZE = 0.05  # of every two-sided test
YELLOW, RED = 0.95, 0.9999  # cumulative probabilities at which the Basel zones begin
NULL_PATHS = 20_000  # the 95% quantile of a simulated statistic is then known to about 1%
TIE = 1e-9  # likelihood ratios of the same counts differ in the last digits by the order of summation


def kupiec_ratio(exceptions: Integers | int, windows: int, probability: float) -> Floats:
    """Likelihood ratio of "the rate is `probability`" against the observed rate, 0 where they are equal."""
    x = np.asarray(exceptions, dtype=np.float64)
    rate = x / windows
    observed = xlogy(x, rate) + xlogy(windows - x, 1.0 - rate)
    promised = x * np.log(probability) + (windows - x) * np.log1p(-probability)
    ratio: Floats = np.maximum(2.0 * (observed - promised), 0.0)
    return ratio


@cache
def _kupiec_table(windows: int, probability: float) -> tuple[Floats, Floats]:
    counts = np.arange(windows + 1)
    return kupiec_ratio(counts, windows, probability), binom.pmf(counts, windows, probability)


def kupiec_p_value(exceptions: int, windows: int, probability: float) -> float:
    """Exact: the probability, were the forecast right, of a count whose likelihood ratio is at least this large."""
    ratios, masses = _kupiec_table(windows, probability)
    return float(min(masses[ratios >= ratios[exceptions] - TIE].sum(), 1.0))


def kupiec_region(windows: int, probability: float, size: float = SIZE) -> tuple[int, int]:
    """Smallest and largest count that the exact test does not reject."""
    # Ten times the promised count is never accepted at any usual size, so that no larger one needs computing.
    largest = min(windows, int(10 * windows * probability) + 20)
    accepted = [x for x in range(largest + 1) if kupiec_p_value(x, windows, probability) >= size]
    return accepted[0], accepted[-1]


def kupiec_region_asymptotic(windows: int, probability: float, critical: float = 3.841458820694124) -> tuple[int, int]:
    """The region that Kupiec's table prints: likelihood ratio below the chi-square quantile (95%, 1 degree)."""
    counts = np.arange(windows + 1)
    inside = np.flatnonzero(kupiec_ratio(counts, windows, probability) < critical)
    return int(inside[0]), int(inside[-1])


@compiled("float64(int64, int64, int64, boolean, boolean, float64)")
def ratio_of_counts(n: int, x: int, pairs: int, begins: bool, ends: bool, probability: float) -> float:
    """Christoffersen's ratio of `n` windows with `x` exceptions: `pairs` of them follow one another at once, and the
    first (last) window is one where the sequence `begins` (`ends`) with it. All transitions follow from these."""
    n11, n01, n10 = pairs, x - pairs - begins, x - pairs - ends
    n00 = max(n - 1, 0) - n11 - n01 - n10
    result = -2.0 * (x * np.log(probability) + (n - x) * np.log(1.0 - probability))
    if 0 < x < n:
        result += 2.0 * (x * np.log(x / n) + (n - x) * np.log(1.0 - x / n))
    moved, all_moves = n01 + n11, n00 + n01 + n10 + n11
    if 0 < moved < all_moves:
        rate = moved / all_moves
        result -= 2.0 * (moved * np.log(rate) + (all_moves - moved) * np.log(1.0 - rate))
        for stay, go in ((n00, n01), (n10, n11)):
            if stay > 0 and go > 0:
                result += 2.0 * (go * np.log(go / (stay + go)) + stay * np.log(stay / (stay + go)))
    return float(max(result, 0.0))


@compiled("float64(boolean[::1], float64)")
def conditional_coverage_ratio(hits: NDArray[np.bool_], probability: float) -> float:
    """Christoffersen's ratio: Kupiec's plus that of independence, from the transitions of `hits` (T,) in time."""
    x = pairs = 0
    for t in range(hits.size):
        if hits[t]:
            x += 1
            pairs += t > 0 and hits[t - 1]
    begins, ends = hits.size > 0 and hits[0], hits.size > 0 and hits[-1]
    return ratio_of_counts(hits.size, x, pairs, begins, ends, probability)


@compiled("void(float64[::1], int64, float64, int64)")
def _simulate_ratios(out: Floats, windows: int, probability: float, seed: int) -> None:
    np.random.seed(seed)
    for path in range(out.size):
        x = pairs = 0
        begins = ends = False
        before, t = -1, np.random.geometric(probability) - 1
        while t < windows:  # waiting times between exceptions are geometric
            pairs += x > 0 and before == t - 1
            x += 1
            begins, ends = begins or t == 0, t == windows - 1
            before, t = t, t + np.random.geometric(probability)
        out[path] = ratio_of_counts(windows, x, pairs, begins, ends, probability)


@cache
def conditional_coverage_null(windows: int, probability: float) -> Floats:
    """Sorted ratios of NULL_PATHS independent sequences of `windows` with the promised rate; seeded by the length."""
    ratios = np.empty(NULL_PATHS)
    _simulate_ratios(ratios, windows, probability, windows)
    ratios.sort()
    return ratios


def conditional_coverage_p_value(hits: NDArray[np.bool_], probability: float) -> float:
    """Share of independent sequences with at least this ratio, itself counted among them."""
    null = conditional_coverage_null(hits.size, probability)
    ratio = conditional_coverage_ratio(np.ascontiguousarray(hits), probability)
    beyond = null.size - int(np.searchsorted(null, ratio - TIE, side="left"))
    return (beyond + 1) / (null.size + 1)


@dataclass(frozen=True)
class TrafficLight:
    """Zones of a count of exceptions: yellow from `yellow_from`, red from `red_from`."""

    exceptions: int
    yellow_from: int
    red_from: int

    @property
    def zone(self) -> str:
        """green, yellow or red."""
        if self.exceptions >= self.red_from:
            return "red"
        return "yellow" if self.exceptions >= self.yellow_from else "green"


def traffic_light(exceptions: int, windows: int, probability: float) -> TrafficLight:
    """Basel's zones, computed for the sample: yellow (red) begins at the count up to which 95% (99.99%) of right
    forecasts would stay. One-sided: too few exceptions are never yellow."""
    cumulative = binom.cdf(np.arange(windows + 1), windows, probability)
    yellow, red = (int(np.argmax(cumulative >= level)) for level in (YELLOW, RED))
    return TrafficLight(exceptions, yellow, red)
