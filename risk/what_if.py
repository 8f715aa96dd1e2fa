"""What if: a relationship's margin with trades that are only being considered, at the official marks.

The figures before and after come out of one computation by the tick's own code, and the verdict is the gate's own: a
trade at the mark that passes here passes when it is novated, as long as book and market are the same. Nothing is
written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from intermediary import margining, onboarding, trading, variation
from intermediary.errors import BadInput, Refusal
from intermediary.ids import uuid7
from intermediary.models import Instrument, Layer, Mark
from intermediary.money import multiply_exactly
from intermediary.ports import PlannedTrade
from risk.book import load_book, load_universe
from risk.figures import Assessment, compute, resources_of
from risk.gate import EngineGate, latest_tick
from risk.margin.admission import Resources
from risk.margin.ruleset import ruleset
from risk.models import Tick

TRADES_MAX = 20  # what a person can weigh on one page; a book is moved by files, not by a form


@dataclass(frozen=True)
class Considered:
    """One trade: signed quantity of an instrument by its code."""

    instrument: str
    quantity: Decimal


def what_if(cell_id: UUID, trades: Sequence[Considered]) -> dict[str, Any]:
    """A JSON value: `before` and `after` as margin states are stored, `verdict` of the gate on what is after, `trades`
    with the marks they are taken at. Amounts are settlement base units, lines of a breakdown dollars.

    Refuses `what_if_empty`, `what_if_too_many`, `instrument_unknown`, `mark_missing`,
    `trade_too_large`, and what the gate refuses.
    """
    tick = latest_tick()
    planned = _planned(trades, tick)
    changes = [(trade.instrument_id, trade.quantity) for trade in planned]
    verdict = EngineGate().check_trades({cell_id: planned})[cell_id]
    terms, universe, book, after = onboarding.current_terms(cell_id), load_universe(), load_book([cell_id]), uuid7()
    book.positions[after] = dict(book.positions.get(cell_id, {}))
    book.collateral[after] = book.collateral.get(cell_id, {})
    book.with_changes(after, changes)
    found = compute([cell_id, after], book, universe, tick.snapshot_id, terms.ruleset)
    exposure = variation.exposure_base_units(cell_id, tick.valuation_id)
    resources = resources_of(list(Layer.objects.filter(cell_id=cell_id)), exposure)
    threshold = margining.threshold_of(cell_id)
    held = margining.held_after_haircut(cell_id, tick.valuation_id)
    before_and_after = [_state(one, resources, threshold, held) for one in found]
    return {
        "as_of": tick.valuation.as_of.isoformat(),
        "snapshot_id": tick.snapshot_id,
        "ruleset_hash": ruleset(terms.ruleset).hash,
        "trades": [
            {"instrument": item.instrument, "quantity": f"{item.quantity:f}", "price": f"{trade.price.normalize():f}"}
            for item, trade in zip(trades, planned, strict=True)
        ],
        "before": before_and_after[0],
        "after": before_and_after[1],
        "verdict": verdict.numbers(),
    }


def _planned(trades: Sequence[Considered], tick: Tick) -> list[PlannedTrade]:
    """The trades at their official marks."""
    if not trades:
        raise BadInput("what_if_empty", "Name at least one trade.")
    if len(trades) > TRADES_MAX:
        message = "There are too many trades for one look."
        raise BadInput("what_if_too_many", message, most=TRADES_MAX, asked=len(trades))
    listed = {item.code: item for item in Instrument.objects.filter(code__in={one.instrument for one in trades})}
    marks = dict(
        Mark.objects.filter(valuation_id=tick.valuation_id, instrument__in=listed.values()).values_list(
            "instrument_id", "price"
        )
    )
    planned = []
    for one in trades:
        item = listed.get(one.instrument)
        if item is None:
            raise BadInput("instrument_unknown", "There is no such instrument.", instrument=one.instrument)
        if item.id not in marks:
            raise Refusal("mark_missing", f"{item.code} has no official mark yet.", instrument=item.code)
        if multiply_exactly(one.quantity.copy_abs(), marks[item.id]) >= trading.VALUE_LIMIT:
            raise BadInput("trade_too_large", f"One trade is below {trading.VALUE_LIMIT:,.0f} dollars.")
        planned.append(PlannedTrade(item.id, one.quantity, marks[item.id]))
    return planned


def _state(found: Assessment, resources: Resources, threshold: int, held: int) -> dict[str, Any]:
    """The figures under the names that a margin state has. A trade at the mark leaves exposure as it is."""
    independent = found.independent_amount_base_units
    return {
        "exposure_base_units": resources.exposure,
        "independent_amount_base_units": independent,
        "threshold_base_units": threshold,
        "required_base_units": margining.required_for(resources.exposure, independent, threshold),
        "held_base_units": held,
        "breakdown": found.breakdown(),
        "admission": found.admission(resources).as_data(),
    }
