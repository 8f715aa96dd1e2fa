"""Our own transactions, once the blocks that hold them are final: what each was for is done, or is to be done again.

A call that succeeded leaves a log, which says more than a receipt does; one that reverted leaves none, and that every
node must bear out before it is made again. Steps of acts are closed by `settlement.acts.closing`.
"""

import logging
from collections.abc import Sequence

from django.db import transaction
from django.db.models import Exists, Max, Min, OuterRef, QuerySet

from intermediary import ledger, outbox
from intermediary.models import ChainInstruction
from settlement import chains, holding, shown
from settlement.any_of import AnyOf
from settlement.models import ChainBlock, ChainLog, ChainTransaction, TransactionAttempt, Witnessed

log = logging.getLogger(__name__)
State = ChainInstruction.State
OPEN_TRANSACTIONS = (*ChainTransaction.UNFINISHED, ChainTransaction.State.INCLUDED)
AHEAD_BLOCKS = 10  # the poster's node may be some blocks ahead of the last one read; asking again later costs nothing
REVERTS_MAX = 3  # each costs gas: a call that passes every trial and reverts every time is for a person
BOOKED_BY_EVENT = (
    ChainInstruction.Kind.SEIZE,
    ChainInstruction.Kind.APPLY_LOSS,
    ChainInstruction.Kind.WRITE_UP,
)  # see `settlement.finality._took`


def settle_transactions() -> None:
    """Close what the poster saw in blocks that are final by now: the calls that reverted, which leave no log. Every
    call of ours that succeeds leaves one, so a receipt of success that no log bears out is asked for again."""
    if not _TO_CLOSE.exists():
        return
    included = _included()
    blocks = {
        block.number: block
        for block in ChainBlock.objects.filter(canonical=True, number__in=included.values("block_number"))
    }
    for found in included.order_by("recorded_at"):
        block = blocks.get(found.block_number or -1)
        if block is None and not _may_be_read_yet(found):
            back_to_sent(found)
        if block is None or (block.hash == found.block_hash and not block.finalized):
            continue
        logs = ChainLog.objects.filter(transaction_hash=found.transaction_hash, block=block)
        is_shown = logs.exclude(refusal__startswith=ChainLog.DISPUTED).exists()  # one node's word closes nothing
        if block.hash != found.block_hash or (found.succeeded and not is_shown):
            back_to_sent(found)
            continue
        if not is_shown and not _is_witnessed(found):
            continue
        found.succeeded = is_shown
        close(found)


def _included() -> QuerySet[ChainTransaction]:
    """Without the steps of acts, which leave logs that nobody watches: `settlement.acts.closing`."""
    here = ChainTransaction.objects.filter(sender__chain=chains.here(), state=ChainTransaction.State.INCLUDED)
    return here.filter(step="")


def _without_a_final_block_to_come() -> QuerySet[ChainTransaction]:
    """Those of which it can be told what became of them: their block is final, or is not one of ours."""
    block = ChainBlock.objects.filter(canonical=True, number=OuterRef("block_number"), hash=OuterRef("block_hash"))
    return _included().exclude(Exists(block.filter(finalized=False)))


_TO_CLOSE = AnyOf(_without_a_final_block_to_come)


def _is_witnessed(found: ChainTransaction) -> bool:
    """Whether every node shows the same logs of its block: that a call left none, and so reverted and is to be made
    again, is not one node's to say. Where there is one node only, nothing is ever witnessed."""
    seen = Witnessed.objects.filter(chain=chains.here()).first()
    return seen is None or seen.block_number >= (found.block_number or 0)


def _may_be_read_yet(found: ChainTransaction) -> bool:
    """Whether the block of this receipt may still come: what no chain will ever show must not be waited for."""
    read = ChainBlock.objects.filter(canonical=True).aggregate(first=Min("number"), last=Max("number"))
    if read["first"] is None or found.block_number is None:
        return True
    return bool(read["first"] <= found.block_number <= read["last"] + AHEAD_BLOCKS)


def close_seen(blocks: Sequence[ChainBlock]) -> None:
    """Our own transactions that the logs of these blocks show: they succeeded, whether the poster has looked or not."""
    agreed = ChainLog.objects.filter(block__in=blocks).exclude(refusal__startswith=ChainLog.DISPUTED)
    holding_block = dict(agreed.values_list("transaction_hash", "block_id").distinct())
    by_id = {block.id: block for block in blocks}
    seen = TransactionAttempt.objects.filter(hash__in=holding_block, transaction__state__in=OPEN_TRANSACTIONS)
    for attempt in seen.select_related("transaction__instruction"):
        found, block = attempt.transaction, by_id[holding_block[attempt.hash]]
        found.block_number, found.block_hash, found.transaction_hash = block.number, block.hash, attempt.hash
        found.succeeded = True
        close(found)


def back_to_sent(found: ChainTransaction) -> None:
    """The poster was told of a block that is not part of the chain, or of a success that the block does not show."""
    with transaction.atomic():
        if not _is_open(found):
            return
        if found.instruction_id is not None:
            included = ChainInstruction.objects.filter(id=found.instruction_id, state=State.INCLUDED)
            included.update(state=State.BATCHED)
        found.state, found.block_number, found.block_hash = ChainTransaction.State.SENT, None, ""
        found.succeeded = None
        found.save(update_fields=["state", "block_number", "block_hash", "succeeded"])


def close(found: ChainTransaction) -> None:
    """Close one as its row says, if no other process has."""
    with transaction.atomic():
        instruction = found.instruction
        if instruction is not None:
            ledger.lock_cells([instruction.cell_id])
        if not _is_open(found):
            return
        if instruction is not None and found.succeeded and not shown.is_shown(instruction, found.transaction_hash):
            log.error("%s shows nothing of instruction %s, which it was sent for", found.transaction_hash, instruction)
            return
        if instruction is not None:
            if not found.succeeded:
                _again(instruction)
            elif instruction.kind not in BOOKED_BY_EVENT:
                place = shown.place_of(instruction, found.transaction_hash)
                outbox.mark_final(instruction.id, transaction_hash=found.transaction_hash, place=place)
        found.state = ChainTransaction.State.FINAL if found.succeeded else ChainTransaction.State.REVERTED
        found.save(update_fields=["state", "block_number", "block_hash", "transaction_hash", "succeeded"])


def _is_open(found: ChainTransaction) -> bool:
    """Under its lock: whether no other process has closed it since it was read. Its call may be on its way anew by
    then, and would go out once more."""
    open_ones = ChainTransaction.objects.select_for_update().filter(state__in=OPEN_TRANSACTIONS)
    return open_ones.filter(id=found.id).exists()


def _again(instruction: ChainInstruction) -> None:
    """The call reverted although it passed its trial: something came between. It changed nothing; try it again."""
    reverted = instruction.transactions.filter(state=ChainTransaction.State.REVERTED).count() + 1
    ChainInstruction.objects.filter(id=instruction.id, state=State.BATCHED).update(state=State.DRAFT)
    holding.hold(instruction, "the call reverted", for_a_person=reverted % REVERTS_MAX == 0)
