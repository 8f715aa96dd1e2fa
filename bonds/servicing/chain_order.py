"""Who held a class at a place in the chain: what it shares out goes to those who held then, not when it is noticed.

All logs of a run of final blocks are told at once, transfers before what the contracts paid. So transfers that lie
after a payment in the chain may stand in the holdings already when the payment is booked, and are taken back here.
"""

from collections import defaultdict
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Q, QuerySet

from bonds.models import Holding, NoteTransfer, Tranche
from intermediary import clock, events
from intermediary.models import ChainInstruction, Event

NOBODY = "0x" + "0" * 40
Place = tuple[int, int]  # number of the block, index of the log in it
Holder = tuple[UUID, UUID]  # party and wallet
JUST_BEFORE = timedelta(microseconds=1)


def place_of(movement: ChainInstruction) -> Place | None:
    """Where the chain shows a final movement; None where it was not told."""
    told = Event.objects.filter(id__gt=movement.id, kind=events.INSTRUCTION_FINAL, cell_id=movement.cell_id)
    event = told.filter(payload__instruction_id=str(movement.id)).first()  # ids rise with time: few are later
    if event is None or event.payload.get("log_index") is None:
        return None
    return int(event.payload["block_number"]), int(event.payload["log_index"])


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


def moment_of(tranche: Tranche, place: Place | None) -> datetime:
    """When to say that it happened: now, or just before the first transfer that was noticed already and came later."""
    first = _later(tranche, place).order_by("at").first()
    return first.at - JUST_BEFORE if first else clock.now()


def _later(tranche: Tranche, place: Place | None) -> QuerySet[NoteTransfer]:
    rows = NoteTransfer.objects.filter(tranche=tranche)
    if place is None:
        return rows.none()
    block, index = place
    return rows.filter(Q(block_number__gt=block) | Q(block_number=block, log_index__gt=index))
