"""What is seen and not final yet: instructions and batches count as included, and no money moves."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from intermediary.models import ChainInstruction
from settlement import arrivals
from settlement.bindings import decode_event
from settlement.models import Batch, BatchMovement


def show(rows: Sequence[dict[str, Any]]) -> None:
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
            Batch.objects.filter(
                house__address=row["address"], number=said(row)["id"], state=Batch.State.PACKED
            ).update(state=Batch.State.INCLUDED)


def said(row: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of an event of ours, by the columns `topics` and `data` of its log."""
    event = decode_event(row["topics"], row["data"])
    assert event is not None, "only decoded logs have a name"
    return event.arguments
