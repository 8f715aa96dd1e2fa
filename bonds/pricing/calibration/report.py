"""A whole calibration: every candidate's error by year out of sample, parameters on all issues and how sure they are.

Official is a distortion, so that layers add up, which a price of slices needs; with a price of risk lambda, so that the
level of the market and an implied lambda mean one thing; and without a floor, so that a safer class is always dearer.
Among those it is the one whose error at the level of the market is least, and what has a floor or no lambda is not
nearer by more than these data can tell (`gains`). What is found is plain numbers;
that they become the price of anything is two people's decision (`bonds.marking.rulesets`).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonds.pricing.calibration.candidates import CANDIDATES, Candidate
from bonds.pricing.calibration.fits import Sureness, conditional_loss, first_losses, fit, sureness
from bonds.pricing.calibration.level import WINDOW_MONTHS, LevelRule, deviations, levels
from bonds.pricing.calibration.records import Issues
from bonds.pricing.calibration.rolling import Prediction, best_rule, errors_bps, gain, predict, predicted_years

Floats = NDArray[np.float64]
OFFICIAL = "feared-wang"


@dataclass(frozen=True)
class Errors:
    """Mean absolute errors in basis points: by predicted year, over all of them, and over those of their issues that
    tell a probability of attachment. `all_issues` also over the years before, for a published measure, else None."""

    by_year: dict[int, float]
    overall: float
    first_loss_known: float
    all_issues: float | None = None


@dataclass(frozen=True)
class Found:
    """One candidate: errors of the measure alone and at the level of the market; parameters on all issues."""

    candidate: Candidate
    plain: Errors
    at_level: Errors
    theta: dict[str, float]
    sure: dict[str, Sureness]


@dataclass(frozen=True)
class Calibration:
    """`gains` in basis points with their 5% and 95% points: of the official measure at the level over the named other.
    `rule` and `levels` (of the twelve months after the last issue) belong to the official measure on all issues."""

    issues: Issues
    years: tuple[int, ...]
    found: tuple[Found, ...]
    gains: dict[str, tuple[float, float, float]]
    rule: LevelRule
    levels: dict[str, float]
    resamples: int

    def of(self, name: str) -> Found:
        """The figures of one candidate."""
        return next(one for one in self.found if one.candidate.name == name)

    def as_data(self) -> dict[str, Any]:
        """A JSON value."""
        issues = self.issues
        return {
            "file_sha256": issues.digest,
            "rows": issues.count,
            "dropped": dict(issues.dropped),
            "first_loss_unknown": int((~issues.known_first_loss).sum()),
            "first_month": month_text(int(issues.month[0])),
            "last_month": month_text(int(issues.month[-1])),
            "predicted_years": list(self.years),
            "resamples": self.resamples,
            "measures": [_measure_data(one) for one in self.found],
            "gains_bps": {
                name: dict(zip(("mean", "low", "high"), one, strict=True)) for name, one in self.gains.items()
            },
            "official": OFFICIAL,
            "level_rule": asdict(self.rule),
            "levels": self.levels,
        }


def calibrate(issues: Issues, resamples: int = 200, seed: int = 7) -> Calibration:
    """Everything about these issues. Refuses a file with too few years; about ten seconds with 200 resamples."""
    years = predicted_years(issues)
    predictions = {one.name: predict(one, issues, years) for one in CANDIDATES}
    found = tuple(_found(one, issues, resamples, seed) for one in predictions.values())
    official = predictions[OFFICIAL]
    others = {
        "wang-published": predictions["wang-published"].plain,
        "lane-published": predictions["lane-published"].plain,
        "feared-wang without the level": official.plain,
        "linear at the level": predictions["linear"].at_level,
        "floored-wang at the level": predictions["floored-wang"].at_level,
        "wang at the level": predictions["wang"].at_level,
    }
    gains = {name: gain(official.at_level, one, issues, max(resamples, 2), seed) for name, one in others.items()}
    rule, after = _after(official.candidate, issues)
    return Calibration(issues, tuple(years), found, gains, rule, after, resamples)


def table(found: Calibration) -> str:
    """The same for a terminal: errors by year and measure, then parameters."""
    issues = found.issues
    head = (
        f"{'mean absolute error, bp':34}" + "".join(f"{year:>7}" for year in found.years) + f"{'all':>8}{'P known':>9}"
    )
    first, last = month_text(int(issues.month[0])), month_text(int(issues.month[-1]))
    lines = [
        f"{issues.count} issues of {first} to {last}; {sum(issues.dropped.values())} rows dropped: "
        + ("; ".join(f"{count} {why}" for why, count in issues.dropped.items()) or "none"),
        f"{int((~issues.known_first_loss).sum())} issues without a probability of attachment",
        "",
        head,
    ]
    for one in found.found:
        lines += [_line(one.candidate.name, one.plain), _line("  at the level of the market", one.at_level)]
    lines += ["", f"parameters on all issues, standard error, 5% to 95% of {found.resamples} resamples by month"]
    for one in found.found:
        for name, value in one.theta.items():
            sure = one.sure.get(name)
            said = f"  {sure.standard_error:8.4f}  {sure.low:8.4f} to {sure.high:8.4f}" if sure else ""
            lines.append(f"{one.candidate.name:16}{name:10}{value:9.4f}{said}")
    lines += ["", f"{OFFICIAL} at the level is nearer by (bp, 5% to 95%)"]
    lines += [
        f"  {mean:6.1f}  {low:6.1f} to {high:6.1f}  than {name}" for name, (mean, low, high) in found.gains.items()
    ]
    return "\n".join(lines)


def month_text(month: int) -> str:
    """2023-12 of a month counted from year 0."""
    return f"{month // 12:04d}-{month % 12 + 1:02d}"


def _found(prediction: Prediction, issues: Issues, resamples: int, seed: int) -> Found:
    candidate = prediction.candidate
    theta = fit(candidate, issues)
    sure = sureness(candidate, issues, theta, resamples, seed)
    whole = None
    if not candidate.fitted:
        predicted = candidate.spread(theta, issues.expected_loss, first_losses(issues, conditional_loss(issues)))
        whole = float(errors_bps(predicted, issues).mean())
    return Found(
        candidate=candidate,
        plain=_errors(prediction.plain, issues, list(prediction.theta), whole),
        at_level=_errors(prediction.at_level, issues, list(prediction.theta)),
        theta=dict(zip(candidate.parameters, map(float, theta), strict=True)),
        sure=dict(zip(candidate.parameters, sure, strict=False)),
    )


def _errors(predicted: Floats, issues: Issues, years: Sequence[int], whole: float | None = None) -> Errors:
    errors = errors_bps(predicted, issues)
    told = errors[issues.known_first_loss & np.isfinite(errors)]
    return Errors(
        by_year={year: float(errors[issues.year == year].mean()) for year in years},
        overall=float(np.nanmean(errors)),
        first_loss_known=float(told.mean()) if told.size else float("nan"),
        all_issues=whole,
    )


def _after(candidate: Candidate, issues: Issues) -> tuple[LevelRule, dict[str, float]]:
    """The rule on all issues, and the level of each month after the last one until it has died away."""
    measured = candidate.spread(fit(candidate, issues), issues.expected_loss, issues.first_loss)
    deviation = deviations(measured, issues.spread)
    rule = best_rule(issues, measured, deviation, np.ones(issues.count, dtype=np.bool_))
    months = [int(issues.month[-1]) + ahead for ahead in range(1, WINDOW_MONTHS + 1)]
    of_months = levels(rule, issues.month, deviation, months)
    return rule, {month_text(month): float(level) for month, level in zip(months, of_months, strict=True)}


def _measure_data(one: Found) -> dict[str, Any]:
    return {
        "name": one.candidate.name,
        "words": one.candidate.words,
        "parameters": one.theta,
        "sureness": {name: asdict(sure) for name, sure in one.sure.items()},
        "error_bps": asdict(one.plain),
        "error_at_level_bps": asdict(one.at_level),
    }


def _line(name: str, errors: Errors) -> str:
    by_year = "".join(f"{error:7.0f}" for error in errors.by_year.values())
    return f"{name:34}{by_year}{errors.overall:8.1f}{errors.first_loss_known:9.1f}" + (
        f"   all years {errors.all_issues:.1f}" if errors.all_issues is not None else ""
    )
