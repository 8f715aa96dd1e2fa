"""The engine's answer at commit time: the admission test (D2) on a book that is only being considered.

Bound to `intermediary.ports.RiskGate` by the composition root. It runs the same code as the tick, on the last official
snapshot, so a trade that passes here is computed the same way a minute later.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from intermediary import clock, margining, onboarding, variation
from intermediary.errors import Refusal
from intermediary.models import Instrument, Layer, Mark
from intermediary.money import add_exactly, multiply_exactly, round_up
from intermediary.ports import AdmissionResult, LayerSizes, PlannedTrade
from intermediary.terms import Terms
from risk.book import Book, Universe, load_book, load_universe
from risk.engine import SETTLEMENT_DECIMALS, Assessment, compute, load_snapshot, resources_of
from risk.margin.admission import AdmissionDecision, AdmissionRow, Resources
from risk.models import Tick

# How far from its mark an instrument may be traded, of the price of its underlying (rulebook 3.4): what a market moves
# while two sides agree. An option moves less than its underlying, but far more than this share of a small premium.
PRICE_BAND = Decimal("0.05")


class EngineGate:
    """`ports.RiskGate` by the margin engine. `under` judges by another ruleset than the signed one: what if."""

    def __init__(self, under: str | None = None) -> None:
        self._under = under

    def check_trades(self, changes: Mapping[UUID, Sequence[PlannedTrade]]) -> dict[UUID, AdmissionResult]:
        """Every cell's verdict with its trades booked: stressed loss inside its means, and margin for the new book.

        What a price off the mark costs is owed from the trade on, so it counts in both. Refuses `price_off_market`
        and `price_stale`.
        """
        tick = latest_tick()
        marks = _marks_of([trade for trades in changes.values() for trade in trades], tick)
        universe, book = load_universe(), load_book(list(changes))
        verdicts = {}
        for cell_id, trades in changes.items():
            book.with_changes(cell_id, [(trade.instrument_id, trade.quantity) for trade in trades])
            found = self._found(cell_id, book, universe, tick)
            exposure = _exposure_after(cell_id, trades, marks, tick)
            resources = resources_of(list(Layer.objects.filter(cell_id=cell_id)), exposure)
            verdicts[cell_id] = _with_headroom(result_of(found.admission(resources)), found, exposure, tick)
        return verdicts

    def check_line(self, cell_id: UUID, threshold_base_units: int, layers: LayerSizes) -> AdmissionResult:
        """The verdict on the present book if these layers stood behind it.

        The threshold frees margin, so what the client may take out counts as gone: of its margin only what the new
        requirement would still hold is counted.
        """
        tick = latest_tick()
        found = self._found(cell_id, load_book([cell_id]), load_universe(), tick)
        resources = Resources(
            first_loss=layers.first_loss_base_units,
            tail=layers.tail_base_units,
            senior_retention=layers.senior_base_units,
            exposure=variation.exposure_base_units(cell_id, tick.valuation_id),
        )
        return result_of(found.admission(resources))

    def _found(self, cell_id: UUID, book: Book, universe: Universe, tick: Tick) -> Assessment:
        """The figures of one cell's book under its signed terms; none in a market that is too old."""
        terms = onboarding.current_terms(cell_id)
        _refuse_stale(tick, terms, book.positions.get(cell_id, ()))
        return compute([cell_id], book, universe, tick.snapshot_id, self._under or terms.ruleset)[0]


def latest_tick() -> Tick:
    """The last official valuation. Refuses new risk when there is none (M6)."""
    tick = Tick.objects.select_related("valuation").first()
    if tick is None:
        raise Refusal("no_official_valuation", "There is no official valuation yet: no new risk can be judged.")
    return tick


def _refuse_stale(tick: Tick, terms: Terms, held: Iterable[UUID]) -> None:
    """No new risk on an official market that is too old, nor on a coin that it had not seen for too long (M6)."""
    market, now = load_snapshot(tick.snapshot_id), clock.now()
    coins = set(Instrument.objects.filter(id__in=held).values_list("underlying", flat=True))
    unseen = coins.intersection(market.stale_fields(now))
    if unseen or now - market.as_of > terms.oldest_price:
        raise Refusal(
            "price_stale",
            "The last official prices are too old to take new risk on.",
            age_seconds=int((now - market.as_of).total_seconds()),
            limit_seconds=int(terms.oldest_price.total_seconds()),
            unseen=sorted(unseen),
        )


def _marks_of(trades: Sequence[PlannedTrade], tick: Tick) -> dict[UUID, Decimal]:
    """The official marks of what is traded. Refuses a price too far from its mark, and an instrument without one."""
    market, traded = load_snapshot(tick.snapshot_id), {trade.instrument_id for trade in trades}
    found = Mark.objects.filter(valuation_id=tick.valuation_id, instrument_id__in=traded)
    marks = dict(found.values_list("instrument_id", "price"))
    instruments = Instrument.objects.in_bulk(traded)
    for trade in trades:
        instrument = instruments[trade.instrument_id]
        if instrument.id not in marks:
            raise Refusal("mark_missing", f"{instrument.code} has no official mark yet.", instrument=instrument.code)
        mark, most = marks[instrument.id], multiply_exactly(market.mark(instrument.underlying), PRICE_BAND)
        if add_exactly(trade.price, mark.copy_negate()).copy_abs() > most:
            raise Refusal(
                "price_off_market",
                "The price is too far from the official mark.",
                instrument=instrument.code,
                price=f"{trade.price.normalize():f}",
                mark=f"{mark.normalize():f}",
                at_most_off=f"{most.normalize():f}",
            )
    return marks


def _exposure_after(cell_id: UUID, trades: Sequence[PlannedTrade], marks: Mapping[UUID, Decimal], tick: Tick) -> int:
    """What the cell owes once these trades are booked, base units: exposure now plus quantity x (price - mark)."""
    owed = variation.exposure(cell_id, tick.valuation_id)
    off_mark = (
        multiply_exactly(trade.quantity, add_exactly(trade.price, marks[trade.instrument_id].copy_negate()))
        for trade in trades
    )
    return round_up(multiply_exactly(add_exactly(owed, *off_mark), 10**SETTLEMENT_DECIMALS))


def result_of(decision: AdmissionDecision) -> AdmissionResult:
    """The engine's decision in the intermediary's words."""
    data = decision.as_data() | {"stress": [_stress_row(row) for row in decision.rows]}
    return AdmissionResult(
        passed=decision.passed,
        stressed_loss_base_units=decision.binding.net_loss,
        resources_base_units=decision.resources.layers,
        binding_scenario=decision.binding.outcome.title,
        data=data,
    )


def _stress_row(row: AdmissionRow) -> dict[str, Any]:
    """One scenario as an officer reads it, base units."""
    outcome = row.outcome
    return {
        "title": outcome.title,
        "loss": outcome.position_loss + outcome.close_out_cost,
        "margin_value": outcome.collateral_value,
        "net_loss": row.net_loss,
        "short_by": row.short_by,
    }


def _with_headroom(verdict: AdmissionResult, found: Assessment, exposure: int, tick: Tick) -> AdmissionResult:
    """A trade also needs its margin now: required after the trade against what is held."""
    threshold = margining.threshold_of(found.cell_id)
    required = margining.required_for(exposure, found.independent_amount_base_units, threshold)
    held = margining.held_after_haircut(found.cell_id, tick.valuation_id)
    if required <= held:
        return verdict
    return AdmissionResult(
        passed=False,
        stressed_loss_base_units=verdict.stressed_loss_base_units,
        resources_base_units=verdict.resources_base_units,
        binding_scenario="margin headroom",
        data=verdict.data
        | {"passed": False, "required_after": required, "held": held, "missing_margin": required - held},
    )
