"""Finding a measure's parameters, and how sure they are.

The criterion is the one that measures are judged by, the mean absolute error of the spread: a few issues of odd perils
carry several hundred basis points, and squares would let them rule. Standard errors and intervals come from resampling
whole months of issue, since issues of one month share that month's market.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from bonds.pricing.calibration.candidates import Candidate
from bonds.pricing.calibration.records import Issues

Floats = NDArray[np.float64]

STEPS_MAX = 2_000  # of a simplex in at most three dimensions: it stops by itself after some two hundred
INTERVAL = (5.0, 95.0)  # percentiles
UNKNOWN_CONDITIONAL_LOSS = 0.75  # EL over PFL where no earlier issue tells one: what those of 2018-2023 have, about


@dataclass(frozen=True)
class Sureness:
    """Of one parameter over resamples: standard error, and the 5% and 95% points."""

    standard_error: float
    low: float
    high: float


def conditional_loss(earlier: Issues) -> float:
    """Median EL over PFL of the issues that tell both."""
    known = earlier.known_first_loss
    if not known.any():
        return UNKNOWN_CONDITIONAL_LOSS
    return float(np.median(earlier.expected_loss[known] / earlier.first_loss[known]))


def first_losses(issues: Issues, conditional: float) -> Floats:
    """(n,) the recorded probability of attachment, or else the expected loss over the `conditional` one."""
    return np.where(issues.known_first_loss, issues.first_loss, np.minimum(1.0, issues.expected_loss / conditional))


def fit(candidate: Candidate, issues: Issues, start: Floats | None = None) -> Floats:
    """(p,) parameters with the least mean absolute error on these issues; empty for a published measure."""
    if not candidate.fitted:
        return np.empty(0)
    first = first_losses(issues, conditional_loss(issues))

    def error(theta: Floats) -> float:
        return float(np.mean(np.abs(candidate.spread(theta, issues.expected_loss, first) - issues.spread)))

    begin = np.array(candidate.start) if start is None else start
    options = {"maxiter": STEPS_MAX, "xatol": 1e-6, "fatol": 1e-9}
    found = minimize(error, begin, method="Nelder-Mead", options=options)
    # A simplex may come to rest at a kink of the absolute error: begun again where it stopped, it goes on.
    return np.asarray(minimize(error, found.x, method="Nelder-Mead", options=options).x, dtype=np.float64)


def sureness(candidate: Candidate, issues: Issues, theta: Floats, resamples: int, seed: int) -> list[Sureness]:
    """Of each parameter, by `resamples` of whole months with replacement; none for a published measure."""
    if not candidate.fitted or resamples < 2:
        return []
    random = np.random.default_rng(seed)
    rows_of = [np.flatnonzero(issues.month == month) for month in np.unique(issues.month)]
    found = np.empty((resamples, theta.size))
    for number in range(resamples):
        drawn = random.integers(0, len(rows_of), len(rows_of))
        found[number] = fit(candidate, issues.taken(np.concatenate([rows_of[one] for one in drawn])), theta)
    low, high = np.percentile(found, INTERVAL, axis=0)
    spreads = found.std(axis=0, ddof=1)
    return [Sureness(float(s), float(a), float(b)) for s, a, b in zip(spreads, low, high, strict=True)]
