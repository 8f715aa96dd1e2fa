"""Reading the chain: block by block, logs by block hash, back when the chain changes its mind.

What is seen is provisional: an instruction is INCLUDED, a deposit merely shown. Money moves in the ledger only when
the block is final (`settlement.finality`). A block whose parent is not our tip means that some of our blocks are no
longer part of the chain: they are marked so, what they showed is taken back, and reading starts again before the fork.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from intermediary import events
from intermediary.default_cases import end_withdrawals
from intermediary.errors import Refusal
from intermediary.models import ChainInstruction
from intermediary.models.bulk import insert_plain
from settlement import closed, finality, lookout, provisional, reconcile, witnessed
from settlement.acts import closing
from settlement.any_of import AnyOf
from settlement.chain import LOG_BLOCKS, Chain, ChainRefused
from settlement.concerning import Watched, block_of, filters_of, keep_late, row_of, watched
from settlement.models import (
    Batch,
    ChainBlock,
    ChainLog,
    ChainTransaction,
    Deployment,
    ReadBack,
    ReconciliationBreak,
    ReconciliationRun,
)
from settlement.witnessed import Said

log = logging.getLogger(__name__)
Block = tuple[dict[str, Any], Sequence[dict[str, Any]]]  # a header, and the logs of the block that concern us
READ_AHEAD = 100  # headers asked for at once when catching up: one JSON batch of some 100 kB
# Final blocks of one step that are each compared: finality moves by 32 at a time on Ethereum, by 64 when it was late. A
# block costs a node one call for every 250 vaults.
COMPARED_AT_EACH = 64
Kind = ReconciliationBreak.Kind
# What differs when a node has left a log out.
BY_A_MISSING_LOG = (
    Kind.AMOUNT,
    Kind.FEE_ON_TRANSFER,
    Kind.DUST,
    Kind.MISSING_IN_LEDGER,
    Kind.MISSING_ON_CHAIN,
    Kind.HEAD,
)
REWIND_MARGIN = 2  # blocks read again below a fork: a node may have served the wrong side for a while
_DEPLOYED = AnyOf(Deployment.objects.all)


@dataclass(frozen=True)
class Progress:
    """How far the chain was read, how much of that is final, and the time of the last block read that every node
    knows; None while they do not agree."""

    head: int
    finalized: int
    agreed_until: datetime | None = None


def step(chain: Chain, witnesses: Sequence[Chain] = ()) -> Progress:
    """Read every new block, book every newly final one, and reconcile at each: what no log of ours tells shows too. Of
    more blocks than finality moves by at once (the watcher was away), one is compared for each in which anything of
    ours happened: the last before the next such one.

    Raises `finality_broken` when the chain drops a block it had called final: then nothing may be trusted.
    """
    chain.id()
    head, final = chain.head_and_final()
    if not _DEPLOYED.exists():
        return Progress(head, final)
    final = _final_by_all(final, witnesses)
    _follow(chain, head)
    newly_final = list(ChainBlock.objects.filter(canonical=True, finalized=False, number__lte=final).order_by("number"))
    logs = witness((chain, *witnesses), newly_final, final) if newly_final else Said([], set())
    if newly_final:
        _compare_what_was_left(chain)
    parts = _by_what_happened(newly_final)
    at_each = len(newly_final) <= COMPARED_AT_EACH
    for part in parts[:-1]:
        finality.finalize(part)
        _reconcile(chain, part if at_each else part[-1:])
    if parts:
        finality.finalize(parts[-1])
    closed.settle_transactions()
    if newly_final:
        end_withdrawals()
        closing.settle(chain, witnesses)
        last = newly_final[-1]
        reconcile.compare_witnesses(chain, witnesses, last, *logs)
        if not _reconcile(chain, parts[-1] if at_each else [last]):
            _complete(chain, witnesses, last)
        events.notify(events.PAGES_CHANNEL, f"chain:{last.number}")
    return Progress(head, final, reconcile.agreed_until(witnesses, tip()))


def witness(nodes: Sequence[Chain], blocks: Sequence[ChainBlock], up_to: int) -> Said:
    """What the nodes say of the logs of blocks that are about to be booked, and of all that wait up to a height."""
    concerning = watched() if len(nodes) > 1 else Watched({}, {})
    return witnessed.compare(
        nodes, blocks, up_to, lambda within: filters_of(within, concerning), lambda *of: read_again(nodes[0], *of)
    )


def _final_by_all(final: int, witnesses: Sequence[Chain]) -> int:
    """The last block that every node which answers calls final: what one node alone calls final, the others may still
    drop. A node that is silent or of another chain holds nothing up; `reconcile.compare_witnesses` says so."""
    for witness in witnesses:
        with suppress(Refusal):
            witness.id()
            final = min(final, witness.head_and_final()[1])
    return final


def _by_what_happened(blocks: Sequence[ChainBlock]) -> list[list[ChainBlock]]:
    """The blocks in their order, cut before each in which anything of ours happened: the books of one part are those
    after its first block."""
    eventful = set(ChainLog.objects.filter(block__in=blocks).values_list("block_id", flat=True)) if blocks else set()
    parts: list[list[ChainBlock]] = []
    for block in blocks:
        if not parts or block.id in eventful:
            parts.append([])
        parts[-1].append(block)
    return parts


def _compare_what_was_left(chain: Chain) -> None:
    """Final blocks that were booked and not compared: a watcher ended in between, or its node did not answer. The books
    are those of the last part of them still. What somebody compared by hand meanwhile says nothing of those before."""
    compared = ReconciliationRun.objects.filter(by_hand=False).values_list("block_number", flat=True).first()
    if compared is None:
        return
    final = ChainBlock.objects.filter(canonical=True, finalized=True, number__gt=compared)
    left = list(final.order_by("-number")[:COMPARED_AT_EACH])
    if left:
        _reconcile(chain, _by_what_happened(left[::-1])[-1])


def _reconcile(chain: Chain, blocks: Sequence[ChainBlock]) -> bool:
    """Compare at each of these blocks; whether the last one agrees. A node that has forgotten the state of one by now
    (the watcher was away, and has much to read) is asked about the later half of them; if it has forgotten the last
    too, it cannot be asked: what it then was is in the blocks that follow."""
    try:
        return not reconcile.run_each(chain, blocks)[-1].breaks
    except ChainRefused as error:
        log.warning("blocks %s to %s cannot all be compared: %s", blocks[0].number, blocks[-1].number, error)
        return _reconcile(chain, blocks[len(blocks) // 2 :]) if len(blocks) > 1 else False


def _complete(chain: Chain, witnesses: Sequence[Chain], block: ChainBlock) -> None:
    """Where chain and ledger differ at this block, a log may be missing: a node's index has holes, a balance or a
    vault's number has not. The logs of the blocks since the two last agreed are asked for again; what that brings is
    booked when every node shows it."""
    if not reconcile.open_breaks_here().filter(kind__in=BY_A_MISSING_LOG).exists():
        return
    agreed = ReconciliationRun.objects.filter(breaks=0).order_by("-block_number").first()
    first = max(agreed.block_number + 1 if agreed else 0, block.number - LOG_BLOCKS + 1)
    if read_again(chain, first, block.number):
        witness((chain, *witnesses), [], block.number)
        finality.finalize([])
        closed.settle_transactions()
        _reconcile(chain, [block])


def read_again(chain: Chain, first: int, last: int) -> int:
    """Ask for the logs of these blocks once more and keep those that were left out; how many that were. Those of final
    blocks are booked with the next one, if every node shows them."""
    before = ChainLog.objects.count()
    _store_logs(chain, watched(), first, last)
    found = ChainLog.objects.count() - before
    if found:
        log.warning("%s logs of blocks %s to %s had been left out by a node", found, first, last)
    return found


def tip() -> ChainBlock | None:
    """The last block read that still belongs to the chain."""
    return ChainBlock.objects.filter(canonical=True).order_by("-number").first()


def _follow(chain: Chain, head: int) -> None:
    last = _rewound(chain, head)
    if last is not None and head < last.number:
        return
    number = last.number + 1 if last else first_block()
    concerning = watched()
    _read_back(chain, concerning, number - 1)
    while number <= head:
        wanted = range(number, min(number + READ_AHEAD, head + 1))
        headers = [found for found in chain.batch([_header(hex(n)) for n in wanted]) if found]
        logs = _logs(chain, headers, concerning)
        linked = _linked(last.hash if last else None, list(zip(headers, logs, strict=True)))
        last = _remember(linked, concerning) or last
        if len(linked) < len(headers):
            return  # the chain changed while we read; the next step rewinds
        if len(headers) < len(wanted):
            return
        number = wanted[-1] + 1


def _linked(tip_hash: str | None, read: Sequence[Block]) -> Sequence[Block]:
    """Those of the blocks that follow each other and our tip."""
    for place, (header, _) in enumerate(read):
        if tip_hash is not None and header["parentHash"] != tip_hash:
            return read[:place]
        tip_hash = header["hash"]
    return read


def _read_back(chain: Chain, concerning: Watched, up_to: int) -> None:
    """The logs that targets recorded since the last step have in blocks that were read before. Tokens may be sent to a
    vault's address, which its terms predict, before anybody records it here."""
    known = set(ReadBack.objects.values_list("target_id", flat=True))
    new = {address: target for address, target in concerning.targets.items() if target.id not in known}
    if not new:
        return
    _store_logs(chain, Watched(new, concerning.tokens), first_block(), up_to)
    ReadBack.objects.bulk_create(ReadBack(target_id=target.id, up_to_block=max(up_to, 0)) for target in new.values())


def _store_logs(chain: Chain, concerning: Watched, first: int, last: int) -> None:
    """Keep the logs of blocks that are known already, as far as they are not kept yet. They wait: their blocks may have
    been witnessed without them."""
    for start in range(first, last + 1, LOG_BLOCKS):
        within = {"fromBlock": hex(start), "toBlock": hex(min(start + LOG_BLOCKS - 1, last))}
        found = [entry for part in chain.batch(filters_of(within, concerning)) for entry in part]
        hashes = {entry["blockHash"] for entry in found}
        blocks = {block.hash: block for block in ChainBlock.objects.filter(hash__in=hashes, canonical=True)}
        keep_late(concerning, [entry for entry in found if entry["blockHash"] in blocks], blocks)


def first_block() -> int:
    """Where watching begins: what was deployed first, was deployed no earlier."""
    first = Deployment.objects.order_by("block_number").values_list("block_number", flat=True).first()
    assert first is not None, "nothing is watched before something is deployed"
    return first


def _rewound(chain: Chain, head: int) -> ChainBlock | None:
    """The last block we share with the chain; what lies above it in our rows is given up first. A node that does not
    know our last blocks says nothing against them: one of several machines behind an address lags."""
    last = tip()
    ours = ChainBlock.objects.filter(canonical=True).order_by("-number")
    asked = last if last is None or head >= last.number else ours.filter(number=head).first()
    if asked is None or not _is_replaced(chain, asked):
        return last
    floor = ours.filter(finalized=True).first()
    gone = asked if floor is not None and asked.number < floor.number else floor
    if gone is not None and _is_replaced(chain, gone):
        reconcile.final_block_is_gone(chain, gone)
        raise Refusal("finality_broken", f"The chain dropped final block {gone.number}.", hash=gone.hash)
    above = ours.filter(number__gt=floor.number) if floor is not None else ours
    fork = next((block.number for block in above.iterator() if _hash_at(chain, block.number) == block.hash), -1)
    _give_up_above(max(fork - REWIND_MARGIN, floor.number if floor is not None else -1))
    return tip()


def _is_replaced(chain: Chain, block: ChainBlock) -> bool:
    """Whether the chain has another block at this height; not where this node has none there, or none yet."""
    return _hash_at(chain, block.number) not in (block.hash, None)


def _hash_at(chain: Chain, number: int) -> str | None:
    found = chain.block(number)
    return found["hash"] if found is not None else None


def _give_up_above(number: int) -> None:
    """Blocks above `number` are not part of the chain (any more, or until they are read again)."""
    with transaction.atomic():
        gone = list(ChainBlock.objects.select_for_update().filter(canonical=True, number__gt=number))
        hashes = [block.hash for block in gone]
        shown = ChainLog.objects.filter(block__in=gone, name="Moved").values_list("transaction_hash", flat=True)
        lost = ChainTransaction.objects.filter(block_hash__in=hashes, state=ChainTransaction.State.INCLUDED)
        single = list(lost.exclude(instruction=None).values_list("instruction_id", flat=True))
        included = ChainInstruction.objects.filter(is_open=True, state=ChainInstruction.State.INCLUDED)
        for instructions in (included.filter(transaction_hash__in=set(shown)), included.filter(id__in=single)):
            instructions.update(state=ChainInstruction.State.BATCHED)
        lost.update(state=ChainTransaction.State.SENT, block_number=None, block_hash="", succeeded=None)
        posted = ChainLog.objects.filter(block__in=gone, name="BatchPosted")
        for log in posted.values("address", "topics", "data"):
            number_of = provisional.said(log)["id"]
            Batch.objects.filter(house__address=log["address"], number=number_of, state=Batch.State.INCLUDED).update(
                state=Batch.State.PACKED
            )
        ChainBlock.objects.filter(id__in=[block.id for block in gone]).update(canonical=False)
        last = tip()
        lookout.back_to(last.block_time if last else None)


def _logs(chain: Chain, headers: Sequence[dict[str, Any]], concerning: Watched) -> list[list[dict[str, Any]]]:
    """The logs of each block that concern us: everything our contracts say, and tokens sent to them."""
    calls = [call for header in headers for call in filters_of({"blockHash": header["hash"]}, concerning)]
    answers = chain.batch(calls)
    return [answers[i] + answers[i + 1] for i in range(0, len(answers), 2)]


def _remember(read: Sequence[Block], concerning: Watched) -> ChainBlock | None:
    """Store blocks with their logs and show what they mean, in one transaction; the last of them. Harmless when
    repeated."""
    if not read:
        return None
    fresh = [block_of(header) for header, _ in read]
    with transaction.atomic():
        ChainBlock.objects.bulk_create(
            fresh,
            update_conflicts=True,
            unique_fields=["hash"],
            update_fields=["number", "parent_hash", "block_time", "canonical"],
        )
        blocks = {block.hash: block for block in ChainBlock.objects.filter(hash__in=[block.hash for block in fresh])}
        rows = [row_of(blocks[header["hash"]], log, concerning) for header, logs in read for log in logs]
        insert_plain(ChainLog, rows, unless_known=True)
        provisional.show(rows)
    return blocks[fresh[-1].hash]


def _header(which: str) -> tuple[str, list[Any]]:
    return ("eth_getBlockByNumber", [which, False])
