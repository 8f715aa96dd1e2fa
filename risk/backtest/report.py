"""The report of a backtest: one JSON-ready body with every figure, and beside it what charts draw.

`run` reads a file, walks through it, scores the plain forecasts on the same windows and gives verdicts by stretch: the
years the model was chosen on, the years it had never seen, and all. The verdict that counts is the second.
How to read it: docs/backtest.md. Pure but for the file it reads and those it writes.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from risk.backtest.candidates import ewma_filtered, gjr_filtered, unfiltered
from risk.backtest.past import TESTED_MIN, Past
from risk.backtest.plots import exceptions_plot
from risk.backtest.prices import HourlyPrices, read_prices
from risk.backtest.verdicts import Stretch, conditional_verdict, margin_verdict
from risk.backtest.walk import QUANTILES, Walk, walk
from risk.margin.ruleset import Ruleset

Floats = NDArray[np.float64]
Progress = Callable[[str, int, int], None]

SCHEMA = 1
CHOSEN_UNTIL = date(2021, 12, 31)  # the model's form was chosen on recordings up to here and on nothing later
YARDSTICK = "ewma"
PLAIN = {"ewma": ewma_filtered, "gjr": gjr_filtered, "unfiltered": unfiltered}
DIGITS = 6


@dataclass(frozen=True)
class Report:
    """`body` is JSON-ready; `walk` and `plain` (forecasts (T, B, 2) by name) are what charts draw."""

    body: dict[str, Any]
    walk: Walk
    plain: dict[str, Floats]


def run(path: Path, rules: Ruleset, progress: Progress = lambda stage, done, of: None) -> Report:
    """Backtest `rules` on the Parquet file at `path`. Raises BadInput `backtest.*` when the file cannot be trusted."""
    prices = read_prices(path)
    walked = walk(Past(prices, rules), lambda done, of: progress("walk", done, of))
    plain = _plain(walked, progress)
    stretches = _stretches(walked)
    conditional = []
    for number, stretch in enumerate(stretches):
        conditional.append(conditional_verdict(walked, plain, stretch))
        progress("verdicts", number + 1, len(stretches))
    margin = [margin_verdict(walked, stretch) for stretch in stretches]
    body = {
        "schema": SCHEMA,
        "file": {"name": path.name, "sha256": sha256(path.read_bytes()).hexdigest(), "symbols": _symbols(prices)},
        "ruleset": {"name": rules.name, "version": rules.version, "hash": rules.hash},
        "chosen_until": CHOSEN_UNTIL.isoformat(),
        "yardstick": YARDSTICK,
        "verdicts": _verdicts(conditional, margin),
        "conditional": conditional,
        "margin": margin,
        "exceptions": _exceptions(walked),
    }
    return Report(body, walked, plain)


def _plain(walked: Walk, progress: Progress) -> dict[str, Floats]:
    """Each plain forecast sees a book's own losses from the first day that its coins were known, as the model did."""
    result = {}
    for name, forecast in PLAIN.items():
        values = np.full(walked.var.shape, np.nan)
        for book in range(len(walked.books)):
            held = np.flatnonzero(np.isfinite(walked.loss[:, book]))
            warm_up = int(np.argmax(np.isfinite(walked.margin[held, book])))
            values[held, book] = forecast(np.ascontiguousarray(walked.loss[held, book]), warm_up, QUANTILES)
            progress(name, book + 1, len(walked.books))
        result[name] = values
    return result


def _stretches(walked: Walk) -> list[Stretch]:
    """The whole, and its parts before and after the choice of the model where they are long enough to be tested."""
    end = len(walked.days)
    cut = next((row for row, day in enumerate(walked.days) if day.date() > CHOSEN_UNTIL), end)
    cut = max(cut, walked.begin)
    parts = [Stretch("chosen on", walked.begin, cut), Stretch("held out", cut, end)]
    parts = [part for part in parts if part.end - part.begin >= TESTED_MIN and _any_tested(walked, part)]
    return [*parts, Stretch("all", walked.begin, end)]


def _any_tested(walked: Walk, part: Stretch) -> bool:
    tested = np.isfinite(walked.margin[part.begin : part.end]).sum(axis=0)
    return bool((tested >= TESTED_MIN).any())


def _symbols(prices: HourlyPrices) -> list[dict[str, Any]]:
    rows = []
    for column, symbol in enumerate(prices.symbols):
        recorded = np.flatnonzero(np.isfinite(prices.log_close[:, column]))
        first, last = (prices.time_of(int(recorded[at])).isoformat() for at in (0, -1))
        rows.append({"symbol": symbol, "first_close": first, "last_close": last, "hours": int(recorded.size)})
    return rows


def _verdicts(conditional: list[dict[str, Any]], margin: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a claim and stretch: its figure, its limit and whether it holds."""
    rows: list[dict[str, Any]] = []

    def add(stretch: str, claim: str, figure: float, limit: float, holds: bool) -> None:
        rows.append({"stretch": stretch, "claim": claim, "figure": figure, "limit": limit, "holds": holds})

    for of in conditional:
        for label, level in of["levels"].items():
            for test in ("kupiec", "christoffersen"):
                counted = level[test]
                add(of["stretch"], f"{test}_rejected_{label}", counted["rejected"], counted["limit"], counted["holds"])
            sharp = level["against"][YARDSTICK]
            add(of["stretch"], f"pinball_ratio_{label}", sharp["pinball_ratio"], 0.97, sharp["sharp"])
        counted = of["shortfall_99"]
        add(of["stretch"], "acerbi_szekely_rejected_99", counted["rejected"], counted["limit"], counted["holds"])
        for claim, test in (("evt_residuals_rejected_95", "tail"), ("beyond_margin_rejected_99.7", "beyond_margin")):
            add(of["stretch"], claim, of[test]["rejected"], of[test]["limit"], of[test]["holds"])
    for of in margin:
        outside = of["series"] - of["zones"]["green"]
        add(of["stretch"], "margin_series_outside_green", outside, 0, of["holds"])
    return rows


def _exceptions(walked: Walk) -> list[dict[str, Any]]:
    """Every window whose loss exceeded the conditional VaR 99%, by book and day."""
    rows = []
    for book, name in enumerate(walked.books):
        for row in np.flatnonzero(walked.loss[:, book] > walked.var[:, book, 0]):
            figures = {
                "loss": walked.loss[row, book],
                "var_99": walked.var[row, book, 0],
                "var_99.7": walked.var[row, book, 1],
                "margin": walked.margin[row, book],
            }
            day = walked.days[row].date().isoformat()
            rows.append({"book": name.name, "day": day} | {key: _digits(value) for key, value in figures.items()})
    return rows


def _digits(value: float) -> float | None:
    return round(float(value), DIGITS) if np.isfinite(value) else None


def figures(body: dict[str, Any]) -> dict[str, Any]:
    """What is kept beside the code: verdicts and each book's figures, rounded; no price and no return of anybody's
    file. Of its days only the exceptions are named, each by what it was a multiple of: see `marked`."""
    rounded: dict[str, Any] = _rounded(body | {"exceptions": marked(body["exceptions"])})
    return rounded


def marked(exceptions: list[dict[str, Any]]) -> dict[str, list[list[Any]]]:
    """By book its exceptions in order: [day, loss over the VaR 99% of that day, loss over the margin of that day]."""
    found: dict[str, list[list[Any]]] = {}
    for row in exceptions:
        loss = row["loss"]
        shares = [round(loss / row[name], 3) if row[name] else None for name in ("var_99", "margin")]
        found.setdefault(row["book"], []).append([row["day"], *shares])
    return found


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list) else value


def write(report: Report, directory: Path) -> list[Path]:
    """Write report.json, series/<book>.json and plots/<book>.svg under `directory`; returns the paths."""
    (directory / "series").mkdir(parents=True, exist_ok=True)
    (directory / "plots").mkdir(exist_ok=True)
    main = directory / "report.json"
    made = datetime.now(UTC).isoformat(timespec="seconds")
    main.write_text(json.dumps(report.body | {"made_at": made}, indent=1) + "\n")
    paths = [main]
    for index, book in enumerate(report.walk.books):
        slug = re.sub(r"[^a-z0-9]+", "-", book.name.lower()).strip("-")
        series = series_of(report, index)
        paths += [directory / "series" / f"{slug}.json", directory / "plots" / f"{slug}.svg"]
        paths[-2].write_text(json.dumps(series) + "\n")
        paths[-1].write_text(exceptions_plot(series))
    return paths


def series_of(report: Report, index: int) -> dict[str, Any]:
    """One tested book's history, arrays of equal length: ISO days, losses, forecasts, yardstick."""
    walked = report.walk
    rows = np.flatnonzero(np.isfinite(walked.margin[:, index]))
    columns = {
        "loss": walked.loss[rows, index],
        "var_99": walked.var[rows, index, 0],
        "var_99.7": walked.var[rows, index, 1],
        "es_99": walked.es_99[rows, index],
        "margin": walked.margin[rows, index],
        "yardstick_99": report.plain[YARDSTICK][rows, index, 0],
    }
    book = walked.books[index]
    return {
        "book": book.name,
        "kind": book.kind,
        "days": [walked.days[row].date().isoformat() for row in rows],
        **{name: [_digits(value) for value in values] for name, values in columns.items()},
    }
