"""From a walk to verdicts: per book and over all books of a stretch of time.

A stretch has a name and two dates. Within it each book is tested by itself (coverage, independence, shortfall, score
against the plain forecasts); over all books the number of rejections is held against what a perfect model would see.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from risk.backtest.beyond import beyond_margin, probability_beyond
from risk.backtest.coverage import (
    SIZE,
    conditional_coverage_p_value,
    kupiec_p_value,
    kupiec_region,
    traffic_light,
)
from risk.backtest.null import rejection_null
from risk.backtest.past import TESTED_MIN
from risk.backtest.residuals import margin_tail_test, residuals, tail_test
from risk.backtest.scores import diebold_mariano, pinball
from risk.backtest.shortfall import TailForecast, p_value, second_statistic, simulated_statistics
from risk.backtest.tail_null import tail_null
from risk.backtest.walk import QUANTILES, Tails, Walk

Floats = NDArray[np.float64]

SHARPNESS_MAX = 0.97  # of the yardstick's pinball loss
LEVELS = ("99", "99.7")
NULL_SEED = 17
BUFFER_SHARE = 0.25  # the candidate, off in the standard ruleset: EMIR RTS 153/2013 article 28(1)(a)


@dataclass(frozen=True)
class Stretch:
    """Rows `begin` (included) to `end` (excluded) of a walk."""

    name: str
    begin: int
    end: int


def conditional_books(walk: Walk, plain: dict[str, Floats], stretch: Stretch) -> list[dict[str, Any]]:
    """One row a book tested in at least 250 windows of the stretch. `plain` (T, B, 2) forecasts by name."""
    rows = []
    beyond = probability_beyond(walk.tails, walk.margin)
    for index, book in enumerate(walk.books):
        tested = _tested(walk, index, stretch)
        if tested.size < TESTED_MIN:
            continue
        losses = walk.loss[tested, index]
        row: dict[str, Any] = {"book": book.name, "kind": book.kind, "windows": int(tested.size), "levels": {}}
        for level, (label, quantile) in enumerate(zip(LEVELS, QUANTILES, strict=True)):
            forecast = walk.var[tested, index, level]
            others = {name: values[tested, index, level] for name, values in plain.items()}
            row["levels"][label] = _level(losses, forecast, others, quantile)
        row["shortfall_99"] = _shortfall(walk, tested, index)
        row["tail"] = tail_test(_residuals(walk.loss, walk.tails, tested, index), float(walk.tails.share[tested].sum()))
        chances = [values[tested, index] for values in beyond]
        row["beyond_margin"] = beyond_margin(losses, walk.margin[tested, index], *chances)
        rows.append(row)
    return rows


def _tested(walk: Walk, book: int, stretch: Stretch) -> NDArray[np.intp]:
    return np.flatnonzero(np.isfinite(walk.margin[stretch.begin : stretch.end, book])) + stretch.begin


def _residuals(losses: Floats, tails: Tails, tested: NDArray[np.intp], book: int) -> Floats:
    found = residuals(losses[tested][:, [book]], tails.of_windows(tested).of_books(np.array([book])))[:, 0]
    kept: Floats = found[np.isfinite(found)]
    return kept


def _level(losses: Floats, forecast: Floats, others: dict[str, Floats], quantile: float) -> dict[str, Any]:
    hits = losses > forecast
    probability = 1.0 - quantile
    windows, exceptions = int(losses.size), int(hits.sum())
    score = pinball(losses, forecast, quantile)
    kupiec = kupiec_p_value(exceptions, windows, probability)
    conditional = conditional_coverage_p_value(hits, probability)
    result: dict[str, Any] = {
        "exceptions": exceptions,
        "expected": windows * probability,
        "accepted": list(kupiec_region(windows, probability)),
        "kupiec_p": kupiec,
        "kupiec_rejected": kupiec < SIZE,
        "christoffersen_p": conditional,
        "christoffersen_rejected": conditional < SIZE,
        "mean_forecast": float(forecast.mean()),
        "against": {},
    }
    for name, other in others.items():
        theirs = pinball(losses, other, quantile)
        result["against"][name] = {
            "exceptions": int((losses > other).sum()),
            "kupiec_rejected": kupiec_p_value(int((losses > other).sum()), windows, probability) < SIZE,
            "christoffersen_rejected": conditional_coverage_p_value(losses > other, probability) < SIZE,
            "pinball_ratio": float(score.mean() / theirs.mean()),
            "diebold_mariano": diebold_mariano(score, theirs),
        }
    return result


def _shortfall(walk: Walk, tested: NDArray[np.intp], book: int) -> dict[str, Any]:
    quantile = QUANTILES[0]
    var, xi = walk.var[tested, book, 0], walk.tails.xi[tested, book]
    scale = walk.tails.beta[tested, book] + xi * (var - walk.tails.u[tested, book])
    forecast = TailForecast(quantile, var, scale, xi)
    null = simulated_statistics(forecast, NULL_SEED + book)
    statistic = second_statistic(walk.loss[tested, book], forecast.value_at_risk, forecast.expected_shortfall, quantile)
    p = p_value(statistic, null)
    critical = float(null[int(SIZE * null.size)])
    return {"z2": statistic, "critical": critical, "p": p, "rejected": p < SIZE}


def conditional_verdict(walk: Walk, plain: dict[str, Floats], stretch: Stretch) -> dict[str, Any]:
    """Everything about model (a) in one stretch: books, rejections against their limits, sharpness."""
    rows = conditional_books(walk, plain, stretch)
    names = [row["book"] for row in rows]
    columns = [index for index, book in enumerate(walk.books) if book.name in names]
    part = slice(stretch.begin, stretch.end)
    levels = {}
    for level, (label, quantile) in enumerate(zip(LEVELS, QUANTILES, strict=True)):
        scaled = walk.loss[part, columns] / walk.var[part, columns, level]
        null = rejection_null(scaled, 1.0 - quantile, NULL_SEED)
        kupiec_limit, conditional_limit = null.limits()
        of_level = [row["levels"][label] for row in rows]
        kupiec = sum(one["kupiec_rejected"] for one in of_level)
        conditional = sum(one["christoffersen_rejected"] for one in of_level)
        levels[label] = {
            "exceptions": sum(one["exceptions"] for one in of_level),
            "expected": sum(one["expected"] for one in of_level),
            "kupiec": {"rejected": kupiec, "limit": kupiec_limit, "holds": kupiec <= kupiec_limit},
            "christoffersen": {
                "rejected": conditional,
                "limit": conditional_limit,
                "holds": conditional <= conditional_limit,
            },
            "dependence_dates": null.dates,
            "against": {
                name: _against(walk, values, columns, part, level, [one["against"][name] for one in of_level])
                for name, values in plain.items()
            },
        }
    shortfall = sum(row["shortfall_99"]["rejected"] for row in rows)
    # The same limit holds as for one-sided rejections of a perfect model at 5%: Kupiec's at the same level.
    limit = levels[LEVELS[0]]["kupiec"]["limit"]
    return {
        "stretch": stretch.name,
        "first": walk.days[stretch.begin].date().isoformat(),
        "last": walk.days[stretch.end - 1].date().isoformat(),
        "series": len(rows),
        "levels": levels,
        "shortfall_99": {"rejected": shortfall, "limit": limit, "holds": shortfall <= limit},
        **_tail_verdicts(walk, rows, columns, part),
        "books": rows,
    }


def _tail_verdicts(walk: Walk, rows: list[dict[str, Any]], columns: list[int], part: slice) -> dict[str, Any]:
    """Over all books: residuals of the tail, and the number and size of losses beyond margin."""
    chances, _ = probability_beyond(walk.tails, walk.margin)
    scaled = walk.loss[part, columns] / walk.var[part, columns, 0]
    limits = tail_null(scaled, chances[part, columns], NULL_SEED).limits()
    found = {}
    for name, limit in zip(("tail", "beyond_margin"), limits, strict=True):
        rejected = sum(row[name]["rejected"] for row in rows)
        found[name] = {"rejected": rejected, "limit": limit, "holds": rejected <= limit}
    found["tail"] |= {name: sum(row["tail"][name] for row in rows) for name in ("exceedances", "expected")}
    found["tail"]["mean_residual"] = float(np.mean([row["tail"]["mean_residual"] for row in rows]))
    found["beyond_margin"] |= {
        name: sum(row["beyond_margin"][name] for row in rows)
        for name in ("observed", "expected", "total_size", "expected_total_size")
    }
    return found


def _against(
    walk: Walk, other: Floats, columns: list[int], part: slice, level: int, of_level: list[dict[str, Any]]
) -> dict[str, Any]:
    """Scores over all books: the mean ratio, and Diebold-Mariano of the date's mean difference, each book's in units of
    the other forecast's mean score."""
    quantile = QUANTILES[level]
    forecast = walk.var[part, columns, level]
    losses = np.where(np.isfinite(forecast), walk.loss[part, columns], np.nan)
    ours = pinball(losses, forecast, quantile)
    theirs = pinball(losses, other[part, columns, level], quantile)
    unit = np.nanmean(theirs, axis=0)
    tested = np.isfinite(losses).any(axis=1)
    first, second = (np.nanmean((values / unit)[tested], axis=1) for values in (ours, theirs))
    ratio = float(np.mean([one["pinball_ratio"] for one in of_level]))
    return {
        "pinball_ratio": ratio,
        "books_sharper": sum(one["pinball_ratio"] < 1.0 for one in of_level),
        "diebold_mariano": diebold_mariano(first, second),
        "sharp": ratio <= SHARPNESS_MAX,
        "kupiec_rejected": sum(one["kupiec_rejected"] for one in of_level),
        "christoffersen_rejected": sum(one["christoffersen_rejected"] for one in of_level),
    }


def margin_verdict(walk: Walk, stretch: Stretch, probability: float = 1.0 - QUANTILES[1]) -> dict[str, Any]:
    """Everything about margin (b) in one stretch: zones at its level (99.7%), size against (a), procyclicality."""
    rows: list[dict[str, Any]] = []
    for index, book in enumerate(walk.books):
        tested = _tested(walk, index, stretch)
        if tested.size < TESTED_MIN:
            continue
        losses, margin = walk.loss[tested, index], walk.margin[tested, index]
        buffered = margin * np.maximum((1.0 + BUFFER_SHARE) / walk.rise[tested, index], 1.0)
        beyond = losses - margin
        light = traffic_light(int((beyond > 0.0).sum()), int(tested.size), probability)
        tail = _residuals(walk.loss, walk.margin_tails, tested, index)
        rows.append(
            {
                "book": book.name,
                "kind": book.kind,
                "windows": int(tested.size),
                "tail": margin_tail_test(tail, float(walk.margin_tails.share[tested].sum())),
                "exceptions": light.exceptions,
                "expected": tested.size * probability,
                "yellow_from": light.yellow_from,
                "red_from": light.red_from,
                "zone": light.zone,
                "mean_margin": float(margin.mean()),
                "size_against_conditional": float(margin.mean() / walk.var[tested, index, 1].mean()),
                "worst_loss_over_margin": float(np.max(losses / margin)),
                "mean_loss_beyond_margin": float(beyond[beyond > 0.0].mean()) if light.exceptions else 0.0,
                "procyclicality": procyclicality(margin),
                "mean_margin_buffered": float(buffered.mean()),
                "procyclicality_buffered": procyclicality(buffered),
                "procyclicality_conditional": procyclicality(walk.var[tested, index, 1]),
            }
        )
    zones = {zone: sum(row["zone"] == zone for row in rows) for zone in ("green", "yellow", "red")}
    return {
        "stretch": stretch.name,
        "series": len(rows),
        "level": 100.0 * (1.0 - probability),
        "zones": zones,
        "holds": zones["green"] == len(rows),
        "exceptions": sum(row["exceptions"] for row in rows),
        "expected": float(sum(row["expected"] for row in rows)),
        "size_against_conditional": float(np.mean([row["size_against_conditional"] for row in rows])),
        "tail_rejected": sum(row["tail"]["rejected"] for row in rows),
        "books": rows,
    }


def procyclicality(margin: Floats) -> dict[str, float]:
    """Of a margin series (T,): peak over trough, and the largest rise within 1, 5 and 30 windows as a fraction."""
    result = {"peak_to_trough": float(margin.max() / margin.min())}
    for days in (1, 5, 30):
        result[f"rise_{days}d"] = float(np.max(margin[days:] / margin[:-days]) - 1.0)
    return result
