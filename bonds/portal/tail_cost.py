"""What a relationship pays for its tail: the spread of the notes behind it, cleared or still guided (`ports.TailCost`).
Bound by the composition root; reads only, loads no numeric library."""

from collections.abc import Sequence
from decimal import Decimal
from uuid import UUID

from bonds.models import Series, SlicePart
from intermediary.ports import TailCost

BPS = 10_000
DAYS, DAYS_A_YEAR = 365, 360
SHOWN = (Series.State.MARKETING, Series.State.PRICED, *Series.LIVE)


def tail_costs(cell_id: UUID) -> Sequence[TailCost]:
    """The newest first; a series that is not published yet is nobody's."""
    parts = SlicePart.objects.filter(slice__cell_id=cell_id, slice__series__state__in=SHOWN)
    by_series: dict[Series, list[SlicePart]] = {}
    for part in parts.select_related("slice__series", "tranche").order_by("-slice__series_id", "attach_base_units"):
        by_series.setdefault(part.slice.series, []).append(part)
    return [_cost(series, rows) for series, rows in by_series.items()]


def _cost(series: Series, parts: Sequence[SlicePart]) -> TailCost:
    principal = sum(part.outstanding_base_units for part in parts)
    guided = [(part.outstanding_base_units, part.tranche.guidance_bps) for part in parts]
    cleared = [(part.outstanding_base_units, part.tranche.spread_bps) for part in parts]
    spread, guidance = _mean(cleared), _mean(guided)
    owed = sum(amount * bps for amount, bps in (cleared if spread is not None else guided) if bps is not None)
    return TailCost(
        series_id=series.id,
        series=series.code,
        state=series.get_state_display(),
        issued=series.state in Series.LIVE,
        principal_base_units=principal,
        guidance_bps=guidance,
        spread_bps=spread,
        annual_base_units=-(-owed * DAYS // (DAYS_A_YEAR * BPS)),
    )


def _mean(rates: Sequence[tuple[int, int | None]]) -> Decimal | None:
    """By principal; None while a class has none."""
    if any(bps is None for _, bps in rates):
        return None
    total = sum(amount for amount, _ in rates)
    return Decimal(sum(amount * bps for amount, bps in rates if bps is not None)) / total if total else None
