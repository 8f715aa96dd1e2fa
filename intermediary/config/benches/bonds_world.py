"""Series of notes on risk for measurements: as many rows as a life would have left behind, without that life.

Contracts, books of orders and holders are left out: none of them is looked at by what is measured here.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal

from bonds.models import Series, Slice, SlicePart, Tranche
from bonds.offering.isin import with_check_digit
from bonds.offering.stages import slice_of
from bonds.offering.terms import ClassTerms, SeriesTerms, SliceTerms
from intermediary.models import Asset, Cell
from intermediary.models.bulk import insert_all

USD = 10**6
ATTACH_USD, WIDTH_USD = 100_000, 400_000  # of the lowest class, and of each
SPREAD_BPS = 500


def terms_of(number: int, cells: Sequence[Cell], classes: int, issue: date) -> SeriesTerms:
    """A year over these relationships, every class equally wide."""
    width = (WIDTH_USD * USD,) * classes
    return SeriesTerms(
        code=f"B{number:05d}",
        title="Benchmark",
        currency="USDC",
        issue_date=issue,
        scheduled_maturity=issue + timedelta(days=365),
        final_maturity=issue + timedelta(days=545),
        collateral_yield_annual=Decimal("0.0363"),
        denomination_base_units=1_000 * USD,
        challenge_seconds=3_600,
        expert_seconds=3_600,
        maturity_grace_seconds=30 * 86_400,
        classes=tuple(
            ClassTerms(f"Class {index}", f"B{number:05d}{index}", with_check_digit(f"XS{number:06d}{index:03d}"))
            for index in range(classes)
        ),
        slices=tuple(SliceTerms(cell.id, cell.code, ATTACH_USD * USD, width, width) for cell in cells),
    )


def put_on_risk(covered: Sequence[Sequence[Cell]], classes: int, issue: date, first_number: int = 0) -> list[Series]:
    """A series over each group of relationships, on risk since its issue; numbered on from `first_number`."""
    usdc = Asset.objects.get(is_settlement=True)
    made = [terms_of(number, cells, classes, issue) for number, cells in enumerate(covered, first_number)]
    series = [_series(terms, usdc) for terms in made]
    tranches = [_tranches(one, terms) for one, terms in zip(series, made, strict=True)]
    slices = [_slices(one, terms) for one, terms in zip(series, made, strict=True)]
    parts = [_parts(*rows) for rows in zip(slices, tranches, made, strict=True)]
    insert_all(series)
    for rows in (tranches, slices, parts):
        insert_all([row for group in rows for row in group])
    return series


def _series(terms: SeriesTerms, currency: Asset) -> Series:
    return Series(
        code=terms.code,
        title=terms.title,
        state=Series.State.ON_RISK,
        currency=currency,
        issue_date=terms.issue_date,
        scheduled_maturity=terms.scheduled_maturity,
        final_maturity=terms.final_maturity,
        risk_from=terms.risk_from,
        risk_until=terms.risk_until,
        collateral_yield_annual=terms.collateral_yield_annual,
        denomination_base_units=terms.denomination_base_units,
        challenge_seconds=terms.challenge_seconds,
        terms=terms.canonical,
        terms_hash=terms.hash,
        issued_at=terms.risk_from,
    )


def _tranches(series: Series, terms: SeriesTerms) -> list[Tranche]:
    return [
        Tranche(
            series=series,
            seniority=index,
            name=item.name,
            symbol=item.symbol,
            isin=item.isin,
            original_base_units=terms.face_base_units(index),
            guidance_bps=SPREAD_BPS,
            spread_bps=SPREAD_BPS,
        )
        for index, item in enumerate(terms.classes)
    ]


def _slices(series: Series, terms: SeriesTerms) -> list[Slice]:
    return [slice_of(series, terms, index, item) for index, item in enumerate(terms.slices)]


def _parts(slices: Sequence[Slice], tranches: Sequence[Tranche], terms: SeriesTerms) -> list[SlicePart]:
    made = []
    for item, of in zip(slices, terms.slices, strict=True):
        attach = item.attach_base_units
        for tranche, width, principal in zip(tranches, of.widths_base_units, of.principals_base_units, strict=True):
            made.append(
                SlicePart(
                    slice=item,
                    tranche=tranche,
                    attach_base_units=attach,
                    detach_base_units=attach + width,
                    principal_base_units=principal,
                    outstanding_base_units=principal,
                )
            )
            attach += width
    return made
