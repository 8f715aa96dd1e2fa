"""Cash of a bond series in the ledger: in when it goes on risk, out when holders are paid.

An escrow holds the cash of several slices, each of which belongs to the cell it covers, so every movement is booked
in those cells separately. Losses, write-ups, coupons and repayments are instructions and book themselves.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Max, Q, Sum

from intermediary import events, ledger, outbox
from intermediary.errors import Refusal
from intermediary.ids import derive
from intermediary.ledger import Line
from intermediary.models import AccountKind, ChainInstruction, ChainTarget, Posting
from settlement.models import ChainTransaction

ON_RISK = 2  # SeriesEscrow.Phase
Kind = ChainInstruction.Kind
ACTS = (Kind.APPLY_LOSS, Kind.WRITE_UP, Kind.REPAY, Kind.COUPON)
BEFORE_MATURITY = (Kind.NOTICE_LOSS, Kind.APPLY_LOSS, Kind.REPAY)  # a matured escrow takes none of these any more


@dataclass
class Standing:
    """Where a series stands by the ledger; base units. A part is one tranche of one slice, as on chain."""

    principal: list[list[int]]
    written_down: list[list[int]]
    owed: int = 0

    def of_tranche(self, tranche: int) -> tuple[int, int]:
        """(principal, net written down) of one class of notes."""
        return sum(row[tranche] for row in self.principal), sum(row[tranche] for row in self.written_down)

    @property
    def cash(self) -> int:
        """What the escrow holds: all principal, and what holders have not claimed."""
        return sum(map(sum, self.principal)) + self.owed


def standing(escrow: ChainTarget) -> Standing:
    """What was issued, less the losses, repayments and payments that are final, plus the write-ups and coupons."""
    issued = [list(slice_["principal_base_units"]) for slice_ in escrow.creation["slices"]]
    now = Standing(issued, [[0] * len(row) for row in issued])
    done = ChainInstruction.objects.filter(target=escrow, state=ChainInstruction.State.FINAL, kind__in=ACTS)
    number = Max("transactions__contract_seq", filter=Q(transactions__succeeded=True))  # the escrow's own order
    acts = list(done.annotate(number=number).order_by("number", "seq"))
    moved = outbox.moved_by(acts)
    for act in acts:
        _carry_out(now, act, moved[act.id])
    postings = Posting.objects.filter(account__kind=AccountKind.COUPONS, entry__memo=escrow.creation["series"])
    if postings.filter(entry__kind="series_matured").exists():
        now.owed += sum(map(sum, now.principal))
        now.principal = [[0] * len(row) for row in now.principal]
    paid = postings.filter(entry__kind="series_paid").aggregate(total=Sum("amount_base_units"))["total"] or 0
    now.owed += int(paid)
    return now


def _carry_out(now: Standing, act: ChainInstruction, amount_base_units: int) -> None:
    """The contract's own order: losses junior first, write-ups senior first."""
    if act.kind == Kind.COUPON:
        now.owed += amount_base_units
        return
    index = int(act.arguments["slice"])
    principal, written_down = now.principal[index], now.written_down[index]
    if act.kind == Kind.REPAY:
        principal[int(act.arguments["tranche"])] -= amount_base_units
        now.owed += amount_base_units
        return
    falls = act.kind == Kind.APPLY_LOSS
    for tranche in range(len(principal)) if falls else reversed(range(len(principal))):
        part = min(amount_base_units, principal[tranche] if falls else written_down[tranche])
        principal[tranche] -= part if falls else -part
        written_down[tranche] += part if falls else -part
        amount_base_units -= part


def book_issue(escrow: ChainTarget, phase: int, at: datetime) -> None:
    """The series is on risk since the block of its close: subscribers' cash becomes each slice's principal."""
    if phase != ON_RISK:
        return
    ledger.lock_cells(cell_id for _, cell_id, _ in _slices(escrow))
    for index, cell_id, principal in _slices(escrow):
        _post(escrow, cell_id, AccountKind.OUTSIDE, AccountKind.ESCROW, principal, "series_issued", index)
    escrow.creation |= {"on_risk": True, "on_risk_since": at.isoformat()}
    escrow.save(update_fields=["creation"])


def book_payment(escrow: ChainTarget, amount_base_units: int, cause: str) -> None:
    """A holder was paid what its notes had earned: out of what the slices of this escrow owe, in their order."""
    ledger.lock_cells(cell_id for _, cell_id, _ in _slices(escrow))
    left = amount_base_units
    for cell_id, owed in owed_by_cell(escrow).items():
        part = min(left, owed)
        if part > 0:
            _post(escrow, cell_id, AccountKind.COUPONS, AccountKind.OUTSIDE, part, "series_paid", cause)
            left -= part
    if left:
        raise Refusal("paid_more_than_owed", f"{left} base units were paid that the ledger does not owe.")


def owed_by_cell(escrow: ChainTarget) -> dict[UUID, int]:
    """What each covered relationship's slice owes the holders of this series, base units, in order of the slices. A
    relationship's coupon account may hold that of other series as well."""
    owed = {cell_id: 0 for _, cell_id, _ in _slices(escrow)}
    shared_out = ChainInstruction.objects.filter(
        target=escrow, state=ChainInstruction.State.FINAL, kind__in=(Kind.COUPON, Kind.REPAY)
    )
    acts = list(shared_out)
    moved = outbox.moved_by(acts)
    for act in acts:
        owed[act.cell_id] += moved[act.id]
    own = Posting.objects.filter(account__kind=AccountKind.COUPONS, entry__memo=escrow.creation["series"])
    own = own.filter(entry__kind__in=("series_matured", "series_paid"))
    for cell_id, total in own.values_list("cell_id").annotate(total=Sum("amount_base_units")):
        owed[cell_id] += int(total)
    return owed


def book_maturity(escrow: ChainTarget) -> None:
    """All outstanding principal is now owed to the holders. Servicing is told, whoever matured the escrow.

    Refuses `act_on_its_way` while an act of before may still be found in a block; it is booked after that one.
    """
    ledger.lock_cells(cell_id for _, cell_id, _ in _slices(escrow))
    _fail_what_comes_too_late(escrow)
    outstanding = standing(escrow).principal
    for index, cell_id, _ in _slices(escrow):
        if left := sum(outstanding[index]):
            _post(escrow, cell_id, AccountKind.ESCROW, AccountKind.COUPONS, left, "series_matured", index)
    if not is_matured(escrow):
        escrow.creation |= {"matured": True}
        escrow.save(update_fields=["creation"])
        events.emit(events.SERIES_MATURED, cell_id=escrow.cell_id, escrow_id=str(escrow.id))


def book_late_recovery(escrow: ChainTarget, slice_index: int, amount_base_units: int, cause: str) -> None:
    """A matured escrow has shared out what was just written up: it is owed to the holders at once."""
    if not is_matured(escrow):
        return
    cell_id = next(cell_id for index, cell_id, _ in _slices(escrow) if index == slice_index)
    ledger.lock_cells([cell_id])
    _post(escrow, cell_id, AccountKind.ESCROW, AccountKind.COUPONS, amount_base_units, "series_matured", cause)


def _fail_what_comes_too_late(escrow: ChainTarget) -> None:
    """Acts that no transaction carries can never be done: their cash goes back to principal."""
    undone = ChainInstruction.objects.filter(target=escrow, kind__in=BEFORE_MATURITY)
    undone = undone.exclude(state__in=(ChainInstruction.State.FINAL, ChainInstruction.State.FAILED))
    late = list(undone.select_for_update().order_by("seq"))
    ended = (ChainTransaction.State.REVERTED, ChainTransaction.State.DISPLACED)
    scheduled = Q(state=ChainTransaction.State.FINAL) & ~Q(step="")  # announced with a delay, not made
    carried = ChainTransaction.objects.filter(instruction__in=late).exclude(Q(state__in=ended) | scheduled)
    if carried.exists():
        raise Refusal("act_on_its_way", "An act of this escrow was sent before it matured; what became of it is read.")
    for instruction in late:
        ChainInstruction.objects.filter(id=instruction.id).update(state=ChainInstruction.State.BATCHED)
        outbox.mark_failed(instruction.id, failure="the escrow was matured")


def is_matured(escrow: ChainTarget) -> bool:
    """Whether the contract has shared out all principal: whatever comes back later is paid out at once."""
    return bool(escrow.creation.get("matured"))


def is_on_risk(escrow: ChainTarget) -> bool:
    """Whether the escrow's cash is in the ledger; before that it belongs to subscribers, who may still get it back."""
    return bool(escrow.creation.get("on_risk"))


def _slices(escrow: ChainTarget) -> Iterator[tuple[int, UUID, int]]:
    """(index, cell, principal at issue in base units) of each slice."""
    for index, slice_ in enumerate(escrow.creation["slices"]):
        yield index, UUID(slice_["cell"]), sum(slice_["principal_base_units"])


def _post(
    escrow: ChainTarget,
    cell_id: UUID,
    source: AccountKind,
    destination: AccountKind,
    amount_base_units: int,
    kind: str,
    cause: object,
) -> None:
    ledger.post(
        entry_id=derive(kind, escrow.id, cell_id, cause),
        cell_id=cell_id,
        kind=kind,
        memo=str(escrow.creation["series"]),
        lines=[
            Line(source, escrow.asset_id, -amount_base_units),
            Line(destination, escrow.asset_id, amount_base_units),
        ],
    )
