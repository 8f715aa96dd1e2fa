"""Movements on chain, as the ledger sees them: instructed, then final or failed.

An instruction is written with its journal entry in one transaction. The tokens stand in `in_transit` of the cell
until the chain is final, then arrive; a movement that the chain refused goes back where it came from. Sequence
numbers are given out under the target's row lock, so each target sees 1, 2, 3 without gap, whatever crashes.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection
from django.db.models import F, QuerySet

from intermediary import clock, events, ledger
from intermediary.errors import Refusal
from intermediary.ids import derive
from intermediary.ledger import Line
from intermediary.models import AccountKind, ChainInstruction, ChainTarget, JournalEntry, Posting
from intermediary.models.bulk import TIMES, insert_all

Kind, State = ChainInstruction.Kind, ChainInstruction.State
# Paid and required every few minutes: final, it concerns the ledger and the pages, and no other part acts on it.
EVERYDAY = frozenset({Kind.REQUIRE, Kind.CREDIT, Kind.DEBIT})


class Place(NamedTuple):
    """Where the chain shows a movement: the block, the index of the log in it, and the time of the block."""

    block_number: int
    log_index: int
    block_time: datetime


def target_of(cell_id: UUID, kind: ChainTarget.Kind, asset: str) -> ChainTarget:
    """The cell's vault or retention, or the house contract, for one asset. Refuses when it is not registered."""
    found = ChainTarget.objects.filter(kind=kind, asset_id=asset)
    if kind in (ChainTarget.Kind.VAULT, ChainTarget.Kind.RETENTION):
        found = found.filter(cell_id=cell_id)
    target = found.first()
    if target is None:
        raise Refusal("no_chain_target", f"There is no {kind.label.lower()} for {asset}.", cell_id=str(cell_id))
    return target


def instruct(
    *,
    target: ChainTarget,
    cell_id: UUID,
    kind: ChainInstruction.Kind,
    amount_base_units: int = 0,
    required_base_units: int = 0,
    entry: JournalEntry | None = None,
    **arguments: Any,
) -> ChainInstruction:
    """Queue one call on chain under the target's next sequence number."""
    instruction = ChainInstruction(
        target=target,
        cell_id=cell_id,
        kind=kind,
        amount_base_units=amount_base_units,
        required_base_units=required_base_units,
        arguments=arguments,
        entry=entry,
    )
    instruct_all([instruction])
    return instruction


def instruct_all(instructions: Sequence[ChainInstruction]) -> None:
    """Queue one call on each of several targets, each under its target's next sequence number."""
    assert connection.in_atomic_block, "an instruction belongs to the transaction of its cause"
    if not instructions:
        return
    targets = ChainTarget.objects.filter(id__among=[instruction.target_id for instruction in instructions])
    locked = {target.id: target for target in targets.defer(*TIMES, "creation").select_for_update().order_by("id")}
    assert len(locked) == len(instructions), "one call a target"
    for instruction in instructions:
        instruction.target = locked[instruction.target_id]
        instruction.seq = instruction.target.next_seq
    insert_all(instructions)
    targets.update(next_seq=F("next_seq") + 1)
    events.notify(events.OUTBOX_CHANNEL)


def move(
    *,
    effect_id: UUID,
    target: ChainTarget,
    cell_id: UUID,
    kind: ChainInstruction.Kind,
    source: AccountKind,
    destination: AccountKind,
    amount_base_units: int,
    memo: str,
    required_base_units: int = 0,
    **arguments: Any,
) -> ChainInstruction:
    """Move tokens of one cell between two accounts by way of the chain, once per `effect_id`.

    The amount leaves `source` at once (so it counts against every limit) and reaches `destination` at finality.
    Raises `account_overdrawn` when the source does not hold it, and `nothing_to_move` for an amount that is not above
    zero: the chain takes none, and a batch with one could not even be signed.
    """
    made = ChainInstruction.objects.filter(entry_id=effect_id).first()
    if made is not None:
        return made
    instruction = ChainInstruction(
        target=target,
        cell_id=cell_id,
        kind=kind,
        amount_base_units=amount_base_units,
        required_base_units=required_base_units,
        entry_id=effect_id,
        arguments={"source": source.value, "destination": destination.value} | arguments,
    )
    move_all([instruction], memo=memo)
    return instruction


def move_all(instructions: Sequence[ChainInstruction], *, memo: str) -> None:
    """`move` for instructions to different targets that are not written yet, each with its accounts in `arguments`
    and its effect's id as `entry_id`. All are made or, when one is refused, none."""
    ledger.post_all([_departure(instruction, memo) for instruction in instructions])
    instruct_all(instructions)


def _departure(instruction: ChainInstruction, memo: str) -> ledger.Draft:
    assert instruction.entry_id is not None, "a movement has an entry"
    source, asset = AccountKind(instruction.arguments["source"]), instruction.target.asset_id
    if instruction.amount_base_units <= 0:
        raise Refusal(
            "nothing_to_move", "A movement is above zero.", amount_base_units=int(instruction.amount_base_units)
        )
    return ledger.Draft(
        entry_id=instruction.entry_id,
        cell_id=instruction.cell_id,
        kind=f"{instruction.kind.lower()}_instructed",
        memo=memo,
        lines=(
            Line(source, asset, -instruction.amount_base_units),
            Line(AccountKind.IN_TRANSIT, asset, instruction.amount_base_units),
        ),
    )


def mark_final(
    instruction_id: UUID,
    *,
    transaction_hash: str,
    moved_base_units: int | None = None,
    place: Place | None = None,
) -> None:
    """The chain is final: the tokens arrive. Harmless when repeated. `place`: where the chain shows it.

    `moved_base_units` is what the chain really moved where that may differ from what was instructed; the difference
    stays at, or comes from, the source.
    """
    moved = {} if moved_base_units is None else {instruction_id: moved_base_units}
    mark_all_final({instruction_id: transaction_hash}, moved, {} if place is None else {instruction_id: place})


def mark_all_final(
    hashes: Mapping[UUID, str],
    moved_base_units: Mapping[UUID, int] | None = None,
    places: Mapping[UUID, Place] | None = None,
) -> None:
    """`mark_final` for many instructions, each with the hash of its transaction: all or, when one is refused, none."""
    unfinished = ChainInstruction.objects.filter(id__among=hashes).exclude(state=State.FINAL)
    new = _made(unfinished.order_by("recorded_at", "seq", "id"))
    moved = moved_base_units or {}
    arrivals = [_arrival(made, "destination", moved.get(made.id, made.amount_base_units)) for made in new]
    ledger.post_all([arrival for arrival in arrivals if arrival is not None])
    by_hash: dict[str, list[UUID]] = {}
    for made in new:
        by_hash.setdefault(hashes[made.id], []).append(made.id)
    now = clock.now()
    for transaction_hash, ids in by_hash.items():
        ChainInstruction.objects.filter(id__among=ids).update(
            state=State.FINAL, transaction_hash=transaction_hash, final_at=now
        )
    events.notify_pages_of(made.cell_id for made in new if made.kind in EVERYDAY)
    for made in new:
        if made.kind not in EVERYDAY:
            place = (places or {}).get(made.id)
            events.emit(
                events.INSTRUCTION_FINAL,
                cell_id=made.cell_id,
                instruction_id=str(made.id),
                instruction_kind=made.kind,
                block_number=place and place.block_number,
                log_index=place and place.log_index,
                block_time=place and place.block_time.isoformat(),
            )


def mark_failed(instruction_id: UUID, *, failure: str) -> None:
    """The chain refused this movement, finally: the tokens go back. Harmless when repeated."""
    instruction = ChainInstruction.objects.select_for_update().get(id=instruction_id)
    if instruction.state == State.FAILED:
        return
    (made,) = _made(ChainInstruction.objects.filter(id=instruction_id))
    back = _arrival(made, "source", made.amount_base_units)
    if back is not None:
        ledger.post_all([back])
    instruction.state, instruction.failure = State.FAILED, failure
    instruction.save(update_fields=["state", "failure"])
    events.emit(
        events.INSTRUCTION_FAILED,
        cell_id=instruction.cell_id,
        instruction_id=str(instruction.id),
        instruction_kind=instruction.kind,
        failure=failure,
    )


def moved_base_units(movement: ChainInstruction) -> int:
    """What one final movement moved."""
    return moved_by([movement])[movement.id]


def moved_by(movements: Sequence[ChainInstruction]) -> dict[UUID, int]:
    """What each of these final movements moved, by instruction: what its journal entry let arrive. That is its amount
    unless the chain took another."""
    destination = {_arrival_id(made.id): (made.id, made.arguments["destination"]) for made in movements}
    moved = {made.id: 0 for made in movements}
    arrived = Posting.objects.filter(entry_id__in=destination, amount_base_units__gt=0)
    for entry_id, kind, amount in arrived.values_list("entry_id", "account__kind", "amount_base_units"):
        instruction_id, expected = destination[entry_id]
        if kind == expected:
            moved[instruction_id] = amount
    return moved


def _arrival_id(instruction_id: UUID) -> UUID:
    return derive("arrival", instruction_id)


class _Made(NamedTuple):
    """An instruction, as far as its end concerns the ledger."""

    asset: str
    id: UUID
    cell_id: UUID
    kind: str
    amount_base_units: int
    arguments: dict[str, Any]
    entry_id: UUID | None


def _made(instructions: QuerySet[ChainInstruction]) -> list[_Made]:
    """These, in their order, locked until the caller's transaction ends."""
    locked = instructions.select_for_update().values_list(
        *("target_id", "id", "cell_id", "kind", "amount_base_units", "arguments", "entry_id")
    )
    rows = list(locked)
    targets = ChainTarget.objects.filter(id__among={target_id for target_id, *_ in rows})
    asset_of = dict(targets.values_list("id", "asset_id"))
    return [_Made(asset_of[target_id], *said) for target_id, *said in rows]


def _arrival(made: _Made, side: str, amount_base_units: int) -> ledger.Draft | None:
    """The entry by which its tokens reach one side; None where it moves none."""
    if made.entry_id is None:
        return None
    account = AccountKind(made.arguments[side])
    left = made.amount_base_units - amount_base_units
    return ledger.Draft(
        entry_id=_arrival_id(made.id),
        cell_id=made.cell_id,
        kind=f"{made.kind.lower()}_settled",
        memo=f"arrived in {account.label.lower()}",
        lines=(
            Line(AccountKind.IN_TRANSIT, made.asset, -made.amount_base_units),
            Line(account, made.asset, amount_base_units),
            Line(AccountKind(made.arguments["source"]), made.asset, left),
        ),
    )
