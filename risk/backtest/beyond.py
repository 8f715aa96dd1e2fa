"""How often and how far should losses have gone beyond margin? The conditional model's answer beside what happened.

Margin stands on a level of its own each day: floors and the stressed quarter lift it above the conditional model's
99.7%, now much, now little. The conditional model, which is tested to be neither low nor high, says for each day with
what probability a loss passes the margin and by how much. Their sums are what layers behind margin should have
expected; the number's law is that of independent unequal events, computed exactly.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from risk.backtest.coverage import SIZE
from risk.backtest.walk import Tails
from risk.margin.kernels import compiled
from risk.margin.tails import SMALLEST_SHAPE

Floats = NDArray[np.float64]

COUNT_MAX = 60  # losses beyond margin of one book: more are no tail


def probability_beyond(tails: Tails, level: Floats) -> tuple[Floats, Floats]:
    """(T, B) each: P(L > level) and E[(L - level)+] under the tails. A level below the threshold counts as at it: the
    tail says nothing about the body."""
    xi = np.maximum(tails.xi, SMALLEST_SHAPE)
    above = np.maximum(level - tails.u, 0.0)
    beta = np.where(tails.beta > 0.0, tails.beta, np.nan)
    probability = tails.share[:, None] * np.exp(-np.log1p(xi * above / beta) / xi)
    excess: Floats = probability * (tails.beta + xi * above) / (1.0 - xi)
    return probability, excess


def count_law(probability: Floats) -> Floats:
    """(n,) P(count = 0, 1, ...) of independent events with `probability` (T,), up to COUNT_MAX."""
    law = np.zeros(COUNT_MAX + 1)
    _convolve(law, np.ascontiguousarray(probability))
    return law


@compiled("void(float64[::1], float64[::1])")
def _convolve(law: Floats, probability: Floats) -> None:
    law[0] = 1.0
    for p in probability:
        for count in range(law.size - 1, 0, -1):
            law[count] += p * (law[count - 1] - law[count])
        law[0] *= 1.0 - p


def accepted_counts(law: Floats, size: float = SIZE) -> tuple[int, int]:
    """The least and the largest count that are not in the lower or upper `size`/2 of the law."""
    cumulative = np.cumsum(law)
    low = int(np.searchsorted(cumulative, size / 2.0, side="right"))
    high = int(np.searchsorted(cumulative, 1.0 - size / 2.0, side="left"))
    return low, min(high, law.size - 1)


def rate_interval(count: int, windows: int, size: float = SIZE) -> tuple[float, float]:
    """Clopper and Pearson's exact interval of a rate of which `count` in `windows` were seen."""
    low = float(betaincinv(count, windows - count + 1, size / 2.0)) if count else 0.0
    high = float(betaincinv(count + 1, windows - count, 1.0 - size / 2.0)) if count < windows else 1.0
    return low, high


def beyond_margin(losses: Floats, margin: Floats, probability: Floats, excess: Floats) -> dict[str, Any]:
    """One book's windows, (T,) each; `probability` and `excess` of the margin by `probability_beyond`. Sizes are per
    dollar of gross notional; `p` is two-sided, twice the smaller tail."""
    over = np.maximum(losses - margin, 0.0)
    count, expected = int((over > 0.0).sum()), float(probability.sum())
    law = count_law(probability)
    cumulative = np.cumsum(law)
    at_least = 1.0 - float(cumulative[min(count, law.size) - 1]) if count else 1.0
    p = min(1.0, 2.0 * min(float(cumulative[min(count, law.size - 1)]), at_least))
    return {
        "observed": count,
        "expected": expected,
        "accepted": list(accepted_counts(law)),
        "p": p,
        "rejected": p < SIZE,
        "rate": count / losses.size,
        "rate_interval": list(rate_interval(count, int(losses.size))),
        "mean_size": float(over.sum() / count) if count else 0.0,
        "expected_mean_size": float(excess.sum() / expected),
        "total_size": float(over.sum()),
        "expected_total_size": float(excess.sum()),
    }
