"""Booking the movements of a final block together.

A batch moves up to two hundred vaults in one block, and every one of them means the same few rows. Cells of which a
block shows nothing but such movements are booked many in one transaction; whatever differs in any way is left to
`settlement.finality`, which takes it log by log and knows what to say about it.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.db.models import QuerySet

from intermediary import ledger, outbox
from intermediary.models import ChainTarget
from settlement.bindings import DecodedEvent, decode_event
from settlement.models import BatchMovement, ChainLog

Outcome = BatchMovement.Outcome
CELLS_AT_ONCE = 200  # whose locks are held for as long as their rows are written, some tenths of a second


class Seen(NamedTuple):
    """A log to book."""

    id: UUID
    cell_id: UUID | None
    block_number: int
    log_index: int
    transaction_hash: str
    address: str
    topics: list[str]
    data: str


_SEEN = ("id", "cell_id", "block__number", "log_index", "transaction_hash", "address", "topics", "data")
# Each number is looked up by itself, by the unique key of live movements: a join over all of them may start anywhere.
_LIVE = """
    SELECT asked.vault, asked.number, movement.instruction_id, movement.ref, movement.outcome, made.amount_base_units
    FROM unnest(%s::text[], %s::bigint[]) AS asked (vault, number)
    CROSS JOIN LATERAL (
        SELECT live.* FROM settlement_batchmovement AS live
        WHERE live.vault_id = (SELECT id FROM intermediary_chaintarget WHERE address = asked.vault)
            AND live.contract_seq = asked.number AND live.is_live
        LIMIT 1
    ) AS movement
    CROSS JOIN LATERAL (
        SELECT amount_base_units FROM intermediary_chaininstruction WHERE id = movement.instruction_id LIMIT 1
    ) AS made
"""
Place = tuple[str, int]  # a vault's address, and the number it gives a movement


class Movement(NamedTuple):
    """What is on its way, or has arrived, under one number of a vault."""

    instruction_id: UUID
    ref: str
    outcome: str
    amount_base_units: int


def movements_at(places: Collection[Place]) -> dict[Place, Movement]:
    """The movements under these numbers."""
    with connection.cursor() as cursor:
        cursor.execute(_LIVE, [[vault for vault, _ in places], [number for _, number in places]])
        return {(vault, number): Movement(*known) for vault, number, *known in cursor.fetchall()}


def seen(logs: QuerySet[ChainLog]) -> list[Seen]:
    """These logs, as far as booking needs them."""
    return [Seen(*row) for row in logs.values_list(*_SEEN)]


def book_together(logs: Sequence[Seen]) -> list[Seen]:
    """Book every cell of which these logs show nothing but everyday movements; the logs that are left, in their order.

    Raises whatever a movement is refused with, and then has booked nothing of that group of cells.
    """
    decoded = {row.id: event for row in logs if (event := decode_event(row.topics, row.data)) is not None}
    inside = _between_house_and_vaults(decoded)
    movements = _movements(logs, decoded)
    by_cell: dict[UUID | None, list[Seen]] = {}
    for row in logs:
        if row.id not in inside:
            by_cell.setdefault(row.cell_id, []).append(row)
    everyday = [
        cell_id for cell_id, rows in by_cell.items() if cell_id is not None and all(row.id in movements for row in rows)
    ]
    for start in range(0, len(everyday), CELLS_AT_ONCE):
        cells = everyday[start : start + CELLS_AT_ONCE]
        _book(cells, [row for cell_id in cells for row in by_cell[cell_id]], movements, inside)
        inside = set()
    _applied(inside)
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


def _movements(logs: Sequence[Seen], decoded: Mapping[UUID, DecodedEvent]) -> dict[UUID, UUID]:
    """The instruction that each `Moved` log shows exactly as it was given, by log."""
    said = {log_id: event.arguments for log_id, event in decoded.items() if event.name == "Moved"}
    shown = {(row.address, int(said[row.id]["seq"])): row.id for row in logs if row.id in said}
    found = {}
    for place, movement in movements_at(shown).items():
        moved = said[shown[place]]
        if (moved["amount"], "0x" + moved["ref"].hex()) == (movement.amount_base_units, movement.ref):
            found[shown[place]] = movement.instruction_id
    return found


def _book(cells: Collection[UUID], rows: Sequence[Seen], movements: Mapping[UUID, UUID], inside: set[UUID]) -> None:
    """Book these cells' movements; `inside` are logs that mean nothing more."""
    with transaction.atomic():
        ledger.hold_cells(cells)
        hashes = {movements[row.id]: row.transaction_hash for row in rows}
        outbox.mark_all_final(hashes)
        BatchMovement.objects.filter(instruction_id__among=hashes, outcome=Outcome.PENDING).update(
            outcome=Outcome.SETTLED
        )
        _applied(inside.union(row.id for row in rows))


def _applied(logs: Collection[UUID]) -> None:
    ChainLog.objects.filter(id__among=logs).update(applied=True, refusal="")
