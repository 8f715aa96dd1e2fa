"""What a class' last mark says beside its price, as rows for a page; and what lambda a price implies that a reader
names.

Everything was computed with the mark; here it is only put into words, with units. Loads no numeric library.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from bonds.portal.queries import ClassView
from bonds.pricing.implied import implied_lambda

MEASURES = {
    "official": "Official: what this price is made by",
    "with-beta": "Official with the stated crypto beta load",
    "physical": "Physical: the expected loss, no load",
    "wang-published": "Wang 2004, as published",
    "wang-refit": "Wang, refitted",
    "lane-published": "Lane 2000, as published",
    "lane-refit": "Lane, refitted",
    "deviation": "Standard-deviation load, fitted",
    "linear": "Straight line in expected loss, fitted",
}
# Slope in the mark -> what it is said of, the step that is shown, and the step in words.
SLOPES = {
    "pd": ("Default intensity", 0.1, "a tenth of it more"),
    "severity": ("Severity of a loss", 0.1, "a tenth of it more"),
    "correlation": ("Correlation with distress", 0.1, "+0.10"),
    "lambda": ("Market price of risk, lambda", 0.1, "+0.10"),
}
# Output -> words, unit, factor from the stored figure, decimal places.
FIGURES = {
    "dirty_price": ("Dirty price", "per 100", 1, 3),
    "no_loss_yield": ("Yield if nothing is lost", "%", 100, 2),
    "expected_yield": ("Yield expected physically", "%", 100, 2),
    "risk_neutral_yield": ("Yield expected under the official measure", "%", 100, 2),
    "z_spread": ("Z-spread", "bp", 10_000, 0),
    "discount_margin": ("Discount margin over SOFR", "bp", 10_000, 0),
    "spread_multiple": ("Spread over expected loss", "times", 1, 1),
    "modified_duration": ("Modified duration", "years", 1, 2),
    "convexity": ("Convexity", "years²", 1, 2),
}


@dataclass(frozen=True)
class Cell:
    """One figure of one class; None where it does not exist."""

    value: float | None
    unit: str
    places: int


@dataclass(frozen=True)
class Row:
    """A figure of every class, in their order."""

    words: str
    cells: tuple[Cell, ...]
    note: str = ""


@dataclass(frozen=True)
class Answer:
    """The lambda of a reader's price, or why there is none; `typed` is what was entered."""

    symbol: str
    typed: str
    implied: float | None = None
    problem: str = ""


@dataclass(frozen=True)
class Panel:
    """Of classes that have a mark. `measures`: (words, (price, par spread) a class)."""

    classes: tuple[ClassView, ...]
    figures: tuple[Row, ...]
    measures: tuple[tuple[str, tuple[tuple[float | None, float | None], ...]], ...]
    slopes: tuple[Row, ...]
    implied: tuple[Cell, ...]
    ruleset: Mapping[str, str]
    beta: str
    answer: Answer | None

    @property
    def of_before(self) -> datetime | None:
        """When the other measures and slopes were figured, where that was before the last mark."""
        return next((one.in_full.valuation.as_of for one in self.classes if one.in_full), None)

    @property
    def priced(self) -> bool:
        """Whether any class has a price to compare one with."""
        return any(_outputs(one).get("grid") for one in self.classes)


def panel(classes: Sequence[ClassView], asked: Mapping[str, str]) -> Panel | None:
    """None before the first mark that says what other measures do. `asked`: `class` and `price` of a reader."""
    shown = tuple(one for one in classes if _outputs(one).get("measures"))
    if not shown:
        return None
    first = _outputs(shown[0])
    return Panel(
        classes=shown,
        figures=_figures(shown),
        measures=_measures(shown),
        slopes=_slopes(shown),
        implied=tuple(Cell(_outputs(one).get("implied_lambda"), "", 3) for one in shown),
        ruleset=first.get("ruleset", {}),
        beta=str(first["with_beta"]["name"]).removeprefix("beta-"),
        answer=answer(shown, asked),
    )


def answer(classes: Sequence[ClassView], asked: Mapping[str, str]) -> Answer | None:
    """What lambda a price implies at the last mark; None when nobody asked."""
    symbol, typed = asked.get("class", ""), asked.get("price", "").strip()
    if not typed:
        return None
    found = next((one for one in classes if one.tranche.symbol == symbol), None)
    grid = _outputs(found).get("grid") if found else None
    if not grid:
        return Answer(symbol, typed, problem="That class has no price to compare with yet.")
    try:
        price = float(Decimal(typed.replace(",", "")))
    except InvalidOperation:
        return Answer(symbol, typed, problem="State a clean price per 100 of principal, for example 98.50.")
    implied = implied_lambda(price, grid)
    if implied is None:
        low, high = grid[-1][1], grid[0][1]
        return Answer(
            symbol,
            typed,
            problem=f"No market price of risk from {grid[0][0]:g} to {grid[-1][0]:g} explains this price:"
            f" they give {low:.2f} to {high:.2f}.",
        )
    return Answer(symbol, typed, implied=implied)


def _outputs(one: ClassView) -> dict[str, Any]:
    return one.outputs


def _figures(classes: Sequence[ClassView]) -> tuple[Row, ...]:
    rows = []
    for name, (words, unit, factor, places) in FIGURES.items():
        found = [_figure(one, name) for one in classes]
        if any(value is not None for value in found):
            cells = tuple(Cell(None if value is None else value * factor, unit, places) for value in found)
            rows.append(Row(words, cells))
    return tuple(rows)


def _figure(one: ClassView, name: str) -> float | None:
    """From the outputs, or from the mark's own column."""
    value = _outputs(one).get(name, getattr(one.mark, name, None))
    return None if value is None else float(value)


def _measures(
    classes: Sequence[ClassView],
) -> tuple[tuple[str, tuple[tuple[float | None, float | None], ...]], ...]:
    by_class = [
        {row["label"]: row for row in (*_outputs(one)["measures"], _outputs(one)["with_beta"])} for one in classes
    ]
    rows = []
    for label, words in MEASURES.items():
        found = [rows_of.get(label, {}) for rows_of in by_class]
        rows.append((words, tuple((one.get("price"), one.get("spread_bps")) for one in found)))
    return tuple(rows)


def _slopes(classes: Sequence[ClassView]) -> tuple[Row, ...]:
    rows = []
    for name, (words, step, note) in SLOPES.items():
        found = [_outputs(one).get("sensitivities", {}).get(name) for one in classes]
        if any(value is not None for value in found):
            cells = tuple(Cell(None if value is None else value * step, "", 3) for value in found)
            rows.append(Row(words, cells, note))
    return tuple(rows)
