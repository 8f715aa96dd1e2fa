"""Cash of a bond series in the ledger: in when it goes on risk, out when holders are paid.

An escrow holds the cash of several slices, each of which belongs to the cell it covers, so every movement is booked
in those cells separately. Losses, write-ups, coupons and repayments are instructions and book themselves.
"""

from collections.abc import Iterator
from uuid import UUID

from intermediary import ledger
from intermediary.errors import Refusal
from intermediary.ids import derive
from intermediary.ledger import Line
from intermediary.models import AccountKind, ChainInstruction, ChainTarget

ON_RISK = 2  # SeriesEscrow.Phase
Kind = ChainInstruction.Kind
# What a final instruction does to a slice's principal.
_EFFECT = {Kind.APPLY_LOSS: -1, Kind.WRITE_UP: 1, Kind.REPAY: -1}


def book_issue(escrow: ChainTarget, phase: int) -> None:
    """The series is on risk: subscribers' cash becomes each slice's principal."""
    if phase != ON_RISK:
        return
    ledger.lock_cells(cell_id for _, cell_id, _ in _slices(escrow))
    for index, cell_id, principal in _slices(escrow):
        _post(escrow, cell_id, AccountKind.OUTSIDE, AccountKind.ESCROW, principal, "series_issued", index)
    escrow.creation |= {"on_risk": True}
    escrow.save(update_fields=["creation"])


def book_payment(escrow: ChainTarget, amount_base_units: int, cause: str) -> None:
    """A holder was paid what its notes had earned: out of the slices' coupon accounts, in order of the slices."""
    cells = [cell_id for _, cell_id, _ in _slices(escrow)]
    ledger.lock_cells(cells)
    left = amount_base_units
    for cell_id in dict.fromkeys(cells):
        part = min(left, ledger.balance(cell_id, AccountKind.COUPONS, escrow.asset_id))
        if part > 0:
            _post(escrow, cell_id, AccountKind.COUPONS, AccountKind.OUTSIDE, part, "series_paid", cause)
            left -= part
    if left:
        raise Refusal("paid_more_than_owed", f"{left} base units were paid that the ledger does not owe.")


def book_maturity(escrow: ChainTarget) -> None:
    """All outstanding principal is now owed to the holders."""
    ledger.lock_cells(cell_id for _, cell_id, _ in _slices(escrow))
    for index, cell_id, principal in _slices(escrow):
        left = principal + _changes(escrow, index)
        if left > 0:
            _post(escrow, cell_id, AccountKind.ESCROW, AccountKind.COUPONS, left, "series_matured", index)


def is_on_risk(escrow: ChainTarget) -> bool:
    """Whether the escrow's cash is in the ledger; before that it belongs to subscribers, who may still get it back."""
    return bool(escrow.creation.get("on_risk"))


def _slices(escrow: ChainTarget) -> Iterator[tuple[int, UUID, int]]:
    """(index, cell, principal at issue in base units) of each slice."""
    for index, slice_ in enumerate(escrow.creation["slices"]):
        yield index, UUID(slice_["cell"]), sum(slice_["principal_base_units"])


def _changes(escrow: ChainTarget, index: int) -> int:
    done = ChainInstruction.objects.filter(
        target=escrow, state=ChainInstruction.State.FINAL, kind__in=_EFFECT, arguments__slice=index
    )
    return sum(_EFFECT[Kind(kind)] * amount for kind, amount in done.values_list("kind", "amount_base_units"))


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
        memo=f"{escrow.creation['series']}",
        lines=[
            Line(source, escrow.asset_id, -amount_base_units),
            Line(destination, escrow.asset_id, amount_base_units),
        ],
    )
