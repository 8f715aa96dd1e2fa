"""Reads of the stress reports for pages. Loads no numeric library.

Bodies are JSON written by `risk.stress_reports`: amounts in settlement base units, moves as fractions of the price.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from intermediary.models import Cell
from risk.models import StressReport

Crossings = Mapping[str, Sequence[float] | None]
LEVELS = ("requirement", "call", "margin", "first_loss", "tail", "senior")


@dataclass(frozen=True)
class Distance:
    """A first crossing: the axis (`coin` empty: all coins together), the move in percent, its size in daily sigmas."""

    coin: str
    percent: float
    sigmas: float


@dataclass(frozen=True)
class RelationshipStress:
    """One relationship's report."""

    cell: Cell
    body: Mapping[str, Any]
    as_of: datetime
    snapshot_id: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The scenarios, each with who bears it."""
        return list(self.body["rows"])

    @property
    def worst(self) -> dict[str, Any]:
        """The scenario that leaves most after margin; of equals the one that costs most."""
        return max(self.rows, key=lambda row: (row["net_loss"], row["gross"]))

    @property
    def nearest(self) -> dict[str, Distance | None]:
        """Of each level the crossing fewest daily sigmas away, over all axes and both sides; None: out of reach."""
        return {level: self._nearest(level) for level in LEVELS}

    def _nearest(self, level: str) -> Distance | None:
        return _nearest_of(self.body["distances"], level)

    @property
    def axes(self) -> list[dict[str, Any]]:
        """Every axis and side with the crossing of each level."""
        return [
            {
                "coin": axis["coin"],
                "side": axis["side"],
                "crossings": [
                    Distance(axis["coin"], 100.0 * at[0], at[1]) if (at := axis["crossings"][level]) else None
                    for level in LEVELS
                ],
            }
            for axis in self.body["distances"]
        ]


@dataclass(frozen=True)
class WorstStress:
    """A relationship's worst published stress by what it is made of, settlement base units: what its positions lose
    (negative: they gain), the cost of closing them out, what its margin is then worth; measured in the market of
    `as_of`."""

    title: str
    position_loss: int
    close_out_cost: int
    margin_value: int
    as_of: datetime


@dataclass(frozen=True)
class BookStress:
    """The last reports: the intermediary's and every relationship's that was measured with it, most pressing first."""

    as_of: datetime
    source: str
    snapshot_id: str
    house: Mapping[str, Any]
    relationships: tuple[RelationshipStress, ...]

    @property
    def float_after(self) -> list[dict[str, Any]]:
        """The intermediary's scenarios with what the liquidity float has left once it has prefinanced the defaults."""
        return [row | {"float_left": self.house["float"] - row["prefinance"]} for row in self.house["rows"]]


def book_stress() -> BookStress | None:
    """The reports of the market measured last; None before the first. Who was not measured in it no longer performs."""
    reports = StressReport.objects.select_related("cell__party", "tick__valuation").order_by("-tick_id")
    newest = reports.filter(cell__kind=Cell.Kind.HOUSE).first()
    if newest is None:
        return None
    rows = reports.filter(tick_id=newest.tick_id).exclude(cell_id=newest.cell_id)
    found = [_of(row) for row in rows]
    valuation = newest.tick.valuation
    return BookStress(
        as_of=valuation.as_of,
        source=valuation.source,
        snapshot_id=newest.tick.snapshot_id,
        house=newest.body,
        relationships=tuple(sorted(found, key=_urgency)),
    )


def measured_at() -> datetime | None:
    """The valuation that everybody was measured at last; None before the first."""
    newest = StressReport.objects.order_by("-tick_id")
    return newest.values_list("tick__valuation__as_of", flat=True).first()


def nearest_calls() -> dict[UUID, Distance | None]:
    """Of every relationship that was measured last the nearest move that brings a margin call; None out of reach."""
    newest = StressReport.objects.order_by("-tick_id").values("tick_id")[:1]
    rows = StressReport.objects.filter(tick_id__in=newest).exclude(cell__kind=Cell.Kind.HOUSE)
    return {cell: _nearest_of(axes, "call") for cell, axes in rows.values_list("cell_id", "body__distances")}


def worst_stresses() -> dict[UUID, WorstStress]:
    """Of every relationship that was ever measured the worst published stress of its last report."""
    rows = StressReport.objects.filter(body__worst__isnull=False).exclude(cell__kind=Cell.Kind.HOUSE)
    found = rows.values_list("cell_id", "body__worst", "tick__valuation__as_of")
    return {cell_id: WorstStress(**worst, as_of=as_of) for cell_id, worst, as_of in found}


def stress_report(cell_id: UUID) -> RelationshipStress | None:
    """One relationship's last report, whatever market the others were measured in last; None before its first."""
    row = StressReport.objects.select_related("cell", "tick__valuation").filter(cell_id=cell_id).first()
    return _of(row) if row else None


def _nearest_of(axes: Sequence[Mapping[str, Any]], level: str) -> Distance | None:
    found = [
        Distance(axis["coin"], 100.0 * axis["crossings"][level][0], axis["crossings"][level][1])
        for axis in axes
        if axis["crossings"][level] is not None
    ]
    return min(found, key=lambda one: one.sigmas, default=None)


def _of(row: StressReport) -> RelationshipStress:
    return RelationshipStress(row.cell, row.body, row.tick.valuation.as_of, row.tick.snapshot_id)


def _urgency(one: RelationshipStress) -> tuple[int, float, str]:
    """What would be uncovered first, then whoever is nearest to a call."""
    call = one.nearest["call"]
    return -one.worst["uncovered"], call.sigmas if call else float("inf"), one.cell.code
