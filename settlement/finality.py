"""What a final block means for the ledger, once.

Movements of batches are booked many cells at once (`settlement.arrivals`). All else of one cell is booked in one
transaction under that cell's lock, so a cell whose event cannot be booked holds up nobody else, whatever is wrong with
it: the log keeps its reason, shows as a break, and is tried again at the next final block. Every handler is harmless
when repeated, since entries are named by what caused them.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any
from uuid import UUID

from django.db import transaction

from intermediary import events, ledger, outbox
from intermediary.default_cases import cured_on_chain
from intermediary.errors import Refusal
from intermediary.ledger import Line
from intermediary.margining import credit_deposit
from intermediary.models import AccountKind, ChainInstruction, ChainTarget
from intermediary.receipts import receipt_entry_id
from settlement import arrivals, chains, closed, refused, rulings, shown, strays
from settlement.arrivals import Seen, seen
from settlement.bindings import DecodedEvent, decode_event, error_name
from settlement.escrows import book_issue, book_late_recovery, book_maturity, book_payment
from settlement.models import (
    Batch,
    BatchMovement,
    ChainBlock,
    ChainLog,
    HouseReceipt,
    TransactionAttempt,
)

log = logging.getLogger(__name__)
Outcome, State = BatchMovement.Outcome, ChainInstruction.State
Arguments = dict[str, Any]
IN_ORDER = ("block__number", "log_index")


def finalize(blocks: Sequence[ChainBlock]) -> None:
    """Book everything these final blocks hold, and what of earlier blocks is not booked yet; what the nodes disagree
    about waits (`settlement.witnessed`)."""
    left = ChainLog.objects.filter(applied=False, block__chain=chains.here())
    left = left.exclude(refusal__startswith=ChainLog.DISPUTED)
    waiting = left.filter(block__canonical=True, block__finalized=True)
    _apply_all([*seen(waiting), *seen(left.filter(block__in=blocks))])
    closed.close_seen(blocks)
    ChainBlock.objects.filter(id__in=[block.id for block in blocks]).update(finalized=True)


def _apply_all(logs: Iterable[Seen]) -> None:
    left = sorted(logs, key=lambda row: (str(row.cell_id or ""), row.block_number, row.log_index))
    try:
        left = arrivals.book_together(left)
    except Exception:  # one of them is odd: each is looked at by itself, and what is booked already stays so
        log.exception("movements are not booked together")
    for cell_id, group in groupby(left, key=lambda row: row.cell_id):
        with transaction.atomic():
            if cell_id is not None:
                ledger.lock_cells([cell_id])
            # Another process that reads may have booked some since they were read: a backfill beside the watcher.
            unbooked = ChainLog.objects.select_for_update(of=("self",)).select_related("block")
            for row in unbooked.filter(id__in=[one.id for one in group], applied=False).order_by(*IN_ORDER):
                _apply(row)


def _apply(row: ChainLog) -> None:
    event = decode_event(row.topics, row.data)
    handler = _HANDLERS.get(event.name) if event else None
    refusal = ""
    if handler is not None and event is not None:
        try:
            with transaction.atomic():
                handler(row, event.arguments)
        except Exception as error:  # whatever is odd about one log is kept with it, and holds up no other
            refusal = (str(error) if isinstance(error, Refusal) else repr(error))[:300]
            log.exception("%s of %s in block %s is not booked", row.name, row.address, row.block_id)
            if isinstance(error, Refusal) and _set_aside(row, event, refusal):
                return
    row.applied, row.refusal = not refusal, refusal
    row.save(update_fields=["applied", "refusal"])


def _set_aside(row: ChainLog, event: DecodedEvent, refusal: str) -> bool:
    """Whether this was a deposit that a rule refuses, whose tokens lie in suspense now."""
    try:
        with transaction.atomic():
            return refused.set_aside(row, event, refusal)
    except Exception:  # not even that: it waits for an officer like any other event that is not booked
        log.exception("%s in block %s cannot be put into suspense", row.transaction_hash, row.block_id)
        return False


def _moved(row: ChainLog, event: Arguments) -> None:
    movement = (
        BatchMovement.objects.filter(vault__address=row.address, contract_seq=event["seq"])
        .filter(is_live=True)
        .select_related("instruction")
        .first()
    )
    if movement is None:
        raise Refusal("missing_in_ledger", f"No instruction stands behind movement {event['seq']} of {row.address}.")
    if movement.instruction.amount_base_units != event["amount"] or movement.ref != "0x" + event["ref"].hex():
        raise Refusal("movement_differs", f"Movement {event['seq']} of {row.address} is not the one instructed.")
    outbox.mark_final(movement.instruction_id, transaction_hash=row.transaction_hash)
    movement.outcome = Outcome.SETTLED
    movement.save(update_fields=["outcome"])


def _movement_failed(row: ChainLog, event: Arguments) -> None:
    found = BatchMovement.objects.select_related("instruction").filter(
        batch__house__address=row.address,
        batch__number=event["batchId"],
        batch__state__in=[Batch.State.PACKED, Batch.State.INCLUDED, Batch.State.FINAL],
        vault__address=event["vault"],
        contract_seq=event["seq"],
        outcome__in=[Outcome.PENDING, Outcome.FAILED, Outcome.AGAIN],
    )
    movement = found.first()
    if movement is None:
        raise Refusal("missing_in_ledger", f"No instruction stands behind failed movement {event['seq']}.")
    if movement.outcome != Outcome.PENDING:
        return
    reason = error_name(event["reason"])
    # Its vault was not ready for the number because an earlier movement failed: it is packed again, not failed.
    again = reason == "BadSeq"
    movement.outcome, movement.reason = (Outcome.AGAIN if again else Outcome.FAILED), reason
    movement.save(update_fields=["outcome", "reason"])
    if again:
        ChainInstruction.objects.filter(id=movement.instruction_id).update(state=State.DRAFT)
    else:
        outbox.mark_failed(movement.instruction_id, failure=reason)


def _batch_posted(row: ChainLog, event: Arguments) -> None:
    batch = Batch.objects.filter(house__address=row.address, number=event["id"]).exclude(state=Batch.State.REFUSED)
    found = batch.first()
    if found is None or found.head != "0x" + event["head"].hex():
        raise Refusal("head_differs", f"Batch {event['id']} of {row.address} is not the one that was signed here.")
    found.state = Batch.State.FINAL
    found.save(update_fields=["state"])


def _transfer(row: ChainLog, event: Arguments) -> None:
    target = ChainTarget.objects.select_related("asset").filter(address=event["to"]).first()
    if target is None or target.asset.token_address != row.address:
        _note_transferred(row, event)
        return  # another token than the contract's own concerns nobody: the vault returns it on anyone's call
    sender = ChainTarget.objects.filter(address=event["from"]).first()
    if target.kind == ChainTarget.Kind.VAULT and (sender is None or sender.kind != ChainTarget.Kind.HOUSE):
        credit_deposit(
            target=target,
            amount_base_units=event["value"],
            sender=event["from"],
            transaction_hash=row.transaction_hash,
            log_index=row.log_index,
            block_number=row.block.number,
        )
    if target.kind in strays.HOLDERS:
        strays.arrived(row, target, event)
    if target.kind == ChainTarget.Kind.HOUSE and sender is None:
        HouseReceipt.objects.get_or_create(
            transaction_hash=row.transaction_hash,
            log_index=row.log_index,
            defaults={
                "asset": target.asset,
                "sender": event["from"],
                "amount_base_units": event["value"],
                "block_number": row.block.number,
                "entry_key": receipt_entry_id(row.transaction_hash, row.log_index),
            },
        )


def _note_transferred(row: ChainLog, event: Arguments) -> None:
    """Units of a note went from one address to another, whoever caused it: told, for holdings to follow."""
    note = ChainTarget.objects.filter(address=row.address, kind=ChainTarget.Kind.NOTE).first()
    if note is None:
        return
    events.emit(
        events.NOTE_TRANSFERRED,
        cell_id=None,
        note_id=str(note.id),
        sender=event["from"],
        receiver=event["to"],
        units=str(event["value"]),
        transaction_hash=row.transaction_hash,
        log_index=row.log_index,
        block_number=row.block.number,
        block_time=row.block.block_time.isoformat(),
    )


def _withdrawn(row: ChainLog, event: Arguments) -> None:
    """The client took free margin out by itself."""
    _left_vault(row, "withdrawn_by_client", AccountKind.OUTSIDE, AccountKind.OUTSIDE, event["amount"])


def _cured(row: ChainLog, event: Arguments) -> None:
    if event["amount"] == 0:
        return  # the vaults of today refuse that
    paid = _left_vault(row, shown.CURED, AccountKind.HOUSE, AccountKind.SUSPENSE_TAKEN, event["amount"])
    case_id = shown.case_noticed(row)
    if case_id is not None:
        cured_on_chain(case_id, ChainTarget.objects.get(address=row.address), paid)


def _left_vault(
    row: ChainLog, kind: str, of_margin: AccountKind, of_suspense: AccountKind, amount_base_units: int
) -> int:
    """A call of the client's moved this much to these accounts; what its margin does not cover came out of
    suspense. Returns what came out of margin, base units."""
    target = ChainTarget.objects.get(address=row.address)
    margin = ledger.balance(target.cell_id, AccountKind.CLIENT_MARGIN, target.asset_id)
    from_margin = min(amount_base_units, margin)
    from_suspense = amount_base_units - from_margin
    arrived = {of_margin: from_margin}
    arrived[of_suspense] = arrived.get(of_suspense, 0) + from_suspense
    lines = [
        Line(AccountKind.CLIENT_MARGIN, target.asset_id, -from_margin),
        Line(AccountKind.SUSPENSE, target.asset_id, -from_suspense),
        *[Line(account, target.asset_id, amount) for account, amount in arrived.items()],
    ]
    _post(row, target.cell_id, kind, lines)
    return from_margin


def _took(row: ChainLog, event: Arguments) -> None:
    """A call took what there was: a seizure what the vault held, at most the claim; an applied loss what the expert
    left of it. That amount arrives, whatever was instructed."""
    attempts = TransactionAttempt.objects.filter(hash=row.transaction_hash)
    sent = attempts.select_related("transaction__instruction__target").first()
    if sent is None or sent.transaction.instruction is None:
        raise Refusal("missing_in_ledger", f"No instruction stands behind {row.name} of {row.address}.")
    if not shown.shows(row, sent.transaction.instruction):
        raise Refusal(
            "movement_differs", f"{row.name} of {row.address} is not what {row.transaction_hash} was sent for."
        )
    ledger.lock_cells([sent.transaction.instruction.cell_id])
    _take_out_of_suspense(row, sent.transaction.instruction, event["amount"])
    outbox.mark_final(
        sent.transaction.instruction.id,
        transaction_hash=row.transaction_hash,
        moved_base_units=event["amount"],
        place=shown.place_in(row),
    )


def _take_out_of_suspense(row: ChainLog, made: ChainInstruction, amount_base_units: int) -> None:
    """A vault does not know whose tokens it holds: a seizure takes a stranger's too where the claim reaches them. What
    was not instructed comes from the margin, and what that does not cover came out of suspense. It arrives with the
    margin, and is set apart from it here: it is nobody's to spend."""
    if made.kind != ChainInstruction.Kind.SEIZE:
        return
    asset = made.target.asset_id
    margin = ledger.balance(made.cell_id, AccountKind.CLIENT_MARGIN, asset)
    taken = amount_base_units - made.amount_base_units - margin
    if taken > 0:
        lines = [
            Line(AccountKind.SUSPENSE, asset, -taken),
            Line(AccountKind.CLIENT_MARGIN, asset, taken),
            Line(AccountKind.HOUSE, asset, -taken),
            Line(AccountKind.SUSPENSE_TAKEN, asset, taken),
        ]
        _post(row, made.cell_id, "suspense_seized", lines)


def _post(row: ChainLog, cell_id: UUID, kind: str, lines: list[Line]) -> None:
    ledger.post(
        entry_id=shown.entry_of(row, kind),
        cell_id=cell_id,
        kind=kind,
        memo=f"block {row.block.number}, {row.transaction_hash}",
        lines=lines,
    )


def _phase_changed(row: ChainLog, event: Arguments) -> None:
    book_issue(ChainTarget.objects.get(address=row.address), event["phase"], row.block.block_time)


def _paid(row: ChainLog, event: Arguments) -> None:
    target = ChainTarget.objects.get(address=row.address)
    book_payment(target, event["amount"], cause=f"{row.transaction_hash} {row.log_index}")
    events.emit(
        events.HOLDER_PAID,
        cell_id=target.cell_id,
        escrow_id=str(target.id),
        tranche=event["tranche"],
        holder=event["holder"],
        amount_base_units=str(event["amount"]),
        transaction_hash=row.transaction_hash,
        log_index=row.log_index,
    )


def _written_up(row: ChainLog, event: Arguments) -> None:
    """The recovery is principal again, or, of a matured series, owed to its holders at once. The note says it under the
    same name; the cash is the escrow's."""
    target = ChainTarget.objects.get(address=row.address)
    if target.kind != ChainTarget.Kind.ESCROW:
        return
    _took(row, event)
    book_late_recovery(target, event["slice"], event["amount"], cause=f"{row.transaction_hash} {row.log_index}")


def _matured(row: ChainLog, event: Arguments) -> None:
    book_maturity(ChainTarget.objects.get(address=row.address))


_HANDLERS: dict[str, Callable[[ChainLog, Arguments], None]] = {
    "Moved": _moved,
    "MovementFailed": _movement_failed,
    "BatchPosted": _batch_posted,
    "Transfer": _transfer,
    "Withdrawn": _withdrawn,
    "Cured": _cured,
    "Seized": _took,
    "LossApplied": _took,
    "NoticeRuled": rulings.ruled,
    "LossCancelled": rulings.cancelled,
    "PhaseChanged": _phase_changed,
    "Paid": _paid,
    "Matured": _matured,
    "WrittenUp": _written_up,
    "Subscribed": strays.subscribed,
    "Funded": strays.assigned,
    "Released": strays.released,
}
