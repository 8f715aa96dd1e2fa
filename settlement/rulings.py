"""What the chain says became of a loss notice before it was applied: ruled on by the expert, or taken back.

The ledger's word for it goes to whoever acts on losses. A notice that is gone can never be applied: a call that would,
and has not been made, is failed here, which gives its tokens back to the escrow's account.
"""

from typing import Any

from intermediary import events, ledger, outbox
from intermediary.models import ChainInstruction
from settlement.models import ChainLog, ChainTransaction

Kind, State = ChainInstruction.Kind, ChainInstruction.State
Arguments = dict[str, Any]


def ruled(row: ChainLog, event: Arguments) -> None:
    """The expert's answer: what is left of the loss, nothing when the notice was dropped."""
    _tell(row, event["id"], event["amount"])


def cancelled(row: ChainLog, event: Arguments) -> None:
    """The operator took the notice back."""
    _tell(row, event["id"], 0)


def _tell(row: ChainLog, number: int, left: int) -> None:
    sent = ChainTransaction.objects.filter(to=row.address, contract_seq=number, succeeded=True)
    found = sent.filter(instruction__kind=Kind.NOTICE_LOSS).select_related("instruction").first()
    if found is None or found.instruction is None:
        return  # a notice that nobody here gave is a difference of the escrow's servicing numbers, not of money
    notice = found.instruction
    ledger.lock_cells([notice.cell_id])
    if left == 0:
        applies = ChainInstruction.objects.filter(kind=Kind.APPLY_LOSS, arguments__notice=str(notice.id))
        for instruction in applies.filter(state__in=(State.DRAFT, State.BATCHED)):
            ChainInstruction.objects.filter(id=instruction.id, state=State.DRAFT).update(state=State.BATCHED)
            outbox.mark_failed(instruction.id, failure="the notice was dropped")
    events.emit(events.LOSS_RULED, cell_id=notice.cell_id, instruction_id=str(notice.id), amount_base_units=str(left))
