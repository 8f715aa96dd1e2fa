"""Reads for the pages about notes. Nothing here changes a row, and nothing loads a numeric library.

A web request's database role shows published series to everybody, and orders, allocations and holdings to their own
party only; these functions filter for meaning, not for secrecy.
"""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

from django.contrib.auth.models import AnonymousUser, User

from bonds.models import (
    CouponRun,
    Holding,
    NoteMark,
    Series,
    SeriesEvent,
    Slice,
    SliceAct,
    SliceMark,
    SlicePart,
    Tranche,
)
from bonds.servicing.coupon_parts import accrued_of
from bonds.servicing.outstanding import balances_of
from intermediary import clock
from intermediary.errors import NotAllowed, Refusal
from intermediary.queries import PublicLayer, RegisterRow, register

SEALED_BIDS = (SeriesEvent.Kind.SEALED, SeriesEvent.Kind.UNSEALED)
Reader = User | AnonymousUser
MARKS_IN_A_CHART = 400  # more points than a chart has pixels to tell apart


@dataclass(frozen=True)
class ClassView:
    """One class of notes as it stands; amounts in settlement base units, rates fractions of one."""

    tranche: Tranche
    outstanding_base_units: int
    mark: NoteMark | None
    marked_at: datetime | None
    accrued_base_units: int | None
    in_full: NoteMark | None = None

    @property
    def outputs(self) -> dict[str, Any]:
        """Every figure of the newest mark; where it was made in haste, those beside the price are of `in_full`, the
        newest one that has them."""
        if self.mark is None:
            return {}
        before: dict[str, Any] = self.in_full.outputs if self.in_full else {}
        newest: dict[str, Any] = self.mark.outputs
        return before | newest

    @property
    def clean_price(self) -> float | None:
        """Per 100 of current principal; None before the first mark and when no principal is left."""
        return self.mark.clean_price if self.mark else None

    @property
    def expected_loss(self) -> float | None:
        """Over the coming year, of outstanding principal."""
        return self.mark.expected_loss if self.mark else None

    @property
    def first_loss(self) -> float | None:
        """Probability that any principal is lost over the coming year."""
        return self.mark.probability_first_loss if self.mark else None

    @property
    def last_loss(self) -> float | None:
        """Probability that all of it is."""
        return self.mark.probability_last_loss if self.mark else None

    @property
    def factor(self) -> Fraction:
        """Outstanding over original principal."""
        return Fraction(self.outstanding_base_units, self.tranche.original_base_units)

    @property
    def factor_decimal(self) -> Decimal:
        """The factor to six places, rounded down: never more than there is."""
        return Decimal(int(self.factor * 10**6)).scaleb(-6)


@dataclass(frozen=True)
class HoldingView:
    """One holding of the reader's party."""

    holding: Holding
    of: ClassView

    @property
    def principal_base_units(self) -> int:
        """The holder's part of outstanding principal, rounded down, as the note contract says it."""
        return self.holding.units * self.of.outstanding_base_units // self.of.tranche.original_base_units

    @property
    def value_base_units(self) -> int | None:
        """Principal at the model's clean price; None when there is none."""
        mark = self.of.mark
        if mark is None or mark.clean_price is None:
            return None
        return int(self.principal_base_units * Decimal(str(mark.clean_price)) / 100)

    @property
    def accrued_base_units(self) -> int | None:
        """The holder's part of the coupon accrued so far, rounded down; None where that is not known."""
        if self.of.accrued_base_units is None:
            return None
        return self.of.accrued_base_units * self.holding.units // self.of.tranche.original_base_units


@dataclass(frozen=True)
class SliceView:
    """One covered relationship: its layers on the axis of net loss, where it stands now, and what its slice holds.

    `determined_base_units` is the determined net loss of its default; None without one. Marks follow it one valuation
    later.
    """

    slice: Slice
    layers: tuple[PublicLayer, ...]
    outstanding_base_units: int
    mark: SliceMark | None
    pending: SliceAct | None
    determined_base_units: int | None

    @property
    def scale_base_units(self) -> int:
        """End of the axis: a little beyond the last layer, so that a loss beyond it is seen."""
        top = max((layer.detach_base_units for layer in self.layers), default=self.slice.detach_base_units)
        return top * 11 // 10

    @property
    def written_down_base_units(self) -> int:
        return self.slice.principal_base_units - self.outstanding_base_units


def series_for_reader(series_id: UUID) -> Series:
    """A published series; one that is still being structured is nobody's yet."""
    found = Series.objects.filter(id=series_id).exclude(state=Series.State.STRUCTURING).first()
    if found is None:
        raise NotAllowed("not_found", "There is no such object, or it is not yours.")
    return found


def published() -> list[Series]:
    """Every published series, newest first."""
    return list(Series.objects.exclude(state=Series.State.STRUCTURING))


def classes_of(series: Series) -> list[ClassView]:
    """The classes of a series, senior first, as an investor reads a structure from the top."""
    today = clock.now().date()
    return [_class_view(series, tranche, today) for tranche in series.tranches.order_by("-seniority")]


def slices_of(series: Series) -> list[SliceView]:
    """The covered relationships of a series with their layers."""
    published = {row.cell_id: row for row in register()}
    return [_slice_view(item, published.get(item.cell_id)) for item in series.slices.order_by("index")]


def holdings_of(user: Reader) -> list[HoldingView]:
    """What the reader's parties hold."""
    mine = Holding.objects.filter(party__members__user=_known(user), units__gt=0)
    held = mine.select_related("tranche__series", "wallet")
    today = clock.now().date()
    return [HoldingView(one, _class_view(one.tranche.series, one.tranche, today)) for one in held]


def events_of(series: Series) -> list[SeriesEvent]:
    """The timeline, newest first; single sealed bids are counted with their offering, not told one by one."""
    told = SeriesEvent.objects.filter(series=series).exclude(kind__in=SEALED_BIDS)
    return list(told.order_by("-id"))


def risk_chart(series: Series) -> dict[str, Any]:
    """Expected loss and attachment probability of each class over time, in percent."""
    lines = []
    alone = series.tranches.count() == 1
    for tranche in series.tranches.order_by("-seniority"):
        marks = _marks(tranche)
        shown = [
            ("expected loss", "accent", [mark.expected_loss for mark in marks]),
            ("probability of first loss", "wait", [mark.probability_first_loss for mark in marks]),
        ]
        for name, tone, values in shown:
            times = [mark.valuation.as_of.isoformat() for mark in marks]
            points = [[time, 100 * value] for time, value in zip(times, values, strict=True)]
            lines.append({"name": name if alone else f"{tranche.name}: {name}", "tone": tone, "points": points})
    return {"kind": "lines", "unit": "%", "series": lines}


def factor_chart(series: Series) -> dict[str, Any]:
    """The factor of each class over time, with its write-downs and write-ups."""
    lines = []
    for tranche in series.tranches.order_by("-seniority"):
        points = [
            [mark.valuation.as_of.isoformat(), mark.outstanding_base_units / tranche.original_base_units]
            for mark in _marks(tranche)
        ]
        name = f"{tranche.name}: factor"
        lines.append({"name": name, "tone": "layer-2", "points": points, "step": True, "area": True})
    acts = SliceAct.objects.filter(slice__series=series, state=SliceAct.State.DONE)
    marks = [{"at": act.done_at.isoformat(), "label": act.get_kind_display()} for act in acts if act.done_at]
    return {"kind": "lines", "unit": "of original principal", "series": lines, "marks": marks, "scale": False}


def _known(user: Reader) -> User | None:
    return user if isinstance(user, User) else None


def _class_view(series: Series, tranche: Tranche, today: date) -> ClassView:
    mark = NoteMark.objects.filter(tranche=tranche).select_related("valuation").order_by("-valuation__as_of").first()
    parts = SlicePart.objects.filter(tranche=tranche)
    hasty = mark is not None and mark.outputs.get("in_full") is False
    full = NoteMark.objects.filter(tranche=tranche, outputs__in_full=True).select_related("valuation")
    return ClassView(
        tranche=tranche,
        outstanding_base_units=sum(parts.values_list("outstanding_base_units", flat=True)),
        mark=mark,
        marked_at=mark.valuation.as_of if mark else None,
        accrued_base_units=_accrued(series, tranche, today),
        in_full=full.order_by("-valuation__as_of").first() if hasty else None,
    )


def _accrued(series: Series, tranche: Tranche, today: date) -> int | None:
    """What days gone have earned and no coupon has paid yet, each at the rate that it will be paid at; None where a day
    of a floating coupon has no rate yet."""
    unpaid = list(tranche.coupon_runs.filter(state__in=CouponRun.UNFINISHED).order_by("number"))
    if tranche.spread_bps is None or series.issued_at is None or not unpaid:
        return 0
    start, end = unpaid[0].accrual_start, min(today, unpaid[-1].accrual_end)
    if end <= start:
        return 0
    try:
        accrued = accrued_of(tranche, start, end, [balances_of(tranche, series.issue_date)])
    except Refusal:
        return None
    return accrued.numerator // accrued.denominator


def _slice_view(item: Slice, row: RegisterRow | None) -> SliceView:
    return SliceView(
        slice=item,
        layers=row.layers if row else (),
        outstanding_base_units=sum(item.parts.values_list("outstanding_base_units", flat=True)),
        mark=SliceMark.objects.filter(slice=item).order_by("-valuation__as_of").first(),
        pending=item.acts.filter(state__in=SliceAct.UNFINISHED).first(),
        determined_base_units=_determined(row),
    )


def _determined(row: RegisterRow | None) -> int | None:
    """The register has a loss, or recoveries of one, from the determination on."""
    known = row is not None and (row.net_loss_base_units or row.recoveries_base_units)
    return row.net_loss_base_units if row and known else None


def _marks(tranche: Tranche) -> list[NoteMark]:
    newest = NoteMark.objects.filter(tranche=tranche).select_related("valuation").order_by("-valuation__as_of")
    return list(reversed(newest[:MARKS_IN_A_CHART]))
