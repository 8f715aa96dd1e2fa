"""Who held a class at a place in the chain, and when that was: the chain's day and order count, not when it is noticed.

All logs of a run of final blocks are told at once, transfers before what the contracts paid. So transfers that lie
after a payment in the chain may stand in the holdings already when the payment is booked, and are taken back here.
"""

from collections import defaultdict
from datetime import datetime
from uuid import UUID

from django.db.models import Q, QuerySet

from bonds.models import Holding, NoteTransfer, Tranche
from bonds.models.holdings import in_order
from intermediary import clock, events
from intermediary.models import ChainInstruction, Event
from intermediary.outbox import Place

NOBODY = "0x" + "0" * 40
Holder = tuple[UUID, UUID]  # party and wallet


def place_of(movement: ChainInstruction) -> Place | None:
    """Where the chain shows a final movement; None where it was not told."""
    told = Event.objects.filter(id__gt=movement.id, kind=events.INSTRUCTION_FINAL, cell_id=movement.cell_id)
    event = told.filter(payload__instruction_id=str(movement.id)).first()  # ids rise with time: few are later
    said = event.payload if event is not None else {}
    if said.get("block_time") is None:
        return None
    return Place(said["block_number"], said["log_index"], datetime.fromisoformat(said["block_time"]))


def units_at(tranche: Tranche, place: Place | None) -> dict[Holder, int]:
    """Units of a class by (party, wallet) at a place of the chain; those of now where it is not known."""
    later = list(_later(tranche, place).exclude(sender=NOBODY).exclude(receiver=NOBODY))
    found: dict[Holder, int] = {}
    for held in Holding.objects.filter(tranche=tranche).select_related("wallet").order_by("id"):
        address, units = held.wallet.address, int(held.units)
        units += sum(int(row.units) for row in later if row.sender == address)
        units -= sum(int(row.units) for row in later if row.receiver == address)
        if units > 0:
            found[held.party_id, held.wallet_id] = units
    return found


def units_by_party(tranche: Tranche, place: Place | None) -> dict[UUID, int]:
    """`units_at` by party alone."""
    found: dict[UUID, int] = defaultdict(int)
    for (party_id, _), units in units_at(tranche, place).items():
        found[party_id] += units
    return found


def moment_of(place: Place | None) -> datetime:
    """When it happened: at the time of its block, in the order of its logs, never later than it was noticed. Now,
    where its place is not known."""
    now = clock.now()
    return min(in_order(place.block_time, place.log_index), now) if place else now


def _later(tranche: Tranche, place: Place | None) -> QuerySet[NoteTransfer]:
    rows = NoteTransfer.objects.filter(tranche=tranche)
    if place is None:
        return rows.none()
    later_here = Q(block_number=place.block_number, log_index__gt=place.log_index)
    return rows.filter(Q(block_number__gt=place.block_number) | later_here)
