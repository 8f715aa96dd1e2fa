"""Marks of notes at an official valuation: price, expected loss, attachment and exhaustion probability of each class.

One tick gives one mark a class and one a slice, append-only, from the same models that set margin. The price is the
expectation under the official measure (`prices`), discounted on the snapshot's own risk-free curve; physical figures
stand beside it. The par spread of a class, its guidance in an offering, is what it must pay over a note that cannot
lose.
Runs in bonds workers (numpy, QuantLib).
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from math import ceil, exp
from typing import Any
from uuid import UUID

from django.db import DatabaseError, transaction

from bonds.loss.note_risk import Piece, note_risk, outstanding_at
from bonds.loss.tranches import changes_of_slice
from bonds.marking import prices, rulesets
from bonds.marking.exposures import BASE_UNITS, NOTHING_PLANNED, Exposure, Planned, Standing, exposures, standing
from bonds.marking.prices import note_terms as note_terms
from bonds.models import NoteMark, Series, Slice, SliceMark, SlicePart, Tranche
from bonds.pricing.curves import OutstandingCurve
from bonds.pricing.notes import outstanding_curve, par_coupon, par_spread
from bonds.pricing.rulesets import PricingRuleset
from bonds.servicing import write_downs
from intermediary import events
from intermediary.errors import Refusal
from intermediary.models.bulk import insert_new
from risk.engine import FAULTS_OF_A_CELL, load_snapshot
from risk.market.curve import DiscountCurve
from risk.market.snapshot import MarketSnapshot
from risk.models import Tick

logger = logging.getLogger(__name__)
MARKED = (Series.State.MARKETING, Series.State.PRICED, *Series.LIVE)
BPS = 10_000
TOGETHER = 500  # series of one transaction: few enough that no reader waits for them, many enough that queries are few


@dataclass(frozen=True)
class Market:
    """The valuation date of a note and its risk-free curve."""

    as_of: date
    discount: DiscountCurve


@dataclass(frozen=True)
class SeriesMarks:
    """What one valuation says of a series: rows to be written."""

    series_id: UUID
    slices: tuple[SliceMark, ...]
    notes: tuple[NoteMark, ...]


def remark(tick_id: UUID, number: int = 0, of: int = 1) -> int:
    """Mark every class and slice of published series at this tick, or of one of so many parts of the series; harmless
    when repeated. Returns classes marked. Figures beside the price are renewed as often as margins get a point of
    their history (every five minutes of a live market), not at each of its ticks.

    Relationships are looked at together, each once. A series that covers one without figures in this market, or that
    cannot be marked for a reason of its own, keeps its marks of before; the others go on.
    """
    tick = Tick.objects.select_related("valuation").get(id=tick_id)
    published = list(Series.objects.filter(state__in=MARKED).order_by("id").values_list("id", flat=True))
    mine = Series.objects.filter(id__in=published[number::of]).prefetch_related("slices__parts", "tranches")
    slices = [item for series in mine for item in series.slices.all()]
    losses = write_downs.net_losses_base_units(slices)
    found, snapshot = standing(tick, [item.cell_id for item in slices]), load_snapshot(tick.snapshot_id)
    rules = rulesets.in_force()
    made = []
    for series in mine:
        try:
            made.append(_marks(series, tick, snapshot, rules, found, losses))
        except FAULTS_OF_A_CELL as fault:
            logger.warning("series %s is not marked: %s", series.code, fault, exc_info=not isinstance(fault, Refusal))
    return sum(_write(made[start : start + TOGETHER]) for start in range(0, len(made), TOGETHER))


def _write(made: Sequence[SeriesMarks]) -> int:
    """In one transaction, or one by one where one of them cannot be stored. Returns classes stored."""
    try:
        with transaction.atomic(durable=True):
            insert_new([row for marks in made for row in marks.slices])
            insert_new([row for marks in made for row in marks.notes])
            events.notify(events.PAGES_CHANNEL, *(f"series:{marks.series_id}" for marks in made))
    except DatabaseError:
        if len(made) == 1:
            logger.exception("marks of series %s are not stored", made[0].series_id)
            return 0
        return sum(_write([marks]) for marks in made)
    return sum(len(marks.notes) for marks in made)


def _marks(
    series: Series,
    tick: Tick,
    snapshot: MarketSnapshot,
    rules: PricingRuleset,
    found: Standing,
    losses: Mapping[UUID, int],
) -> SeriesMarks:
    exposed = {item.id: found.exposure(item.cell_id, losses[item.id]) for item in series.slices.all()}
    pieces: dict[UUID, dict[UUID, Piece]] = {}
    for item in series.slices.all():
        for tranche_id, piece in _pieces_in(item, exposed[item.id]).items():
            pieces.setdefault(tranche_id, {})[item.id] = piece
    slices = []
    for item in series.slices.all():
        mine = [held[item.id] for held in pieces.values() if item.id in held]
        slices.append(_slice_mark(item, mine, tick, exposed[item.id]))
    market = market_of(snapshot, series)
    outstanding: Counter[UUID] = Counter()
    for item in series.slices.all():
        for part in item.parts.all():
            outstanding[part.tranche_id] += part.outstanding_base_units
    fixings = prices.fixings_of(series, market.as_of)
    notes = []
    for tranche in series.tranches.all():
        mine = list(pieces.get(tranche.id, {}).values())
        priced = prices.columns(
            series, tranche, market.as_of, market.discount, mine, rules, in_full=tick.keeps_history, fixings=fixings
        )
        notes.append(_note_mark(tranche, tick, mine, outstanding[tranche.id], priced))
    return SeriesMarks(series.id, tuple(slices), tuple(notes))


def price_guidance(series_id: UUID, planned: Planned = NOTHING_PLANNED) -> dict[UUID, int]:
    """Par spread of each class in basis points a year, rounded up, on the books as they are or are `planned`."""
    series = Series.objects.get(id=series_id)
    tick = Tick.objects.select_related("valuation").first()
    if tick is None:
        raise Refusal("no_official_valuation", "There is no official valuation yet: no risk can be priced.")
    _, found = _exposures(series, tick, planned)
    market = market_of(load_snapshot(tick.snapshot_id), series)
    return {
        tranche.id: par_spread_bps(series, tranche, market, pieces_of(tranche, found))
        for tranche in series.tranches.all()
    }


def par_spread_bps(series: Series, tranche: Tranche, market: Market, pieces: Sequence[Piece]) -> int:
    """What a class must pay at par over the coupon of a note that cannot lose, or over SOFR: rounded up."""
    terms = note_terms(series, tranche)
    measure = rulesets.in_force().official(market.as_of)
    risky = outstanding_curve(terms, market.as_of, partial(outstanding_at, pieces, measure))
    if terms.floats:
        return ceil(par_spread(terms, market.as_of, market.discount, risky) * BPS)
    riskless = OutstandingCurve(market.as_of, (market.as_of, market.discount.dates[-1]), (1.0, 1.0))
    spread = par_coupon(terms, market.as_of, market.discount, risky) - par_coupon(
        terms, market.as_of, market.discount, riskless
    )
    return ceil(spread * BPS)


def market_of(snapshot: MarketSnapshot, series: Series) -> Market:
    """The snapshot's zero rates as a curve past the final maturity; a series not issued yet is valued at its issue."""
    as_of = max(snapshot.as_of.date(), series.issue_date)
    # A maturity on a holiday is paid some days later: the curve must reach that day.
    last = (series.final_maturity - as_of).days + 30
    days = sorted({days for days, _ in snapshot.rates if 0 < days < last} | {last})
    dates = [as_of + timedelta(days=count) for count in days]
    factors = [exp(-snapshot.rate(count) * count / 365) for count in days]
    return Market(as_of, DiscountCurve(as_of, (as_of, *dates), (1.0, *factors)))


def pieces_of(tranche: Tranche, found: Mapping[UUID, Exposure]) -> list[Piece]:
    """What the class has left in each slice, with where its relationship stands."""
    slices = tranche.series.slices.prefetch_related("parts")
    of_slices = [_pieces_in(item, found[item.cell_id]) for item in slices]
    return [pieces[tranche.id] for pieces in of_slices if tranche.id in pieces]


def _pieces_in(item: Slice, exposure: Exposure) -> dict[UUID, Piece]:
    """Class -> what it has left in one slice; what N still takes is shared as the escrow shares it."""
    parts = sorted(item.parts.all(), key=lambda part: part.attach_base_units)
    changes = changes_of_slice([part.state for part in parts], exposure.net_loss_base_units)
    return {
        part.tranche_id: _piece(part, exposure, change.write_down_base_units)
        for part, change in zip(parts, changes, strict=True)
        if part.outstanding_base_units
    }


def _exposures(
    series: Series, tick: Tick, planned: Planned = NOTHING_PLANNED
) -> tuple[list[Slice], dict[UUID, Exposure]]:
    slices = list(series.slices.select_related("series"))
    losses = {item.cell_id: write_downs.net_loss_base_units(item) for item in slices}
    return slices, exposures(tick, slices, losses, planned)


def _piece(part: SlicePart, exposure: Exposure, further: int) -> Piece:
    """`further`: of the principal left, what N is known to take, base units."""
    outstanding = part.outstanding_base_units
    left_from = min(max(part.attach_base_units, exposure.net_loss_base_units), part.detach_base_units)
    modelled = exposure.model is not None and left_from < part.detach_base_units
    return Piece(
        relationship_id=part.slice.cell_id,
        principal=outstanding / BASE_UNITS,
        attach=left_from / BASE_UNITS,
        detach=part.detach_base_units / BASE_UNITS,
        model=exposure.model if modelled else None,
        known_loss=further / outstanding,
    )


def _slice_mark(item: Slice, pieces: Sequence[Piece], tick: Tick, exposure: Exposure) -> SliceMark:
    """All classes of a slice lie end to end: it is hit with its lowest, and gone with its highest."""
    risks, total = [piece.risk for piece in pieces], sum(piece.principal for piece in pieces)
    lost = sum(piece.principal * risk.expected_loss for piece, risk in zip(pieces, risks, strict=True))
    return SliceMark(
        slice_id=item.id,
        valuation_id=tick.valuation_id,
        expected_loss=lost / total if total else 0.0,
        probability_first_loss=max((risk.pfl for risk in risks), default=0.0),
        probability_last_loss=min((risk.pll for risk in risks), default=0.0),
        loss_now_base_units=exposure.loss_now_base_units,
        basis=exposure.basis,
    )


def _note_mark(
    tranche: Tranche, tick: Tick, pieces: Sequence[Piece], outstanding_base_units: int, priced: Mapping[str, Any]
) -> NoteMark:
    risk = note_risk(pieces)
    return NoteMark(
        tranche_id=tranche.id,
        valuation_id=tick.valuation_id,
        outstanding_base_units=outstanding_base_units,
        expected_loss=risk.expected_loss,
        probability_first_loss=risk.pfl,
        probability_last_loss=risk.pll,
        **priced,
    )
