"""Booking the movements of a final block together.

A batch moves up to two hundred vaults in one block, and every one of them means the same few rows. Cells of which a
block shows nothing but such movements are booked many in one transaction; whatever differs in any way is left to
`settlement.finality`, which takes it log by log and knows what to say about it.
"""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from intermediary import ledger, outbox
from intermediary.models import ChainTarget
from settlement.bindings import DecodedEvent, decode_event
from settlement.models import BatchMovement, ChainLog

Outcome = BatchMovement.Outcome
CELLS_AT_ONCE = 200  # whose locks are held for as long as their rows are written, some tenths of a second


def book_together(logs: Sequence[ChainLog]) -> list[ChainLog]:
    """Book every cell of which these logs show nothing but everyday movements; the logs that are left, in their order.

    Raises whatever a movement is refused with, and then has booked nothing of that group of cells.
    """
    decoded = {row.id: event for row in logs if (event := decode_event(row.topics, row.data)) is not None}
    inside = _between_house_and_vaults(decoded)
    ChainLog.objects.filter(id__among=inside).update(applied=True, refusal="")
    movements = _movements(logs, decoded)
    by_cell: dict[UUID | None, list[ChainLog]] = {}
    for row in logs:
        if row.id not in inside:
            by_cell.setdefault(row.cell_id, []).append(row)
    everyday = [
        cell_id for cell_id, rows in by_cell.items() if cell_id is not None and all(row.id in movements for row in rows)
    ]
    for start in range(0, len(everyday), CELLS_AT_ONCE):
        cells = everyday[start : start + CELLS_AT_ONCE]
        _book(cells, [row for cell_id in cells for row in by_cell[cell_id]], movements)
    for cell_id in everyday:
        del by_cell[cell_id]
    return [row for rows in by_cell.values() for row in rows]


def _between_house_and_vaults(decoded: Mapping[UUID, DecodedEvent]) -> set[UUID]:
    """The tokens' own logs of what moves between our contracts: the contract's log beside each says what it is for."""
    transfers = {
        log_id: (event.arguments["from"], event.arguments["to"])
        for log_id, event in decoded.items()
        if event.name == "Transfer"
    }
    addresses = {address for sides in transfers.values() for address in sides}
    kinds = dict(ChainTarget.objects.filter(address__in=addresses).values_list("address", "kind"))
    pair = {ChainTarget.Kind.HOUSE, ChainTarget.Kind.VAULT}
    return {log_id for log_id, sides in transfers.items() if {kinds.get(address) for address in sides} == pair}


def _movements(logs: Sequence[ChainLog], decoded: Mapping[UUID, DecodedEvent]) -> dict[UUID, UUID]:
    """The instruction that each `Moved` log shows exactly as it was given, by log."""
    shown = {
        (row.address, int(decoded[row.id].arguments["seq"])): row.id
        for row in logs
        if row.id in decoded and decoded[row.id].name == "Moved"
    }
    wanted = Q(vault__address__in={address for address, _ in shown}, contract_seq__in={seq for _, seq in shown})
    open_ones = BatchMovement.objects.filter(wanted, outcome__in=[Outcome.PENDING, Outcome.SETTLED])
    found = {}
    columns = ("instruction_id", "ref", "contract_seq", "vault__address", "instruction__amount_base_units")
    for instruction_id, ref, seq, vault, amount in open_ones.values_list(*columns):
        log_id = shown.get((vault, seq))
        if log_id is None:  # another vault's number
            continue
        said = decoded[log_id].arguments
        if (said["amount"], "0x" + said["ref"].hex()) == (amount, ref):
            found[log_id] = instruction_id
    return found


def _book(cells: Collection[UUID], rows: Sequence[ChainLog], movements: Mapping[UUID, UUID]) -> None:
    with transaction.atomic():
        ledger.lock_cells(cells)
        hashes = {movements[row.id]: row.transaction_hash for row in rows}
        outbox.mark_all_final(hashes)
        BatchMovement.objects.filter(instruction_id__among=hashes, outcome=Outcome.PENDING).update(
            outcome=Outcome.SETTLED
        )
        ChainLog.objects.filter(id__among=[row.id for row in rows]).update(applied=True, refusal="")
