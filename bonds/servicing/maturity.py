"""The end of a series: scheduled maturity, extension with its reserve, final maturity, and what outlives them.

At the end of the risk period everything is repaid but what `reserves` keeps for events inside it. The series is MATURED
when nothing is kept, EXTENDED while something is; what is kept is reviewed when the terms' factor falls, when a loss is
determined, and at the final maturity, which always ends it. Units outlive their principal as rights to recoveries:
REDEEMED says that nothing was lost in the end, WRITTEN_OFF that what was lost is given up or past its long stop.
"""

from datetime import UTC, datetime, time
from uuid import UUID

from django.db.models import F, Max

from bonds import timeline
from bonds.models import CouponRun, Redemption, Reserve, Series, SeriesEvent, Slice, SliceAct, SlicePart
from bonds.offering.terms import terms_from
from bonds.servicing import notices, redemptions, reserves
from bonds.servicing.locks import lock_whole
from bonds.servicing.reserves import Kept
from intermediary import audit, clock, cover
from intermediary.errors import Refusal
from intermediary.models import ChainInstruction, Event

State, Kind, Reason = Series.State, SeriesEvent.Kind, Redemption.Reason
BEFORE = (State.ON_RISK, State.EVENT_OPEN)
REVIEWED = (*BEFORE, State.EXTENDED)


def due(now: datetime) -> list[UUID]:
    """Series whose risk period is over and that are not yet wound up."""
    live = Series.objects.filter(state__in=REVIEWED).order_by("id")
    return [series.id for series in live if now >= repaid_from(series)]


def repaid_from(series: Series) -> datetime:
    """When principal is repaid: the end of the risk period, or the business day on which the last coupon is paid."""
    if series.risk_ended_at is not None:
        return reserves.risk_end(series)
    runs = CouponRun.objects.filter(tranche__series=series)
    last = runs.aggregate(last=Max("payment_date"))["last"]
    paid = datetime.combine(last, time(), UTC) if last else series.risk_until
    return max(series.risk_until, paid)


def review(series_id: UUID) -> Series:
    """Repay what nothing is kept for. Harmless when repeated: a review that changes nothing leaves no trace.

    Raises `not_mature` inside the risk period.
    """
    series, now = lock_whole(series_id), clock.now()
    timeline.refuse_unless(series, *REVIEWED)
    if now < repaid_from(series):
        raise Refusal("not_mature", "The risk period of the series runs.", until=series.risk_until.isoformat())
    slices = list(series.slices.select_related("series__escrow").order_by("index"))
    kept = [reserves.kept_of(item, now) for item in slices]
    for item, one in zip(slices, kept, strict=True):
        _release(item, one, first=series.state in BEFORE)
    if sum(one.total for one in kept) or _unfinished_acts(series):
        _extend(series, kept)
    else:
        _mature(series)
    return series


def on_part_repaid(redemption: Redemption) -> None:
    """A repayment is done: review what waited for it, and see whether the series is at its end."""
    series = Series.objects.get(id=redemption.slice.series_id)
    if series.state == State.EXTENDED:
        review(series.id)
    wind_up(series.id)


def repay_recovery(item: Slice) -> None:
    """Principal that a late recovery has given back goes to the holders at once: there is no risk left to bear. Where
    anyone has matured the escrow, the contract has shared it out already."""
    assert item.series.escrow is not None
    shared_out = bool(item.series.escrow.creation.get("matured"))
    for part in item.parts.select_related("slice__series__escrow", "tranche"):
        if shared_out:
            redemptions.record_done(part, part.outstanding_base_units, Reason.RECOVERY)
        else:
            redemptions.send(part, part.outstanding_base_units, Reason.RECOVERY)
    if shared_out:
        wind_up(item.series_id)


def on_series_matured(event: Event) -> None:
    """Somebody has matured the escrow after its grace: all principal is shared out, what was noticed has lapsed."""
    found = Series.objects.filter(escrow_id=event.payload["escrow_id"]).first()
    if found is None:
        return
    series = lock_whole(found.id)
    _lapse_overtaken(series)
    for part in SlicePart.objects.filter(slice__series=series).select_related("slice__series", "tranche"):
        redemptions.record_done(part, part.outstanding_base_units, Reason.ON_CHAIN)
    for item in series.slices.all():
        cover.end_tail(cell_id=item.cell_id, slice_id=item.id)
    if series.state in REVIEWED:
        _mature(series)
    wind_up(series.id)


def _lapse_overtaken(series: Series) -> None:
    """What was under way when the escrow was matured is never done: the chain has shared its principal out as well.

    Raises `act_not_told` while one that the chain did carry out before is not told yet: this is delivered again.
    """
    repaid = Redemption.objects.filter(slice__series=series, state=Redemption.State.MOVING)
    acts = SliceAct.objects.filter(slice__series=series, kind=SliceAct.Kind.WRITE_DOWN, state__in=SliceAct.UNFINISHED)
    told = ChainInstruction.State.FAILED
    moving = acts.filter(state=SliceAct.State.MOVING)
    if repaid.exclude(movement__state=told).exists() or moving.exclude(movement__state=told).exists():
        raise Refusal("act_not_told", "What became of an act of before the maturity is not told yet.")
    repaid.update(state=Redemption.State.LAPSED)
    acts.update(state=SliceAct.State.LAPSED)


def wind_up(series_id: UUID) -> Series:
    """REDEEMED or WRITTEN_OFF, once nothing is outstanding and no recovery can come any more."""
    series = lock_whole(series_id)
    parts = SlicePart.objects.filter(slice__series=series)
    moving = Redemption.objects.filter(slice__series=series, state=Redemption.State.MOVING).exists()
    outstanding = parts.filter(outstanding_base_units__gt=0).exists()
    if series.state != State.MATURED or moving or outstanding or _unfinished_acts(series):
        return series
    if not parts.filter(written_down_base_units__gt=F("written_up_base_units")).exists():
        _end(series, State.REDEEMED, Kind.REDEEMED, "Redeemed in full")
    elif _no_recovery_left(series):
        _end(series, State.WRITTEN_OFF, Kind.WRITTEN_OFF, "What was lost is written off; recovery rights have ended")
    return series


def rights_ended(series: Series, now: datetime) -> bool:
    """Whether the terms' long stop is past: no recovery reaches the notes any more."""
    long_stop = terms_from(series.terms).long_stop
    return long_stop is not None and now.date() > long_stop


def _release(item: Slice, kept: Kept, *, first: bool) -> None:
    """Write the review and repay what is free, unless it says what the last one said."""
    parts = list(item.parts.select_for_update(of=("self",)).select_related("slice__series__escrow", "tranche"))
    if Redemption.objects.filter(slice=item, state=Redemption.State.MOVING).exists():
        return  # reviewed again when that one is done
    outstanding = sum(part.outstanding_base_units for part in parts)
    last = item.reserves.order_by("-id").first()
    said_before = last is not None and (last.basis, last.factor) == (kept.basis, kept.factor)
    nothing_new = said_before and (kept.basis == reserves.ESTIMATED or kept.total == outstanding)
    if nothing_new or (not first and not outstanding):
        return
    Reserve.objects.create(
        slice=item,
        cell_id=item.cell_id,
        basis=kept.basis,
        factor=kept.factor,
        estimated_net_loss_base_units=kept.estimated_net_loss,
        outstanding_base_units=outstanding,
        reserved_base_units=kept.total,
        released_base_units=outstanding - kept.total,
    )
    reason = Reason.FINAL if kept.basis == "FINAL" else Reason.MATURITY if first else Reason.RELEASE
    for part in parts:
        redemptions.send(part, part.outstanding_base_units - kept.by_part[part.id], reason)
    if not kept.total:
        cover.end_tail(cell_id=item.cell_id, slice_id=item.id)  # no principal is left that a loss could fall on
    if kept.total or not first:
        text = f"{'Kept back' if kept.total else 'Nothing is kept back any more'} for relationship {item.relationship}"
        timeline.tell(
            item.series_id,
            Kind.RESERVED,
            text,
            relationship=item.relationship,
            basis=kept.basis,
            factor=str(kept.factor.normalize()),
            reserved_base_units=str(kept.total),
            released_base_units=str(outstanding - kept.total),
        )


def _extend(series: Series, kept: list[Kept]) -> None:
    if series.state == State.EXTENDED:
        return
    timeline.move_to(series, State.EXTENDED)
    reserved = sum(one.total for one in kept)
    text = "Extended: principal is kept back for defaults inside the risk period"
    timeline.tell(series.id, Kind.EXTENDED, text, reserved_base_units=str(reserved))
    notices.tell_holders(series.id, Kind.EXTENDED, text, reserved_base_units=str(reserved))
    audit.record(actor="servicing", action="series_extended", subject=series.code, reserved_base_units=reserved)


def _mature(series: Series) -> None:
    timeline.move_to(series, State.MATURED)
    timeline.tell(series.id, Kind.MATURED, "Matured: all principal is repaid")
    notices.tell_holders(series.id, Kind.MATURED, "Matured: all principal is repaid")
    audit.record(actor="servicing", action="series_matured", subject=series.code)
    wind_up(series.id)


def _end(series: Series, state: Series.State, kind: SeriesEvent.Kind, text: str) -> None:
    timeline.move_to(series, state)
    timeline.tell(series.id, kind, text)
    notices.tell_holders(series.id, kind, text)
    audit.record(actor="servicing", action=f"series_{state.lower()}", subject=series.code)


def _unfinished_acts(series: Series) -> bool:
    return SliceAct.objects.filter(slice__series=series, state__in=SliceAct.UNFINISHED).exists()


def _no_recovery_left(series: Series) -> bool:
    if rights_ended(series, clock.now()):
        return True
    written_down = SlicePart.objects.filter(
        slice__series=series, written_down_base_units__gt=F("written_up_base_units")
    ).values_list("slice_id", flat=True)
    cases = [
        case
        for item in Slice.objects.filter(id__in=written_down).select_related("series")
        for case in reserves.cases_of(item)
    ]
    return all(case.state in reserves.ENDED for case in cases)
