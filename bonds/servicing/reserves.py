"""What is kept back of a slice after the risk period, for events inside it whose loss is not paid yet.

A determined loss that is not written down yet is kept exactly. Of a default that is not determined, the terms' factor
times the estimate of its loss is kept, the factor falling with the months since the notice; while nobody has an
estimate, everything. At the final maturity nothing is kept but what was noticed to the chain. Amounts are base units;
the arithmetic is `bonds.loss.tranches.reserved_base_units`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from bonds.loss.tranches import changes_of_slice, reserved_base_units
from bonds.models import Series, Slice, SliceAct, SliceMark, SlicePart
from bonds.offering.terms import ExtensionBuffers, terms_from
from intermediary.models import DefaultCase

ESTIMATED = "ESTIMATE"  # basis of a mark of an open default
ENDED = (DefaultCase.State.CURED, DefaultCase.State.CLOSED)


@dataclass(frozen=True)
class Kept:
    """What is kept of each part of a slice, and why. `basis`: NONE, ESTIMATE, UNKNOWN, DETERMINED or FINAL."""

    basis: str
    factor: Decimal
    estimated_net_loss: int
    by_part: dict[UUID, int]

    @property
    def total(self) -> int:
        return sum(self.by_part.values())


def risk_start(series: Series) -> datetime:
    """The risk period begins on the terms' day, never before the issue: what was noticed while the notes were sold is
    no loss of theirs."""
    return max(series.risk_from, series.issued_at or series.risk_from)


def risk_end(series: Series) -> datetime:
    """The end of the risk period: as the terms have it, or earlier."""
    return min(series.risk_until, series.risk_ended_at or series.risk_until)


def cases_of(item: Slice) -> list[DefaultCase]:
    """Defaults of the slice's relationship that were noticed inside the risk period (B5)."""
    inside = DefaultCase.objects.filter(
        cell_id=item.cell_id, noticed_at__gte=risk_start(item.series), noticed_at__lte=risk_end(item.series)
    )
    return list(inside.order_by("noticed_at", "id"))


def kept_of(item: Slice, now: datetime) -> Kept:
    """What must be kept of a slice now."""
    parts = list(item.parts.select_related("slice").order_by("attach_base_units"))
    noticed = _noticed(item)
    if now >= terms_from(item.series.terms).final_at:
        return Kept("FINAL", Decimal(1), 0, {part.id: noticed.get(part.tranche_id, 0) for part in parts})
    cases = cases_of(item)
    determined = sum(case.loss_base_units for case in cases)
    waiting = [case for case in cases if case.determination_id is None and case.state not in ENDED]
    if not waiting:
        by_part = _still_to_fall(parts, determined, noticed)
        return Kept("DETERMINED" if any(by_part.values()) else "NONE", Decimal(1), determined, by_part)
    estimate = _estimate(item, waiting[0])
    if estimate is None:
        return Kept("UNKNOWN", Decimal(1), 0, {part.id: part.outstanding_base_units for part in parts})
    factor = factor_at(terms_from(item.series.terms).extension_buffers, months_between(waiting[-1].noticed_at, now))
    expected = max(estimate, determined)
    by_part = {
        part.id: min(
            part.outstanding_base_units,
            max(reserved_base_units(part.state, expected, Fraction(factor)), noticed.get(part.tranche_id, 0)),
        )
        for part in parts
    }
    return Kept(ESTIMATED, factor, expected, by_part)


def months_between(start: datetime, end: datetime) -> int:
    """Whole calendar months from start to end."""
    months = (end.year - start.year) * 12 + end.month - start.month
    return months - ((end.day, end.time()) < (start.day, start.time()))


def factor_at(buffers: ExtensionBuffers, months: int) -> Decimal:
    """The factor that the terms put on an estimate so many months after the notice."""
    return next(factor for until, factor in buffers if until is None or months < until)


def _noticed(item: Slice) -> dict[UUID, int]:
    """Tranche -> what a write-down under way will take."""
    under_way = item.acts.filter(kind=SliceAct.Kind.WRITE_DOWN, state__in=SliceAct.UNFINISHED).first()
    if under_way is None:
        return {}
    return {UUID(tranche_id): int(amount) for tranche_id, amount in under_way.by_tranche.items()}


def _still_to_fall(parts: Sequence[SlicePart], determined: int, noticed: dict[UUID, int]) -> dict[UUID, int]:
    changes = changes_of_slice([part.state for part in parts], determined)
    return {
        part.id: min(part.outstanding_base_units, max(change.write_down_base_units, noticed.get(part.tranche_id, 0)))
        for part, change in zip(parts, changes, strict=True)
    }


def _estimate(item: Slice, case: DefaultCase) -> int | None:
    """The relationship's net loss at the last official valuation since its notice; None before there is one."""
    marks = SliceMark.objects.filter(slice=item, basis=ESTIMATED, valuation__as_of__gte=case.noticed_at)
    mark = marks.order_by("-valuation__as_of").first()
    return mark.loss_now_base_units if mark else None
