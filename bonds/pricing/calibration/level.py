"""The level of the market: how much dearer than its measure recent issues were, known before the next one.

Each earlier issue of the last twelve months says by how many standard deviations its spread lay above what the measure
gave it, z = N^-1(spread) - N^-1(measure). Their mean, in which an issue counts half as much for each half-life of its
age and `prior` issues without a deviation are counted with them, is the level of a month. It is added where a Wang
transform has its lambda: N(N^-1(measure) + level). A month with no issue in the twelve before it has level zero, so a
level that nobody renews dies away by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Floats = NDArray[np.float64]
Months = NDArray[np.int64]

WINDOW_MONTHS = 12
HALF_LIVES = (1.0, 2.0, 4.0, 8.0)  # months
PRIORS = (2.0, 5.0)  # issues


@dataclass(frozen=True)
class LevelRule:
    """How fast an issue is forgotten and how many issues without a deviation stand against it."""

    half_life_months: float
    prior_issues: float


RULES = tuple(LevelRule(half_life, prior) for half_life in HALF_LIVES for prior in PRIORS)


def deviations(measured: Floats, spread: Floats) -> Floats:
    """(n,) by how many standard deviations each spread lies above the measure's."""
    return np.asarray(ndtri(_inside(spread)) - ndtri(_inside(measured)), dtype=np.float64)


def levels(rule: LevelRule, month: Months, deviation: Floats, of: Sequence[int] | Months) -> Floats:
    """(len(of),) the level of each of these months, from issues of strictly earlier months."""
    age = np.asarray(of)[:, None] - month[None, :]
    weight = np.where((age >= 1) & (age <= WINDOW_MONTHS), 0.5 ** (age / rule.half_life_months), 0.0)
    return np.asarray(weight @ deviation / (weight.sum(axis=1) + rule.prior_issues), dtype=np.float64)


def at_level(measured: Floats, level: Floats) -> Floats:
    """(n,) what the measure gives in a market at these levels."""
    return np.asarray(ndtr(ndtri(_inside(measured)) + level), dtype=np.float64)


def _inside(probability: Floats) -> Floats:
    """Off zero and one, whose normal quantiles are infinite."""
    return np.clip(probability, 1e-9, 1 - 1e-9)
