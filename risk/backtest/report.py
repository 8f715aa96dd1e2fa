"""The report of a backtest: one JSON-ready body with every figure, and beside it what charts draw.

`run` reads a file, walks through it, scores the plain forecasts on the same windows and gives verdicts by stretch: the
years the model was chosen on, the years it had never seen, and all. The verdict that counts is the second. Beside the
books of coins stand those of options, where an index of implied volatility is recorded, as a stretch of their own, and
cash and carry, where perpetuals are, without a verdict.
How to read it: docs/backtest.md. Pure but for the files it reads and writes.
"""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from risk.backtest.basis import basis_figures, basis_margins, premiums, renewals
from risk.backtest.candidates import ewma_filtered, gjr_filtered, unfiltered
from risk.backtest.options import option_walk
from risk.backtest.past import TESTED_MIN, Past
from risk.backtest.plots import exceptions_plot, tail_plot
from risk.backtest.prices import HourlyPrices, read_prices
from risk.backtest.verdicts import SHARPNESS_MAX, Stretch, conditional_verdict, margin_verdict
from risk.backtest.walk import QUANTILES, Walk, walk
from risk.margin.ruleset import Ruleset
from risk.market.history import FIVE_MINUTE_FILE
from risk.market.vol_index import read_vol_index

Floats = NDArray[np.float64]
Progress = Callable[[str, int, int], None]

SCHEMA = 2
CHOSEN_UNTIL = date(2021, 12, 31)  # the model's form was chosen on recordings up to here and on nothing later
YARDSTICK = "ewma"
PLAIN = {"ewma": ewma_filtered, "gjr": gjr_filtered, "unfiltered": unfiltered}
DIGITS = 6
OPTIONS = "option books"  # the stretch of days whose index is recorded


@dataclass(frozen=True)
class Judged:
    """A walk with the forecasts (T, B, 2) by name that it is held against, and the stretches that it is judged on."""

    walk: Walk
    plain: dict[str, Floats]
    stretches: tuple[Stretch, ...]


@dataclass(frozen=True)
class Report:
    """`body` is JSON-ready; `judged` (of coins, then of options) are what charts draw."""

    body: dict[str, Any]
    judged: tuple[Judged, ...]


@dataclass(frozen=True)
class Beside:
    """Recordings beside the file of prices, each where there is one: the daily index of implied volatility, and the
    directory of the history whose five-minute file holds perpetuals."""

    vol_index: Path | None = None
    history_dir: Path | None = None


def run(
    path: Path, rules: Ruleset, progress: Progress = lambda stage, done, of: None, beside: Beside | None = None
) -> Report:
    """Backtest `rules` on the Parquet file at `path`. Raises BadInput `backtest.*` when the file cannot be trusted, and
    `market.vol_index` when the index cannot."""
    beside = beside or Beside()
    prices = read_prices(path)
    judged, index = judge(prices, rules, progress, beside.vol_index)
    body = verdict_body(judged, progress)
    perpetuals = beside.history_dir / FIVE_MINUTE_FILE if beside.history_dir else None
    two = premiums(prices, perpetuals) if perpetuals and perpetuals.is_file() else None
    margins = basis_margins(renewals(two), two.coins, beside.history_dir, rules) if two and beside.history_dir else {}
    head = {
        "schema": SCHEMA,
        "file": {"name": path.name, "sha256": _digest(path), "symbols": _symbols(prices)},
        "vol_index": _index_body(beside.vol_index, index),
        "ruleset": {"name": rules.name, "version": rules.version, "hash": rules.hash},
        "chosen_until": CHOSEN_UNTIL.isoformat(),
        "yardstick": YARDSTICK,
    }
    basis = {
        "margins": {day.isoformat(): {coin: list(one) for coin, one in of.items()} for day, of in margins.items()},
        "books": basis_figures(two, margins) if two else [],
    }
    return Report(head | body | {"basis": basis}, judged)


def judge(
    prices: HourlyPrices,
    rules: Ruleset,
    progress: Progress = lambda stage, done, of: None,
    vol_index: Path | None = None,
    forecasts: Iterable[str] = tuple(PLAIN),
) -> tuple[tuple[Judged, ...], dict[date, float]]:
    """Walks through `prices` with the plain `forecasts`, and the index they read (empty without one)."""
    past = Past(prices, rules)
    walked = walk(past, lambda done, of: progress("walk", done, of))
    found = [Judged(walked, _plain(walked, progress, forecasts), tuple(_stretches(walked)))]
    index = read_vol_index(vol_index) if vol_index else {}
    of_options = option_walk(past, index, lambda done, of: progress("options", done, of)) if index else None
    if of_options is not None:
        tested = np.flatnonzero(np.isfinite(of_options.margin).any(axis=1))
        stretch = Stretch(OPTIONS, of_options.begin, int(tested[-1]) + 1)
        found.append(Judged(of_options, _plain(of_options, progress, forecasts), (stretch,)))
    return tuple(found), index


def verdict_body(judged: tuple[Judged, ...], progress: Progress = lambda stage, done, of: None) -> dict[str, Any]:
    """The part of a report that follows from walks: verdicts, both models by stretch, exceptions."""
    every = [(one, stretch) for one in judged for stretch in one.stretches]
    conditional = []
    for number, (one, stretch) in enumerate(every):
        conditional.append(conditional_verdict(one.walk, one.plain, stretch))
        progress("verdicts", number + 1, len(every))
    margin = [margin_verdict(one.walk, stretch) for one, stretch in every]
    return {
        "verdicts": _verdicts(conditional, margin),
        "conditional": conditional,
        "margin": margin,
        "exceptions": [row for one in judged for row in _exceptions(one.walk)],
    }


def _digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def _index_body(path: Path | None, index: dict[date, float]) -> dict[str, Any] | None:
    if path is None or not index:
        return None
    days = [day.isoformat() for day in index]
    return {"name": path.name, "sha256": _digest(path), "first": days[0], "last": days[-1], "days": len(days)}


def _plain(walked: Walk, progress: Progress, forecasts: Iterable[str]) -> dict[str, Floats]:
    return {name: plain_forecast(walked, name, progress) for name in forecasts}


def plain_forecast(walked: Walk, name: str, progress: Progress = lambda stage, done, of: None) -> Floats:
    """(T, B, 2) by the forecast of this name: it sees a book's own losses from the first day that its coins were known,
    as the model did."""
    values = np.full(walked.var.shape, np.nan)
    for book in range(len(walked.books)):
        held = np.flatnonzero(np.isfinite(walked.loss[:, book]))
        warm_up = int(np.argmax(np.isfinite(walked.margin[held, book])))
        values[held, book] = PLAIN[name](np.ascontiguousarray(walked.loss[held, book]), warm_up, QUANTILES)
        progress(name, book + 1, len(walked.books))
    return values


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
            add(of["stretch"], f"pinball_ratio_{label}", sharp["pinball_ratio"], SHARPNESS_MAX, sharp["sharp"])
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
    kept: dict[str, Any] = rounded(body | {"exceptions": marked(body["exceptions"])})
    return kept


def marked(exceptions: list[dict[str, Any]]) -> dict[str, list[list[Any]]]:
    """By book its exceptions in order: [day, loss over the VaR 99% of that day, loss over the margin of that day]."""
    found: dict[str, list[list[Any]]] = {}
    for row in exceptions:
        loss = row["loss"]
        shares = [round(loss / row[name], 3) if row[name] else None for name in ("var_99", "margin")]
        found.setdefault(row["book"], []).append([row["day"], *shares])
    return found


def rounded(value: Any) -> Any:
    """`value` with every number to the five digits that are kept."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list) else value


def write(report: Report, directory: Path) -> list[Path]:
    """Write report.json, series/<book>.json and plots/<book>.svg under `directory`; returns the paths."""
    (directory / "series").mkdir(parents=True, exist_ok=True)
    (directory / "plots").mkdir(exist_ok=True)
    main = directory / "report.json"
    made = datetime.now(UTC).isoformat(timespec="seconds")
    main.write_text(json.dumps(report.body | {"made_at": made}, indent=1) + "\n")
    paths = [main]
    for one in report.judged:
        for index, book in enumerate(one.walk.books):
            slug = re.sub(r"[^a-z0-9]+", "-", book.name.lower()).strip("-")
            series = series_of(one, index)
            tail = tail_of(report.body, one.stretches[-1].name, book.name)
            paths += [directory / "series" / f"{slug}.json", directory / "plots" / f"{slug}.svg"]
            paths.append(directory / "plots" / f"{slug}-tail.svg")
            paths[-3].write_text(json.dumps(series) + "\n")
            paths[-2].write_text(exceptions_plot(series))
            paths[-1].write_text(tail_plot(book.name, tail))
    return paths


def tail_of(body: dict[str, Any], stretch: str, book: str) -> dict[str, Any]:
    """The test of a book's tail in one stretch of a report."""
    rows = next(of["books"] for of in body["conditional"] if of["stretch"] == stretch)
    found: dict[str, Any] = next(row["tail"] for row in rows if row["book"] == book)
    return found


def series_of(judged: Judged, index: int) -> dict[str, Any]:
    """One tested book's history, arrays of equal length: ISO days, losses, forecasts, yardstick."""
    walked = judged.walk
    rows = np.flatnonzero(np.isfinite(walked.margin[:, index]))
    columns = {
        "loss": walked.loss[rows, index],
        "var_99": walked.var[rows, index, 0],
        "var_99.7": walked.var[rows, index, 1],
        "es_99": walked.es_99[rows, index],
        "margin": walked.margin[rows, index],
        "yardstick_99": judged.plain[YARDSTICK][rows, index, 0],
    }
    book = walked.books[index]
    return {
        "book": book.name,
        "kind": book.kind,
        "days": [walked.days[row].date().isoformat() for row in rows],
        **{name: [_digits(value) for value in values] for name, values in columns.items()},
    }
