"""What is seen and not final yet: instructions and batches count as included, and no money moves. What a denied log
showed is taken back, unless another shows it too."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from intermediary.models import ChainInstruction
from settlement import arrivals
from settlement.bindings import decode_event
from settlement.models import Batch, BatchMovement, ChainLog

SHOWING = ("Moved", "BatchPosted")


def show(rows: Sequence[Mapping[str, Any]]) -> None:
    """Provisional effects: the movements and batches that these logs show."""
    named = [row for row in rows if row["name"] == "Moved"]
    moved = {(row["address"], int(said(row)["seq"])): row["transaction_hash"] for row in named}
    by_transaction: dict[str, list[UUID]] = {}
    for place, movement in arrivals.movements_at(moved).items():
        if movement.outcome == BatchMovement.Outcome.PENDING:
            by_transaction.setdefault(moved[place], []).append(movement.instruction_id)
    for transaction_hash, ids in by_transaction.items():
        ChainInstruction.objects.filter(id__among=ids, state=ChainInstruction.State.BATCHED).update(
            state=ChainInstruction.State.INCLUDED, transaction_hash=transaction_hash
        )
    for row in rows:
        if row["name"] == "BatchPosted":
            posted = said(row)
            ours = Batch.objects.filter(house__address=row["address"], number=posted["id"], state=Batch.State.PACKED)
            # Another batch under the same number has another head: ours is to be taken apart when that is read back.
            ours.filter(head="0x" + posted["head"].hex()).update(state=Batch.State.INCLUDED)


def take_back(logs: Sequence[ChainLog]) -> None:
    """These logs are denied: what they showed is on its way still, as far as no log shows it that is not booked yet."""
    arguments = {row.id: said({"topics": row.topics, "data": row.data}) for row in logs if row.name in SHOWING}
    moved = {(row.address, int(arguments[row.id]["seq"])): row for row in logs if row.name == "Moved"}
    for place, movement in arrivals.movements_at(moved).items():
        included = ChainInstruction.objects.filter(id=movement.instruction_id, state=ChainInstruction.State.INCLUDED)
        included.filter(transaction_hash=moved[place].transaction_hash).update(state=ChainInstruction.State.BATCHED)
    for row in logs:
        if row.name == "BatchPosted":
            posted = Batch.objects.filter(house__address=row.address, number=arguments[row.id]["id"])
            posted.filter(state=Batch.State.INCLUDED).update(state=Batch.State.PACKED)
    seen = ChainLog.objects.filter(address__in={row.address for row in logs}, block__canonical=True, applied=False)
    show(list[Mapping[str, Any]](seen.values("name", "address", "topics", "data", "transaction_hash")))


def said(row: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of an event of ours, by the columns `topics` and `data` of its log."""
    event = decode_event(row["topics"], row["data"])
    assert event is not None, "only decoded logs have a name"
    return event.arguments
