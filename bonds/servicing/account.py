"""A holder's account of one class of notes, folded from what happened in order: pure, exact, adding up by construction.

A holder's principal is its share of the class' outstanding principal, rounded down, as the note contract says it. Every
line states the difference that its event made to that rounded number, so that opening plus lines is closing to the
base unit. Nothing here says what a line is for anybody's tax: it says what happened. Amounts are base units.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Kind(StrEnum):
    """What happened. The first three change units, the next three the class' principal, the others neither: cash that
    became the holder's, that left the escrow, and of it what was paid for the notes of the next series."""

    ISSUED = "ISSUED"
    RECEIVED = "RECEIVED"
    SENT = "SENT"
    WRITTEN_DOWN = "WRITTEN_DOWN"
    WRITTEN_UP = "WRITTEN_UP"
    REDEEMED = "REDEEMED"
    COUPON = "COUPON"
    PAID_OUT = "PAID_OUT"
    ROLLED = "ROLLED_FORWARD"


@dataclass(frozen=True)
class Happened:
    """One event: how the holder's units and the class' outstanding principal changed, and cash that became the
    holder's (a coupon), left the escrow to it (paid out) or was paid for the next notes (rolled)."""

    at: datetime
    kind: Kind
    units: int = 0
    outstanding: int = 0
    cash: int = 0
    note: str = ""
    reference: str = ""


@dataclass(frozen=True)
class Line:
    """One event in the account: signed changes, and what stands after it. A repayment's cash is the principal it
    took."""

    at: datetime
    kind: Kind
    units: int
    principal: int
    cash: int
    units_after: int
    principal_after: int
    note: str
    reference: str


@dataclass(frozen=True)
class Account:
    """A period of one holder in one class: opening + sum of the lines = closing, in units and in principal."""

    opening_units: int
    opening_principal: int
    lines: tuple[Line, ...]
    closing_units: int
    closing_principal: int

    def total(self, *kinds: Kind) -> int:
        """Signed change of principal by these kinds."""
        return sum(line.principal for line in self.lines if line.kind in kinds)

    def cash(self, *kinds: Kind) -> int:
        """Cash of these kinds."""
        return sum(line.cash for line in self.lines if line.kind in kinds)


def account(events: Iterable[Happened], original: int, since: datetime, until: datetime) -> Account:
    """The account of [since, until) from everything that ever happened to one holder in one class.

    `original`: principal the class was issued with, which is also its units. Events of one moment keep their order.
    """
    units, outstanding = 0, original
    opening = (0, 0)
    lines: list[Line] = []
    for event in sorted(events, key=lambda one: one.at):
        if event.at >= until:
            break
        before = units * outstanding // original
        units, outstanding = units + event.units, outstanding + event.outstanding
        after = units * outstanding // original
        if event.at < since:
            opening = (units, after)
            continue
        cash = before - after if event.kind == Kind.REDEEMED else event.cash
        if units or event.units or cash:  # a holder of nothing is touched by nothing
            lines.append(
                Line(event.at, event.kind, event.units, after - before, cash, units, after, event.note, event.reference)
            )
    closing = (lines[-1].units_after, lines[-1].principal_after) if lines else opening
    return Account(*opening, tuple(lines), *closing)
