"""What a term sheet is about: the classes and slices of a series, or of terms that are no series yet, at one tick.

Terms that are only drafted are looked at through the same eyes as a series, by rows that are never saved.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from bonds.loss.note_risk import Piece
from bonds.marking.exposures import BASE_UNITS, Exposure, loss_models
from bonds.marking.valuation import Market, market_of, pieces_of
from bonds.models import Series, SlicePart, Tranche
from bonds.offering.terms import SeriesTerms, terms_from
from bonds.servicing import write_downs
from intermediary.errors import Refusal
from risk.engine import load_snapshot
from risk.models import Tick


@dataclass(frozen=True)
class ClassPart:
    """A class in one slice: its layer [attach, detach) and principal, settlement base units."""

    cell_id: UUID
    attach_base_units: int
    detach_base_units: int
    principal_base_units: int


@dataclass(frozen=True)
class SubjectClass:
    """A class with its parts, as it is priced."""

    tranche: Tranche
    parts: tuple[ClassPart, ...]
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Subject:
    """Everything at one tick; `exposures` by cell."""

    series: Series
    terms: SeriesTerms
    tick: Tick
    market: Market
    classes: tuple[SubjectClass, ...]
    exposures: dict[UUID, Exposure]


def last_tick() -> Tick:
    """The last official valuation. Refused before there is one."""
    tick = Tick.objects.select_related("valuation").first()
    if tick is None:
        raise Refusal("no_official_valuation", "There is no official valuation yet: no risk can be priced.")
    return tick


def of_terms(terms: SeriesTerms, tick: Tick) -> Subject:
    """Of drafted terms."""
    cells = [item.cell_id for item in terms.slices]
    models = loss_models(tick, cells)
    exposures = {cell: Exposure("MODEL", 0, models[cell][1], models[cell][0]) for cell in cells}
    series = _sketch(terms)
    classes = tuple(_drafted(series, terms, index, exposures) for index in range(len(terms.classes)))
    market = market_of(load_snapshot(tick.snapshot_id), series)
    return Subject(series, terms, tick, market, classes, exposures)


def of_series(series: Series, tick: Tick, exposures: dict[UUID, Exposure]) -> Subject:
    """Of a series with where its relationships stand (`exposures.exposures`)."""
    classes = tuple(
        SubjectClass(tranche, _parts_of(tranche), tuple(pieces_of(tranche, exposures)))
        for tranche in series.tranches.order_by("seniority")
    )
    market = market_of(load_snapshot(tick.snapshot_id), series)
    return Subject(series, terms_from(series.terms), tick, market, classes, exposures)


def losses_of(series: Series) -> dict[UUID, int]:
    """N that each slice answers for, by cell."""
    return {item.cell_id: write_downs.net_loss_base_units(item) for item in series.slices.select_related("series")}


def _sketch(terms: SeriesTerms) -> Series:
    return Series(
        code=terms.code,
        title=terms.title,
        issue_date=terms.issue_date,
        scheduled_maturity=terms.scheduled_maturity,
        final_maturity=terms.final_maturity,
        collateral_yield_annual=terms.collateral_yield_annual,
        denomination_base_units=terms.denomination_base_units,
        months_between_coupons=terms.months_between_coupons,
        terms=terms.canonical,
        terms_hash=terms.hash,
    )


def _drafted(series: Series, terms: SeriesTerms, index: int, exposures: dict[UUID, Exposure]) -> SubjectClass:
    named = terms.classes[index]
    face = terms.face_base_units(index)
    tranche = Tranche(
        series=series, seniority=index, name=named.name, symbol=named.symbol, isin=named.isin, original_base_units=face
    )
    parts = []
    for item in terms.slices:
        bottom = item.attach_base_units + sum(item.widths_base_units[:index])
        top = bottom + item.widths_base_units[index]
        parts.append(ClassPart(item.cell_id, bottom, top, item.principals_base_units[index]))
    return SubjectClass(tranche, tuple(parts), tuple(_piece(part, exposures[part.cell_id]) for part in parts))


def _piece(part: ClassPart, exposure: Exposure) -> Piece:
    return Piece(
        relationship_id=part.cell_id,
        principal=part.principal_base_units / BASE_UNITS,
        attach=part.attach_base_units / BASE_UNITS,
        detach=part.detach_base_units / BASE_UNITS,
        model=exposure.model,
    )


def _parts_of(tranche: Tranche) -> tuple[ClassPart, ...]:
    rows: Sequence[SlicePart] = list(SlicePart.objects.filter(tranche=tranche).select_related("slice"))
    return tuple(
        ClassPart(row.slice.cell_id, row.attach_base_units, row.detach_base_units, row.principal_base_units)
        for row in rows
    )
