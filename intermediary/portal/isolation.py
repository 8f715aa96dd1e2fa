"""Whose losses can reach me: the relationships on the other side of my open lots, and nobody else (D1).

A linked lot shares an UNCOVERED loss of its opposite relationship in proportion to its unpaid gain since the last
settlement, so a relationship without a lot in gain cannot be reached at all, and the position stays open whatever
happens. The opposite's layers pay first; they are public under its anonymous code, and so is the probability that its
loss exceeds them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from intermediary import ports, queries
from intermediary.models import Cell, Lot, Position, UncoveredShare
from intermediary.money import multiply_exactly, round_down
from intermediary.portal.reads import latest_marks


@dataclass(frozen=True)
class LinkedLot:
    """One open lot of mine; dollars. `unpaid_gain` is never negative: a lot in loss cannot be reached."""

    lot: Lot
    notional: Decimal
    unpaid_gain: Decimal

    @property
    def trade(self) -> str:
        """Id of the novated trade that the lot stands for: both sides read the same one."""
        return str(self.lot.trade_id)


@dataclass(frozen=True)
class Link:
    """One opposite relationship: my lots with it, and what stands before its loss could reach them; base units."""

    code: str
    register: queries.RegisterRow | None
    lots: tuple[LinkedLot, ...]
    suffered_base_units: int

    @property
    def uncovered_risk(self) -> ports.UncoveredRisk | None:
        """How likely its loss exceeds all of its layers; None in default, where it is a fact to be determined."""
        return self.register.uncovered_risk if self.register else None

    @property
    def notional_base_units(self) -> int:
        """Linked notional at the latest marks."""
        return round_down(sum((one.notional for one in self.lots), Decimal(0)).scaleb(6))

    @property
    def unpaid_gain_base_units(self) -> int:
        """The most that an UNCOVERED loss could take now: gain that variation margin has not paid yet."""
        return round_down(sum((one.unpaid_gain for one in self.lots), Decimal(0)).scaleb(6))


def links(cell: Cell) -> list[Link]:
    """Every relationship whose UNCOVERED loss could reach this one, by code."""
    register = {row.cell_id: row for row in queries.register()}
    suffered = _suffered(cell)
    grouped: dict[UUID, list[LinkedLot]] = {}
    for one in _open_lots(cell):
        grouped.setdefault(one.lot.opposite_id, []).append(one)
    found = []
    for opposite, lots in grouped.items():
        row = register.get(opposite)
        code = row.code if row else "Venue"
        found.append(Link(code, row, tuple(lots), suffered.get(opposite, 0)))
    return sorted(found, key=lambda link: link.code)


def _open_lots(cell: Cell) -> list[LinkedLot]:
    marks = latest_marks()
    settled = {
        position.instrument_id: position.settled_value / position.quantity
        for position in Position.objects.filter(cell=cell).exclude(quantity=0)
    }
    found = []
    for lot in Lot.objects.filter(cell=cell).exclude(open_quantity=0).select_related("instrument").order_by("id"):
        mark = marks.get(lot.instrument_id, Decimal(0))
        gain = lot.open_quantity * (mark - settled.get(lot.instrument_id, mark))
        found.append(LinkedLot(lot, multiply_exactly(abs(lot.open_quantity), mark), max(Decimal(0), gain)))
    return found


def _suffered(cell: Cell) -> dict[UUID, int]:
    """What UNCOVERED shares this relationship holds already, by opposite relationship; base units."""
    found: dict[UUID, int] = {}
    for share in UncoveredShare.objects.filter(cell=cell).select_related("lot"):
        found[share.lot.opposite_id] = found.get(share.lot.opposite_id, 0) + share.amount_base_units
    return found


def chance_of_any(found: Sequence[Link]) -> float | None:
    """At most this likely within a year that any of them suffers an UNCOVERED loss: the sum of their probabilities,
    which holds whatever they have in common. None when none is measured."""
    risks = [link.uncovered_risk.probability for link in found if link.uncovered_risk]
    return min(1.0, sum(risks)) if risks else None


def picture(cell: Cell, found: Sequence[Link]) -> dict[str, Any] | None:
    """Me, the intermediary, my linked relationships; None without any."""
    if not found:
        return None
    largest = max(link.notional_base_units for link in found) or 1
    nodes: list[dict[str, Any]] = [
        {"name": cell.code, "tone": "accent", "size": 34},
        *({"name": link.code, "tone": "bad" if _defaulted(link) else "quiet", "size": 22} for link in found),
    ]
    drawn = [
        {
            "source": cell.code,
            "target": link.code,
            "width": 1 + round(7 * link.notional_base_units / largest, 1),
            "label": f"{link.code}: {link.notional_base_units / 10**12:,.2f} m USDC linked,"
            f" {link.unpaid_gain_base_units / 10**6:,.0f} USDC unpaid",
        }
        for link in found
    ]
    return {"kind": "links", "nodes": nodes, "links": drawn}


def _defaulted(link: Link) -> bool:
    return link.register is not None and link.register.state == Cell.State.DEFAULTED
