"""Out of sample, year by year: each year's issues are predicted by what was fitted on the years before it.

Nothing of the year itself is used but the issues of its earlier months in the level of the market, which anybody saw
when the next one was sold; the rule of the level is chosen on the earlier years too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bonds.pricing.calibration.candidates import Candidate
from bonds.pricing.calibration.fits import conditional_loss, first_losses, fit
from bonds.pricing.calibration.level import RULES, LevelRule, at_level, deviations, levels
from bonds.pricing.calibration.records import Issues
from intermediary.errors import BadInput

Floats = NDArray[np.float64]
BPS = 10_000
EARLIER_MIN = 30  # issues before a year that is predicted: ten for each parameter of the largest family


@dataclass(frozen=True)
class Prediction:
    """`plain` and `at_level` (n,) predicted spreads, NaN in years that are not predicted; and what each year was
    predicted with."""

    candidate: Candidate
    plain: Floats
    at_level: Floats
    theta: Mapping[int, Floats]
    rules: Mapping[int, LevelRule]


def predicted_years(issues: Issues) -> list[int]:
    """Years of the file with enough issues before them. Refuses a file that has none."""
    years = [int(year) for year in np.unique(issues.year) if (issues.year < year).sum() >= EARLIER_MIN]
    if not years:
        message = f"no year has {EARLIER_MIN} issues before it: nothing can be predicted"
        raise BadInput("calibration.too_few", message, rows=issues.count, earlier_min=EARLIER_MIN)
    return years


def predict(candidate: Candidate, issues: Issues, years: Sequence[int]) -> Prediction:
    """The rolling prediction of these years by one candidate, with and without the level of the market."""
    plain, raised = np.full(issues.count, np.nan), np.full(issues.count, np.nan)
    thetas, rules = {}, {}
    for year in years:
        earlier, now = issues.year < year, issues.year == year
        past = issues.taken(earlier)
        theta = fit(candidate, past)
        first = first_losses(issues, conditional_loss(past))
        measured = candidate.spread(theta, issues.expected_loss, first)
        deviation = deviations(measured, issues.spread)
        rule = best_rule(issues, measured, deviation, earlier)
        plain[now] = measured[now]
        raised[now] = at_level(measured[now], levels(rule, issues.month, deviation, issues.month[now]))
        thetas[year], rules[year] = theta, rule
    return Prediction(candidate, plain, raised, thetas, rules)


def best_rule(issues: Issues, measured: Floats, deviation: Floats, rows: NDArray[np.bool_]) -> LevelRule:
    """The rule with the least mean absolute error on these rows."""

    def error(rule: LevelRule) -> float:
        raised = at_level(measured[rows], levels(rule, issues.month, deviation, issues.month[rows]))
        return float(np.mean(np.abs(raised - issues.spread[rows])))

    return min(RULES, key=error)


def errors_bps(predicted: Floats, issues: Issues) -> Floats:
    """(n,) absolute error in basis points; NaN where nothing is predicted."""
    return np.asarray(np.abs(predicted - issues.spread) * BPS, dtype=np.float64)


def gain(ours: Floats, theirs: Floats, issues: Issues, resamples: int, seed: int) -> tuple[float, float, float]:
    """Mean error of `theirs` less that of `ours`, basis points, over issues that both predict; and its 5% and 95%
    points over resamples of whole months."""
    difference = errors_bps(theirs, issues) - errors_bps(ours, issues)
    both = np.isfinite(difference)
    months, row = np.unique(issues.month[both], return_inverse=True)
    sums, counts = np.bincount(row, difference[both]), np.bincount(row)
    drawn = np.random.default_rng(seed).integers(0, months.size, (max(resamples, 2), months.size))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.percentile(means, (5.0, 95.0))
    return float(difference[both].mean()), float(low), float(high)
