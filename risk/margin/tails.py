"""Tails of the loss of many accounts at once: expected shortfall by partition, extreme quantiles by a Pareto fit.

Losses are positive. Only the worst hundred scenarios of each account are ever sorted. Shape and scale come from
probability-weighted moments (Hosking and Wallis 1987): closed form, hence vectorised over accounts.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Reals = NDArray[np.floating[Any]]

SMALLEST_SHAPE = 1e-9  # below it the Pareto quantile equals its exponential limit to the last digit


@dataclass(frozen=True)
class ParetoTail:
    """P(L > x) = share (1 + xi (x - u) / beta)^(-1/xi) for x > u, one value an account (A,)."""

    u: Floats
    xi: Floats
    beta: Floats
    share: float

    def value_at_risk(self, quantile: float) -> Floats:
        """(A,) the `quantile` of the loss: u + beta/xi (((1 - q)/share)^-xi - 1). Raises ValueError inside the body."""
        if not 1.0 - self.share <= quantile < 1.0:
            raise ValueError(f"{quantile} is not in the fitted tail of {self.share}")
        ratio = (1.0 - quantile) / self.share
        xi = np.maximum(self.xi, SMALLEST_SHAPE)
        value: Floats = self.u + self.beta * np.expm1(-xi * np.log(ratio)) / xi
        return value

    def expected_shortfall(self, quantile: float) -> Floats:
        """(A,) mean loss beyond the quantile: (VaR + beta - xi u)/(1 - xi)."""
        value: Floats = (self.value_at_risk(quantile) + self.beta - self.xi * self.u) / (1.0 - self.xi)
        return value


def worst_losses(losses: Reals, count: int) -> Floats:
    """(A, count) the largest losses of each account, ascending, from `losses` (A, S)."""
    size = losses.shape[1]
    if not 0 < count <= size:
        raise ValueError(f"cannot take the {count} worst of {size} scenarios")
    worst = np.partition(losses, size - count, axis=1)[:, size - count :].astype(np.float64)
    worst.sort(axis=1)
    return worst


def worst_scenarios(losses: Reals, count: int) -> tuple[Floats, NDArray[np.int32]]:
    """(A, count) each: `worst_losses`, and the scenarios in which they are."""
    size = losses.shape[1]
    if not 0 < count <= size:
        raise ValueError(f"cannot take the {count} worst of {size} scenarios")
    chosen = np.argpartition(losses, size - count, axis=1)[:, size - count :]
    order = np.argsort(np.take_along_axis(losses, chosen, axis=1), axis=1, kind="stable")
    where = np.take_along_axis(chosen, order, axis=1)
    return np.take_along_axis(losses, where, axis=1).astype(np.float64), where.astype(np.int32)


def expected_shortfall(losses: Reals, quantile: float) -> Floats:
    """(A,) mean of the round((1 - quantile) S) worst of equally likely losses (A, S). May be negative."""
    count = tail_count(losses.shape[1], quantile)
    mean: Floats = worst_losses(losses, count).mean(axis=1)
    return mean


def tail_count(size: int, quantile: float) -> int:
    """How many of `size` scenarios lie beyond the quantile, at least one."""
    return max(1, round(size * (1.0 - quantile)))


def fit_pareto(worst: Floats, size: int, shape_max: float) -> ParetoTail:
    """Fit to the largest losses of each account: `worst` (A, m + 1) ascending, of which the first is the threshold.

    a0 = mean(y), a1 = mean(y_(i) (1 - p_i)) with p_i = (i - 0.35)/m; xi = 2 - a0/(a0 - 2 a1), held in [0, shape_max],
    the scale then matching the mean excess: beta = a0 (1 - xi), which is the moment formula where nothing is held.
    """
    u = worst[:, 0]
    excess = worst[:, 1:] - u[:, None]
    m = excess.shape[1]
    weight = 1.0 - (np.arange(1, m + 1) - 0.35) / m
    a0 = excess.mean(axis=1)
    a1 = (excess * weight).mean(axis=1)
    spread = a0 - 2.0 * a1
    # A flat tail (a book that cannot lose more) has no excess: shape 0, scale 0.
    safe = np.where(spread > 0.0, spread, 1.0)
    xi = np.clip(np.where(spread > 0.0, 2.0 - a0 / safe, 0.0), 0.0, shape_max)
    return ParetoTail(u=u, xi=xi, beta=a0 * (1.0 - xi), share=m / size)
