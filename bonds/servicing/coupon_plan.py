"""The coupons that a series will pay, written when it goes on risk: their dates, and who prefunds which share.

The spread of a class is prefunded by the covered relationships in proportion to the risk-neutral expected loss of their
slices, as it was when the notes went on risk: fixed then, so that what happens to one relationship never raises what
another one pays. Dates need a calendar and shares need the loss models: runs in bonds workers (numpy, QuantLib).
"""

import logging
from decimal import ROUND_FLOOR, Decimal
from uuid import UUID

import numpy as np
from django.db import transaction

from bonds.loss.note_risk import outstanding_at
from bonds.marking import rulesets
from bonds.marking.exposures import exposures
from bonds.marking.valuation import pieces_of
from bonds.models import CouponRun, Series, SlicePart, Tranche
from bonds.offering.terms import terms_from
from bonds.pricing.schedule import coupon_schedule
from bonds.servicing import write_downs
from intermediary import clock
from intermediary.errors import Refusal
from risk.models import Tick

logger = logging.getLogger(__name__)
HORIZON_YEARS = 1.0
PLACES = Decimal(1).scaleb(-10)  # of a share


def unplanned() -> list[UUID]:
    """Every live series that has no coupons planned."""
    waiting = Series.objects.filter(state__in=Series.LIVE).exclude(tranches__coupon_runs__isnull=False)
    return list(waiting.values_list("id", flat=True))


def plan(series_id: UUID) -> int:
    """Write the coupon runs and shares of one series, once; 1 when they were written, 0 when they stood."""
    series = Series.objects.get(id=series_id)
    weights = {tranche.id: _weights(series, tranche) for tranche in series.tranches.all()}
    with transaction.atomic():
        series = Series.objects.select_for_update().get(id=series_id)
        if CouponRun.objects.filter(tranche__series=series).exists():
            return 0
        for tranche in series.tranches.all():
            _write_runs(series, tranche)
            _write_shares(tranche, weights[tranche.id])
    return 1


def _write_runs(series: Series, tranche: Tranche) -> None:
    record_days = terms_from(series.terms).record_business_days
    periods = coupon_schedule(series.issue_date, series.scheduled_maturity, series.months_between_coupons, record_days)
    CouponRun.objects.bulk_create(
        CouponRun(
            tranche=tranche,
            number=number,
            accrual_start=period.accrual_start,
            accrual_end=period.accrual_end,
            record_date=period.record_date,
            payment_date=period.payment_date,
        )
        for number, period in enumerate(periods, start=1)
    )


def _write_shares(tranche: Tranche, weights: dict[UUID, float]) -> None:
    parts = list(SlicePart.objects.filter(tranche=tranche).order_by("slice__index"))
    total = sum(Decimal(weights[part.slice_id]) for part in parts)
    left = Decimal(1)
    for part in parts[1:]:
        part.spread_share = (Decimal(weights[part.slice_id]) / total).quantize(PLACES, ROUND_FLOOR)
        left -= part.spread_share
    parts[0].spread_share = left  # shares add up to one
    SlicePart.objects.bulk_update(parts, ["spread_share"])


def _weights(series: Series, tranche: Tranche) -> dict[UUID, float]:
    """Slice -> what it loses in a year under the pricing measure, dollars. Principal, where no risk can be priced or
    no slice has any."""
    parts = list(SlicePart.objects.filter(tranche=tranche).select_related("slice"))
    principal = {part.slice_id: float(part.principal_base_units) for part in parts}
    tick = Tick.objects.select_related("valuation").order_by("-id").first()
    if tick is None:
        return principal
    try:
        slices = list(series.slices.select_related("series"))
        found = exposures(tick, slices, {one.cell_id: write_downs.net_loss_base_units(one) for one in slices})
        pieces = pieces_of(tranche, found)
    except Refusal as refusal:
        logger.warning("the spread of %s is shared by principal: %s", tranche, refusal)
        return principal
    year, official = np.array([HORIZON_YEARS]), rulesets.in_force().official(clock.now().date())
    by_cell = {
        piece.relationship_id: piece.principal * (1.0 - float(outstanding_at([piece], official, year)[0]))
        for piece in pieces
    }
    losses = {part.slice_id: max(0.0, by_cell.get(part.slice.cell_id, 0.0)) for part in parts}
    return losses if sum(losses.values()) > 0 else principal
