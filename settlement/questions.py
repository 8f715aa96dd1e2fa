"""What needs a person although the sums agree, or because of what a log says by itself."""

from collections.abc import Iterable, Iterator
from uuid import UUID

from django.db.models import QuerySet

from intermediary.models import AccountKind, Asset, ChainInstruction, Delivery
from settlement import chains, holding
from settlement.any_of import AnyOf
from settlement.bindings import decode_event
from settlement.breaks import ReconciliationBreak
from settlement.comparisons import Books, Comparison
from settlement.models import Approval, BatchMovement, ChainLog, Fence

Kind = ReconciliationBreak.Kind
FENCE = "fence: the chain is ahead of the database"
# What `settlement.finality` says of a log that it cannot book, as a kind of break.
BY_REFUSAL = {
    "missing_in_ledger": Kind.MISSING_IN_LEDGER,
    "movement_differs": Kind.AMOUNT,
    "head_differs": Kind.HEAD,
}


def open_questions(books: Books) -> Iterator[Comparison]:
    """Every one, as something that is said twice and differs."""
    suspense = {key: amount for key, amount in books.items() if key[0] == AccountKind.SUSPENSE and amount}
    if suspense or _OF_THIS_CHAIN.exists():
        yield from _of_this_chain(suspense)
    if chains.here() == chains.names()[0] and _OF_NO_CHAIN.exists():  # the first one's watcher says it
        yield from _of_no_chain()


def _of_this_chain(suspense: Books) -> Iterator[Comparison]:
    here = set(Asset.objects.filter(chain__in=chains.asset_chains()).values_list("code", flat=True))
    for (_, cell_id, asset), amount in suspense.items():
        if cell_id is not None and asset in here:
            about = f"suspense {cell_id} {asset}"
            yield Comparison(Kind.UNKNOWN_SENDER, about, "0", str(amount), UUID(cell_id), asset)
    for row in _unbooked():
        place = f"{row.name} {row.transaction_hash} {row.log_index}"
        yield Comparison(_kind_of(row), place, row.refusal[:100], "final", row.cell_id)
    yield from _refused_calls(here)
    for standing in _fences():
        yield Comparison(Kind.MISSING_IN_LEDGER, FENCE, "nothing is sent", standing.reason[:100])


def _of_no_chain() -> Iterator[Comparison]:
    for lost in _lost().select_related("event"):
        place = f"{lost.event.kind} for {lost.consumer} {lost.id}"
        yield Comparison(Kind.DELIVERY, place, lost.state, lost.error[:100], lost.event.cell_id)
    for approval in _refused():
        for instruction in _still_waiting(approval):
            place = f"{instruction.kind} {instruction.id}"
            yield Comparison(Kind.APPROVAL, place, instruction.state, "not approved", instruction.cell_id)


def _unbooked() -> QuerySet[ChainLog]:
    final = ChainLog.objects.filter(block__chain=chains.here(), block__canonical=True, block__finalized=True)
    return final.filter(applied=False)


def _fences() -> QuerySet[Fence]:
    return Fence.objects.filter(chain=chains.here(), lifted_at=None)


def _lost() -> QuerySet[Delivery]:
    return Delivery.objects.filter(state=Delivery.State.FAILED)


def _refused() -> QuerySet[Approval]:
    return Approval.objects.filter(refusal__isnull=False).only("refusal")  # without the messages


_OF_THIS_CHAIN = AnyOf(_unbooked, holding.for_a_person, holding.stuck_batches, _fences)
_OF_NO_CHAIN = AnyOf(_lost, _refused)


def _kind_of(row: ChainLog) -> ReconciliationBreak.Kind:
    """A movement that nobody here instructed, under the reference of one that has settled, is that one a second
    time."""
    found = BY_REFUSAL.get(row.refusal.partition(":")[0], Kind.NOT_APPLIED)
    event = decode_event(row.topics, row.data) if row.name == "Moved" else None
    if found == Kind.MISSING_IN_LEDGER and event is not None:
        settled = BatchMovement.objects.filter(
            vault__address=row.address, is_live=True, outcome=BatchMovement.Outcome.SETTLED
        )
        if settled.filter(ref="0x" + event.arguments["ref"].hex()).exists():
            return Kind.DUPLICATE
    return found


def _refused_calls(assets: set[str]) -> Iterator[Comparison]:
    for held in holding.for_a_person().filter(instruction__target__asset__in=assets).select_related("instruction"):
        place = f"{held.instruction.kind} {held.instruction_id}"
        yield Comparison(Kind.CALL, place, held.instruction.state, held.reason[:100], held.instruction.cell_id)
    for batch in holding.stuck_batches().filter(house__asset__in=assets).select_related("house"):
        place = f"batch {batch.number} of {batch.house.address}"
        yield Comparison(Kind.CALL, place, batch.state, batch.refusal[:100], None, batch.house.asset_id)


def _still_waiting(approval: Approval) -> Iterable[ChainInstruction]:
    named = [key for key in (approval.refusal or {}) if len(key) == 36]  # the others name no instruction
    return ChainInstruction.objects.filter(id__in=named, state__in=["DRAFT", "BATCHED"]).exclude(
        movements__is_live=True
    )
