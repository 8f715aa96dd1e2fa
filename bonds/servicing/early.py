"""Ending a series before its time: clean-up call, ended relationship, insolvency, coupon unpaid.

The risk period ends at once, the coupon that runs is cut to the days it ran and paid, and principal is repaid but what
is kept for events noticed before (`maturity`). Two people decide, on exactly the figures that they saw; only a coupon
that stays unpaid past its days of grace ends the risk period by itself, as the terms have it.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db.models import Sum

from bonds import timeline
from bonds.models import CouponRun, Series, SeriesEvent, SlicePart
from bonds.offering.terms import terms_from
from bonds.servicing import coupons, maturity, notices, redemptions
from bonds.servicing.locks import lock_whole
from intermediary import approvals, audit, clock
from intermediary.canonical import hash_of
from intermediary.errors import BadInput, Refusal
from intermediary.models import Cell, Proposal

CLEAN_UP, ENDED, INSOLVENCY = "CLEAN_UP", "RELATIONSHIP_ENDED", "INSOLVENCY"
REASONS = {
    CLEAN_UP: "Clean-up call",
    ENDED: "The covered relationships have ended",
    INSOLVENCY: "Insolvency of the intermediary",
}
GRACE = timedelta(days=5)  # of a coupon: a bank holiday or a lost key is no reason to end a series
BPS = 10_000
State = CouponRun.State


def propose(*, maker: User, series_id: UUID, why: str, reason: str) -> Proposal:
    """Lay an early redemption before a second officer.

    Refuses `clean_up_not_reached`, `relationship_goes_on`, `event_open`, `wrong_series_state`.
    """
    series = lock_whole(series_id)
    _refuse(series, why)
    first = series.slices.order_by("index").values_list("cell_id", flat=True)[0]  # a proposal is of one cell
    kind = Proposal.Kind.SERIES_REDEMPTION
    return approvals.propose(maker=maker, kind=kind, cell_id=first, body=_body(series, why), reason=reason)


def approve(*, checker: User, proposal_id: UUID, seen_hash: str, reason: str) -> Series:
    """End the risk period and repay. Refuses `redemption_outdated` when the figures have changed since."""
    proposal = approvals.approve(
        checker=checker,
        proposal_id=proposal_id,
        kind=Proposal.Kind.SERIES_REDEMPTION,
        seen_hash=seen_hash,
        reason=reason,
    )
    body = approvals.body_of(proposal)
    series = lock_whole(UUID(body["series"]))
    if series.risk_ended_at is not None:
        return series  # the same decision once more
    _refuse(series, body["why"])
    if hash_of(_body(series, body["why"])) != proposal.hash:
        raise Refusal(
            "redemption_outdated",
            "The series has changed since this was proposed.",
            series=series.code,
            seen_outstanding_base_units=int(body["outstanding_base_units"]),
            outstanding_base_units=redemptions.outstanding_of(series.id),
        )
    return end_risk(series, REASONS[body["why"]])


def end_risk(series: Series, why: str) -> Series:
    """End the risk period now. The caller holds the locks of `lock_whole`."""
    now = clock.now()
    series.risk_ended_at, series.end_reason = now, why
    series.save(update_fields=["risk_ended_at", "end_reason"])
    _cut_coupons(series, now)
    text = f"Risk period ended early: {why.lower()}"
    timeline.tell(series.id, SeriesEvent.Kind.RISK_ENDED, text)
    notices.tell_holders(series.id, SeriesEvent.Kind.RISK_ENDED, text)
    audit.record(actor="servicing", action="risk_ended", subject=series.code, why=why)
    return maturity.review(series.id)


def unpaid_due(now: datetime) -> list[UUID]:
    """Coupons on risk whose payment date is past and that are not on their way, in their order."""
    late = CouponRun.objects.filter(state=State.PLANNED, payment_date__lt=now.date())
    late = late.filter(tranche__series__state__in=maturity.BEFORE)
    return list(late.order_by("payment_date").values_list("id", flat=True))


def unpaid(run_id: UUID) -> None:
    """A coupon could not be paid on its date: the holders are told once, and past the grace the risk period ends. Not
    while it waits to be told of a write-down: nobody lacks the cash then."""
    series = lock_whole(CouponRun.objects.values_list("tranche__series_id", flat=True).get(id=run_id))
    run = CouponRun.objects.select_related("tranche").get(id=run_id)
    if run.state != State.PLANNED or series.state not in maturity.BEFORE:
        return
    told = series.events.filter(kind=SeriesEvent.Kind.COUPON_UNPAID, data__run=str(run.id)).exists()
    if not told:
        text = f"Coupon {run.number} of {run.tranche.name} was not paid on {run.payment_date}"
        timeline.tell(series.id, SeriesEvent.Kind.COUPON_UNPAID, text, run=str(run.id))
        notices.tell_holders(series.id, SeriesEvent.Kind.COUPON_UNPAID, text)
    if clock.now().date() > run.payment_date + GRACE and not coupons.acts_waited_for(run).exists():
        end_risk(series, "Coupon unpaid")


def _refuse(series: Series, why: str) -> None:
    if why not in REASONS:
        raise BadInput("reason_unknown", "A series is redeemed early for one of the reasons of its terms.", why=why)
    if series.state == Series.State.EVENT_OPEN and why != INSOLVENCY:
        raise Refusal("event_open", "A default of a covered relationship is open.", series=series.code)
    timeline.refuse_unless(series, *maturity.BEFORE)
    if why == CLEAN_UP:
        _refuse_above_clean_up(series)
    if why == ENDED:
        going_on = Cell.objects.filter(bond_slices__series=series).exclude(state=Cell.State.CLOSED)
        if going_on.exists():
            raise Refusal(
                "relationship_goes_on",
                "A covered relationship has not ended.",
                relationships=sorted(going_on.values_list("code", flat=True)),
            )


def _refuse_above_clean_up(series: Series) -> None:
    outstanding, limit_bps = redemptions.outstanding_of(series.id), terms_from(series.terms).clean_up_call_bps
    original = SlicePart.objects.filter(slice__series=series).aggregate(total=Sum("principal_base_units"))["total"]
    if outstanding * BPS >= limit_bps * int(original):
        raise Refusal(
            "clean_up_not_reached",
            "More is outstanding than the terms' clean-up call allows.",
            outstanding_base_units=outstanding,
            original_base_units=int(original),
            clean_up_call_bps=limit_bps,
        )


def _body(series: Series, why: str) -> dict[str, Any]:
    return {
        "series": str(series.id),
        "code": series.code,
        "why": why,
        "outstanding_base_units": str(redemptions.outstanding_of(series.id)),
        "terms_hash": series.terms_hash,
    }


def _cut_coupons(series: Series, now: datetime) -> None:
    """Today earns nothing any more: the coupon that runs ends here, later ones are cancelled."""
    today = now.date()
    ahead = CouponRun.objects.filter(tranche__series=series, state=State.PLANNED, accrual_end__gt=today)
    ahead.filter(accrual_start__gte=today).update(state=State.CANCELLED)
    ahead.filter(accrual_start__lt=today).update(accrual_end=today, record_date=today, payment_date=today)
