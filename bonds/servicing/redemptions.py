"""Paying principal back: one part of one slice at a time, from the ledger to the chain and back.

The cash lies in the series' escrow already; a repayment moves it, in the books of the slice's own cell, from principal
to what holders can claim, and the note's principal falls by as much. Nothing here decides how much: see `maturity`.
"""

from uuid import UUID

from django.db.models import Sum

from bonds import timeline
from bonds.loss.tranches import redeem as redeemed
from bonds.models import Redemption, SeriesEvent, Slice, SlicePart, Tranche
from bonds.servicing import chain_order, notices, rolls
from intermediary import audit, clock, outbox
from intermediary.errors import Refusal
from intermediary.ids import derive, uuid7
from intermediary.models import AccountKind, ChainInstruction
from intermediary.outbox import Place

State = Redemption.State


def send(part: SlicePart, amount_base_units: int, reason: Redemption.Reason) -> Redemption | None:
    """Instruct the repayment of this much of a part; None for nothing, while another one of it is on its way, or once
    anyone has matured the escrow, which shares out everything by itself.

    Raises `exceeds_outstanding`.
    """
    if not amount_base_units or part.redemptions.filter(state=State.MOVING).exists():
        return None
    redeemed(part.state, amount_base_units)  # refuses more than there is
    item = part.slice
    series = item.series
    if series.escrow is None:
        raise Refusal("not_deployed", "A series is repaid out of its escrow on chain.", series=series.code)
    if series.escrow.creation.get("matured"):
        return None
    made = Redemption(
        id=uuid7(), part=part, slice=item, cell_id=item.cell_id, reason=reason, amount_base_units=amount_base_units
    )
    made.movement = outbox.move(
        effect_id=derive("redemption", made.id),
        target=series.escrow,
        cell_id=item.cell_id,
        kind=ChainInstruction.Kind.REPAY,
        source=AccountKind.ESCROW,
        destination=AccountKind.COUPONS,
        amount_base_units=amount_base_units,
        memo=f"redemption of {series.code}",
        slice=item.index,
        tranche=part.tranche.seniority,
    )
    made.save()
    return made


def finish(redemption: Redemption) -> None:
    """The chain has repaid it. The caller holds the slice's lock."""
    _account_for(redemption.part_id, redemption.amount_base_units)
    place = chain_order.place_of(redemption.movement) if redemption.movement else None
    redemption.state, redemption.done_at = State.DONE, chain_order.moment_of(place)
    redemption.save(update_fields=["state", "done_at"])
    _tell(redemption, place)


def record_done(part: SlicePart, amount_base_units: int, reason: Redemption.Reason) -> None:
    """Principal that the chain shared out by itself: by anyone after the final maturity, or of a late recovery."""
    if not amount_base_units:
        return
    _account_for(part.id, amount_base_units)
    made = Redemption.objects.create(
        part=part,
        slice=part.slice,
        cell_id=part.slice.cell_id,
        reason=reason,
        state=State.DONE,
        amount_base_units=amount_base_units,
        done_at=clock.now(),
    )
    _tell(made)


def outstanding_of(slice_or_series: Slice | UUID) -> int:
    """Outstanding principal of one slice, or of a series by its id, base units."""
    parts = SlicePart.objects.filter(
        **({"slice": slice_or_series} if isinstance(slice_or_series, Slice) else {"slice__series_id": slice_or_series})
    )
    return int(parts.aggregate(total=Sum("outstanding_base_units"))["total"] or 0)


def _account_for(part_id: UUID, amount_base_units: int) -> None:
    part = SlicePart.objects.select_for_update(of=("self",)).select_related("slice").get(id=part_id)
    after = redeemed(part.state, amount_base_units)
    part.outstanding_base_units, part.redeemed_base_units = after.outstanding_base_units, after.redeemed_base_units
    part.save(update_fields=["outstanding_base_units", "redeemed_base_units"])


def _tell(redemption: Redemption, place: Place | None = None) -> None:
    item, amount = redemption.slice, redemption.amount_base_units
    tranche = Tranche.objects.get(parts=redemption.part_id)
    audit.record(
        actor="servicing", action="principal_repaid", subject=item.id, amount_base_units=amount, why=redemption.reason
    )
    timeline.tell(
        item.series_id,
        SeriesEvent.Kind.REPAID,
        f"Principal of {tranche.name} repaid: {redemption.get_reason_display().lower()}",
        relationship=item.relationship,
        tranche=tranche.symbol,
        amount_base_units=str(amount),
        outstanding_base_units=str(outstanding_of(item.series_id)),
    )
    own = {
        party: {"amount_base_units": str(amount * units // tranche.original_base_units)}
        for party, units in chain_order.units_by_party(tranche, place).items()
    }
    text = f"Principal of {tranche.symbol} is repaid; it can be claimed"
    notices.tell_holders_of_class(tranche, SeriesEvent.Kind.REPAID, text, own)
    rolls.note_repayment(tranche, amount, place)
