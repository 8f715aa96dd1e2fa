"""Ledger and chain compared at final blocks, tolerance zero.

A difference opens a break; agreement closes it. What is compared stands in `settlement.comparisons`, what needs a
person although the sums agree in `settlement.questions`. Every run also notes what each client may see of its own
vaults, hands out the margin statements that became final, and, the first of a day, the report on the day before.
"""

from collections.abc import Collection, Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet

from intermediary.errors import Refusal
from intermediary.ids import uuid7
from intermediary.models.bulk import insert_all
from settlement import chains, compared, comparisons, reports, statements
from settlement.any_of import AnyOf
from settlement.breaks import ReconciliationBreak, ReconciliationRun
from settlement.chain import Chain
from settlement.comparisons import Compared, Comparison, Ledger, chain_side
from settlement.models import ChainBlock
from settlement.questions import open_questions
from settlement.views import Answers

Kind = ReconciliationBreak.Kind
# Found by the watcher while it reads, each by its own comparison: a run at a block says nothing about them.
NOT_OF_A_RUN = (Kind.WITNESSES, Kind.REORG)


def run(chain: Chain, block: ChainBlock) -> ReconciliationRun:
    """Compare everything at `block`, the last one whose events the ledger holds, because somebody asked; opens and
    closes breaks. Up to where every block is compared, a run of the watcher's says."""
    return run_each(chain, [block], by_hand=True)[-1]


def run_each(chain: Chain, blocks: Sequence[ChainBlock], *, by_hand: bool = False) -> list[ReconciliationRun]:
    """Compare everything at each of these blocks, in their order: at the first of them the ledger holds the last event,
    so its side is the same for all. Where the chain says at one what it said at the one before, nothing is compared
    anew."""
    with comparisons.one_moment():
        ledger = comparisons.ledger_side()
        questions = list(open_questions(ledger.books))
    found = _compared_at(chain, ledger, blocks)
    made: list[ReconciliationRun] = []
    ids = sorted(uuid7() for _ in blocks)  # several are of one millisecond, and the newest is to be the last block's
    with transaction.atomic():
        for place, (block, compared_there) in enumerate(zip(blocks, found, strict=True)):
            if place == 0 or compared_there is not found[place - 1]:
                off = [*compared_there.off, *(one for one in questions if not one.agrees)]
                breaks = _open_and_close(block.number, off, [kind for kind in Kind if kind not in NOT_OF_A_RUN])
            count = compared_there.count + len(questions)
            named = {"id": ids[place], "block_number": block.number, "block_hash": block.hash}
            made.append(ReconciliationRun(**named, comparisons=count, breaks=breaks, by_hand=by_hand))
            reports.close_day(block, made[-1], compared_there)
        insert_all(made)
        compared.note(found[-1].holdings, blocks[-1].number)
        statements.hand_out()
    return made


def _compared_at(chain: Chain, ledger: Ledger, blocks: Sequence[ChainBlock]) -> list[Compared]:
    """What was compared at each block; the same object as of the block before where the chain says the same."""
    found: list[Compared] = []
    before: Answers | None = None
    for block, answers in zip(blocks, chain_side(chain, ledger, [one.number for one in blocks]), strict=True):
        found.append(found[-1] if answers == before else comparisons.compare(ledger, answers, block))
        before = answers
    return found


def compare_witnesses(
    chain: Chain,
    witnesses: Sequence[Chain],
    block: ChainBlock,
    logs: Sequence[Comparison] = (),
    unknown: Collection[str] = (),
) -> None:
    """Open a break when another node has another block at this final height, or other logs than the first one; close it
    when all agree again, but not at places of which nothing new is known. So far the chain has the final blocks that we
    have."""
    found = [
        Comparison(
            Kind.WITNESSES, f"block by node {number}, {witness.name}", block.hash, _hash_at(witness, block.number)
        )
        for number, witness in enumerate(witnesses, start=2)
    ]
    with transaction.atomic():
        _open_and_close(block.number, [*found, *logs], NOT_OF_A_RUN, unknown)


def final_block_is_gone(chain: Chain, block: ChainBlock) -> None:
    """Open the break of a final block that is no longer part of the chain. It stays open until blocks become final
    after it again, which they do on the chain that has it only."""
    found = [Comparison(Kind.REORG, f"final block {block.number}", block.hash, _hash_at(chain, block.number))]
    with transaction.atomic():
        _open_and_close(block.number, found, [Kind.REORG])


def agreed_until(witnesses: Sequence[Chain], tip: ChainBlock | None) -> datetime | None:
    """The time of the last block we read, if every witness has it; where one has not read so far, of that one's own
    last block, if we have it too. None where they differ, or one does not answer."""
    if tip is None:
        return None
    found = tip
    for witness in witnesses:
        try:
            theirs = witness.block("latest")
            if theirs is not None and int(theirs["number"], 16) > tip.number:
                theirs = witness.block(tip.number)
        except Refusal:
            return None
        shared = ChainBlock.objects.filter(hash=theirs["hash"], canonical=True).first() if theirs else None
        if shared is None:
            return None
        found = min(found, shared, key=lambda block: block.number)
    return found.block_time


def open_breaks_here() -> QuerySet[ReconciliationBreak]:
    """What differs between the ledger and the chain that this process works on."""
    return ReconciliationBreak.objects.filter(chain=chains.here(), resolved_block=None)


_OPEN = AnyOf(open_breaks_here)


def outflow_is_stopped() -> bool:
    """Nodes that disagree on a final block, and a final block that is gone, stop what leaves, never what arrives."""
    return open_breaks_here().filter(kind__in=NOT_OF_A_RUN).exists()


def latest_final() -> ChainBlock:
    """The last final block that was read. Refuses before there is one."""
    block = ChainBlock.objects.filter(finalized=True).order_by("-number").first()
    if block is None:
        raise Refusal("nothing_final", "No final block has been read yet.")
    return block


def _hash_at(witness: Chain, number: int) -> str:
    try:
        witness.id()
        header = witness.block(number)
    except Refusal as error:
        return error.code
    return header["hash"] if header else "unknown"


def _open_and_close(
    block_number: int, found: Sequence[Comparison], kinds: Sequence[str], unknown: Collection[str] = ()
) -> int:
    """Make the open breaks of these kinds exactly those found and those open at unknown places; how many are open."""
    stays = {place[:120] for place in unknown}
    off = {(comparison.kind, comparison.place[:120]): comparison for comparison in found if not comparison.agrees}
    count = len(off)
    if not off and not _OPEN.exists():
        return 0
    for known in open_breaks_here().filter(kind__in=kinds):
        comparison = off.pop((Kind(known.kind), known.place), None)
        if comparison is None and known.place in stays:
            count += 1
            continue
        if comparison is None:
            known.resolved_block = block_number
        else:
            known.ledger_value, known.chain_value = comparison.ledger[:100], comparison.chain[:100]
        known.save(update_fields=["resolved_block", "ledger_value", "chain_value"])
    fresh = [
        ReconciliationBreak(
            kind=comparison.kind,
            place=place,
            cell_id=comparison.cell_id,
            asset_id=comparison.asset_id,
            ledger_value=comparison.ledger[:100],
            chain_value=comparison.chain[:100],
            first_block=block_number,
        )
        for (_, place), comparison in off.items()
    ]
    ReconciliationBreak.objects.bulk_create(fresh, ignore_conflicts=True)  # a second watcher may have found it too
    return count
