"""The tail's cover: which slice is to carry a relationship's tail layer, and what its issue sets in force.

A line can be approved together with the offering that would cover it. It then changes nothing: no layer, no threshold.
When its slice is issued and paid, its layers are set with the tail funded, the house's retentions are moved, and the
line takes force if the stressed loss of that day's book still fits; when the offering is pulled, it lapses. A line that
does not fit any more lapses too, with its numbers, but its layers stay: investors have paid for them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection

from intermediary import approvals, audit, credit, events, ledger
from intermediary.errors import Refusal
from intermediary.models import Cell, CreditLine, DefaultCase, Layer

State, Kind = CreditLine.State, Layer.Kind
OVER = (DefaultCase.State.CURED, DefaultCase.State.CLOSED)


@dataclass(frozen=True)
class Tail:
    """A tail layer [attach, detach), settlement base units, and the slice that is to carry it; `line` is the one that
    waits for it, None where the layer stands already."""

    attach_base_units: int
    detach_base_units: int
    slice_id: UUID | None
    line: CreditLine | None


def tail_of(cell_id: UUID) -> Tail | None:
    """The tail that a slice has to be like: of the line that awaits its cover, else the layer that stands."""
    line = awaiting(cell_id)
    if line is not None:
        body = approvals.body_of(line.proposal)
        band = next(band for band in credit.bands_of(body) if band.kind == Kind.TAIL)
        return Tail(band.attach, band.detach, UUID(body["slice_id"]), line)
    layer = Layer.objects.filter(cell_id=cell_id, kind=Kind.TAIL).first()
    return Tail(layer.attach_base_units, layer.detach_base_units, layer.slice_id, None) if layer else None


def awaiting(cell_id: UUID) -> CreditLine | None:
    """The line of a relationship that waits for its cover."""
    return CreditLine.objects.filter(cell_id=cell_id, state=State.AWAITING).select_related("proposal").first()


def attach_tail(*, cell_id: UUID, slice_id: UUID) -> Layer:
    """The bond slice behind a tail layer is issued and paid: the layer counts as cover from now on, and the line that
    waited for it takes force. Refuses a slice that carries nothing here, and what the float does not hold.

    The notes are sold for good by then. So the layers are set also where the relationship has defaulted meanwhile, and
    the line lapses: nothing more is unsecured."""
    assert connection.in_atomic_block, "cover belongs to a transaction"
    lock([cell_id])
    line = awaiting(cell_id)
    body = approvals.body_of(line.proposal) if line else {}
    waited = line is not None and body["slice_id"] == str(slice_id)
    if line is not None and waited:
        refuse_unfit = credit.refuse_unfit_layers if _in_default(cell_id) else credit.refuse_unfit
        refuse_unfit(cell_id, body)
        credit.set_layers(line, body)
    layer = Layer.objects.filter(cell_id=cell_id, kind=Kind.TAIL, slice_id=slice_id).first()
    if layer is None:
        raise Refusal("no_such_tail", "No layer of this relationship is carried by this slice.", slice_id=str(slice_id))
    layer.funded = True
    layer.save(update_fields=["funded"])
    if line is not None and waited:
        _take_force(line, body)
    return layer


def end_tail(*, cell_id: UUID, slice_id: UUID) -> None:
    """The slice's principal goes back to its investors: the layer is cover no more. One that has borne a loss stays as
    it is, since recoveries still refill it."""
    assert connection.in_atomic_block, "cover belongs to a transaction"
    ledger.lock_cells([cell_id])
    ended = Layer.objects.filter(cell_id=cell_id, slice_id=slice_id, kind=Kind.TAIL, funded=True, loss_base_units=0)
    if ended.update(funded=False):
        audit.record(actor="servicing", action="tail_ended", subject=slice_id)
        events.notify(events.PAGES_CHANNEL, f"cell:{cell_id}")


def lock(cell_ids: Iterable[UUID]) -> None:
    """The cells that are to be covered, and the house's too: its float funds the retentions of a line that takes
    force. Whoever covers several locks them all by this, once."""
    ledger.lock_cells([*cell_ids, *Cell.objects.filter(kind=Cell.Kind.HOUSE).values_list("id", flat=True)])


def lapse(slices: Iterable[tuple[UUID, UUID]]) -> list[CreditLine]:
    """An offering was pulled: the lines that waited for its slices, (cell, slice) each, lapse. Returns them."""
    assert connection.in_atomic_block, "a lapse belongs to a transaction"
    lapsed = []
    for cell_id, slice_id in slices:
        line = CreditLine.objects.select_for_update(of=("self",)).filter(cell_id=cell_id, state=State.AWAITING).first()
        if line is not None and approvals.body_of(line.proposal)["slice_id"] == str(slice_id):
            _move(line, State.LAPSED, reason="The offering that would have covered it was pulled.")
            lapsed.append(line)
    return lapsed


def _take_force(line: CreditLine, body: dict[str, Any]) -> None:
    """In force in place of the last one, if the book of today fits under it. A market in which nobody may judge that
    is refused as it is at an approval: the issue is done when there is a better one."""
    if _in_default(line.cell_id):
        _move(line, State.LAPSED, reason="Covered, but the relationship is in default.")
        return
    try:
        result = credit.admission(line.cell_id, body)
    except Refusal as refusal:
        if refusal.code != "admission_failed":
            raise
        _move(line, State.LAPSED, reason=f"Covered, but: {refusal.message}", admission=refusal.data)
        return
    for before in CreditLine.objects.filter(cell_id=line.cell_id, state=State.ACTIVE):
        _move(before, State.REDUCED, reason="A line that was covered took its place.")
    _move(line, State.ACTIVE, reason="Its cover is issued and paid.", admission=result.numbers())


def _in_default(cell_id: UUID) -> bool:
    cases = DefaultCase.objects.filter(cell_id=cell_id).exclude(state__in=OVER)
    return cases.exists() or Cell.objects.filter(id=cell_id, state=Cell.State.DEFAULTED).exists()


def _move(line: CreditLine, state: CreditLine.State, *, reason: str, **numbers: Any) -> None:
    """The row keeps the numbers of its approval; those of this day stand in the audit trail."""
    line.state = state
    line.save(update_fields=["state"])
    audit.record(actor="credit", action=f"credit_line.{state.lower()}", subject=line.id, reason=reason, **numbers)
    events.notify(events.PAGES_CHANNEL, f"cell:{line.cell_id}")
