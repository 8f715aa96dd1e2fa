"""What a recovery on a tail layer leaves to the intermediary: its vertical slice, and what no note has a right to.

A receipt refills the tail as a whole and lies in the relationship's recovery account until the notes are written up.
What is over when they stand at N is the intermediary's, whose float paid that part of the loss, and goes there by one
entry in the ledger. Until then nothing is taken: a slice with an act or a repayment under way may still need it.

    of the intermediary = given back to tail layers - written up - swept before

Each entry is named by what all of them sum to, under the cell's lock, so a repeated sweep finds nothing to do.
"""

from uuid import UUID

from django.db.models import F, Sum

from bonds.loss.tranches import changes_of_slice
from bonds.models import Redemption, Series, Slice, SliceAct
from bonds.servicing import maturity, write_downs
from intermediary import audit, clock, ledger
from intermediary.ids import derive
from intermediary.ledger import Line
from intermediary.models import Account, AccountKind, Layer, LayerLoss, Posting

ENTRY = "recovery_retained"


def waiting() -> list[UUID]:
    """Relationships with a recovery on a tail that lies with the house."""
    held = Account.objects.filter(kind=AccountKind.RECOVERY, balance_base_units__gt=0)
    refilled = LayerLoss.objects.filter(
        layer__kind=Layer.Kind.TAIL, loss_after_base_units__lt=F("loss_before_base_units")
    )
    cells = held.filter(cell_id__in=refilled.values("cell_id")).order_by("cell_id")
    return list(cells.values_list("cell_id", flat=True).distinct())


def sweep(cell_id: UUID) -> int:
    """Bring the relationship's slices to N, then move what none of them has a right to into the float; how much, base
    units. Zero while the notes may still need it. Harmless when repeated."""
    ledger.lock_cells([cell_id])
    slices = _with_rights(cell_id)
    for item in slices:
        write_downs.bring_to_loss(slice_id=item.id)
    asset = ledger.settlement_asset().code
    swept = _swept(cell_id)
    due = _given_back(cell_id) - _written_up(cell_id) - swept
    amount = min(due, ledger.balance(cell_id, AccountKind.RECOVERY, asset))
    if amount <= 0 or any(_may_need(item) for item in slices):
        return 0
    ledger.post(
        entry_id=derive(ENTRY, cell_id, swept + amount),
        cell_id=cell_id,
        kind=ENTRY,
        memo="the intermediary's own part of a recovery on the tail",
        lines=[Line(AccountKind.RECOVERY, asset, -amount), Line(AccountKind.FLOAT, asset, amount)],
    )
    audit.record(actor="servicing", action=ENTRY, subject=cell_id, amount_base_units=amount)
    return amount


def _with_rights(cell_id: UUID) -> list[Slice]:
    """Slices that a recovery may still write up: of a series that is redeemed or written off none is."""
    live = Slice.objects.filter(cell_id=cell_id, series__state__in=[*Series.LIVE, Series.State.MATURED])
    return list(live.select_related("series").order_by("id"))


def _may_need(item: Slice) -> bool:
    """Whether the slice may still need a recovery: something of it is under way, or it is to be written up."""
    moving = item.redemptions.filter(state=Redemption.State.MOVING)
    if item.acts.filter(state__in=SliceAct.UNFINISHED).exists() or moving.exists():
        return True
    if maturity.rights_ended(item.series, clock.now()):
        return False
    states = [part.state for part in item.parts.select_related("slice").order_by("attach_base_units")]
    return any(change.write_up_base_units for change in changes_of_slice(states, write_downs.net_loss_base_units(item)))


def _given_back(cell_id: UUID) -> int:
    """By how much recoveries have lowered the losses of the relationship's tail layers; nothing else lowers them."""
    lowered = LayerLoss.objects.filter(
        cell_id=cell_id, layer__kind=Layer.Kind.TAIL, loss_after_base_units__lt=F("loss_before_base_units")
    )
    return sum(
        before - after for before, after in lowered.values_list("loss_before_base_units", "loss_after_base_units")
    )


def _written_up(cell_id: UUID) -> int:
    acts = SliceAct.objects.filter(cell_id=cell_id, kind=SliceAct.Kind.WRITE_UP)
    return int(acts.aggregate(total=Sum("amount_base_units"))["total"] or 0)


def _swept(cell_id: UUID) -> int:
    entries = Posting.objects.filter(cell_id=cell_id, entry__kind=ENTRY, account__kind=AccountKind.FLOAT)
    return int(entries.aggregate(total=Sum("amount_base_units"))["total"] or 0)
