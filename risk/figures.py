"""The figures of some relationships in the market of one snapshot: their books against the day's scenarios.

One way of computing for the tick, for the gate at commit time and for live layers, so that a trade that passes is
computed the same way a minute later. A position's place in the sums is that of its instrument in the matrices, never
that of its row in the database, so a figure does not depend on who else is computed with it. Reads only.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID

import numpy as np
from django.conf import settings
from numpy.typing import NDArray

from intermediary.models import Layer
from intermediary.money import requirement_from_float
from risk.book import Book, Universe, load_universe
from risk.margin.admission import AdmissionDecision, Resources, assess
from risk.margin.documents import texts
from risk.margin.instruments import Instrument
from risk.margin.requirement import Positions, RequirementBatch, RiskMatrices, requirements
from risk.margin.ruleset import published_name, ruleset
from risk.margin.scenarios import ScenarioSet, build_scenarios
from risk.margin.verdicts import Layers
from risk.market.history import load_history
from risk.market.snapshot import MarketSnapshot
from risk.models import Snapshot, Tick

SETTLEMENT_DECIMALS = 6
MOVES = ("-5%", "-10%", "-20%")  # of the forecast
IF_NETTED = "total_if_netted"  # in the breakdown of a book that does not net, and in no other
NO_ROWS, NO_UNITS = np.empty(0, dtype=np.int64), np.empty(0)
NOTHING: tuple[list[int], list[float]] = ([], [])
Floats = NDArray[np.float64]
# Rows of the matrices, units held.
Rows = tuple[Sequence[int] | NDArray[np.int64], Sequence[float] | Floats]


@dataclass(frozen=True)
class Assessment:
    """What the engine found for one cell of a batch."""

    cell_id: UUID
    batch: RequirementBatch
    index: int

    @property
    def independent_amount_base_units(self) -> int:
        """The model requirement, rounded up at the border of floats and money."""
        return requirement_from_float(float(self.batch.total[self.index]), SETTLEMENT_DECIMALS)

    def breakdown(self) -> dict[str, Any]:
        """Lines that add up to the independent amount, and what it would be if the market fell further; dollars."""
        found: dict[str, Any] = json.loads(breakdowns(self.batch)[self.index])
        return found

    def admission(self, resources: Resources) -> AdmissionDecision:
        """The test of D2 on this cell's book and margin."""
        return assess(self.batch.outcomes(self.index, SETTLEMENT_DECIMALS), resources)


def breakdowns(batch: RequirementBatch) -> list[str]:
    """`Assessment.breakdown` of every account of a batch, as JSON: a tick writes thousands, and reads none."""
    parts, total = _lines(batch)
    period, inputs = json.dumps(batch.matrices.ruleset.mpor_hours), json.dumps(batch.matrices.inputs)
    pieces: list[Any] = ['{"lines": [']
    for place, ((name, _), part) in enumerate(zip(batch.parts, parts, strict=True)):
        pieces += [f"{', ' * bool(place)}[{json.dumps(name)}, ", part, "]"]
    pieces += [f'], "margin_period_hours": {period}, "inputs": {inputs}, "total": ', total]
    pieces += [', "gross_notional": ', _cents(batch.gross_notional), ', "forecast_loss": {']
    for place, move in enumerate(MOVES):
        pieces += [f"{', ' * bool(place)}{json.dumps(move)}: ", _cents(batch.forecast_loss[:, place])]
    named = np.array([json.dumps(name) for name in batch.stress_names])
    pieces += ['}, "worst_stress": ', named[batch.worst_stress]]
    pieces += [', "worst_stress_loss": ', _cents(batch.worst_stress_loss), "}"]
    found = texts(pieces)
    for account in np.flatnonzero(batch.positions.gross) if batch.positions.gross is not None else ():
        netted = float(_cents(batch.total_if_netted[account : account + 1])[0])
        found[account] = f'{found[account][:-1]}, "{IF_NETTED}": {netted!r}}}'
    return found


def _lines(batch: RequirementBatch) -> tuple[Floats, Floats]:
    """The parts of each line (P, A) and the totals (A,), in cents that add up: what is rounded is the sum up to each
    line."""
    up_to = np.rint(100.0 * np.cumsum([part for _, part in batch.parts], axis=0))
    return np.diff(up_to, axis=0, prepend=0.0) / 100.0, up_to[-1] / 100.0


def _cents(dollars: Floats) -> Floats:
    return np.round(dollars, 2)


def load_snapshot(snapshot_id: str) -> MarketSnapshot:
    """The immutable snapshot of this id; a worker keeps the last few."""
    return _parse(snapshot_id)


@lru_cache(maxsize=4)
def _parse(snapshot_id: str) -> MarketSnapshot:
    return MarketSnapshot.from_json(Snapshot.objects.get(id=snapshot_id).body)


@lru_cache(maxsize=16)  # a day has one draw a ruleset, and of each as many as there are margin periods
def scenarios_for(ruleset_name: str, day: date) -> ScenarioSet:
    """The scenarios of one day under one ruleset, from recorded history when there is one; those of another margin
    period than the ruleset's floor are the same worlds."""
    rules, published = ruleset(ruleset_name), published_name(ruleset_name)
    if published != ruleset_name:
        return scenarios_for(published, day).over(rules.mpor_hours, ruleset(published).mpor_hours)
    return build_scenarios(rules, day, load_history(settings.MARKET_HISTORY_DIR, day))


@lru_cache(maxsize=16)  # of the last two ticks, for some margin periods
def matrices_for(snapshot_id: str, ruleset_name: str, instruments: tuple[Instrument, ...]) -> RiskMatrices:
    """Every instrument priced under every shock; a worker keeps the last few."""
    snapshot = load_snapshot(snapshot_id)
    scenarios = scenarios_for(ruleset_name, snapshot.as_of.date()).of_coins(snapshot.coins)
    return RiskMatrices.build(snapshot, ruleset(ruleset_name), scenarios, instruments)


def universe_of(tick: Tick) -> Universe:
    """What can be held and has a value in the market of this tick."""
    return load_universe(load_snapshot(tick.snapshot_id))


def without(rows: NDArray[np.int64], cell_ids: Sequence[UUID], book: Book, universe: Universe) -> list[UUID]:
    """Those of the relationships that hold nothing in these rows of the matrices, in their order."""
    if not rows.size:
        return list(cell_ids)
    bad = set(rows.tolist())
    instruments = {key for key, row in universe.row_of_instrument.items() if row in bad}
    tokens = {code for code, row in universe.row_of_asset.items() if row in bad}
    return [
        key
        for key in cell_ids
        if not instruments & book.positions.get(key, {}).keys() and not tokens & book.collateral.get(key, {}).keys()
    ]


def compute(
    cell_ids: Sequence[UUID], book: Book, universe: Universe, snapshot_id: str, ruleset_name: str
) -> list[Assessment]:
    """Requirements of these cells' books in this market, books as exact rows. Refuses `instrument_not_valued`."""
    universe.refuse_unvalued(cell_ids, book)
    positions = {
        cell: _rows(universe.row_of_instrument, book.positions[cell]) for cell in cell_ids if cell in book.positions
    }
    margin = {cell: _rows(universe.row_of_asset, book.collateral[cell]) for cell in cell_ids if cell in book.collateral}
    matrices = matrices_for(snapshot_id, ruleset_name, universe.instruments)
    return compute_rows(cell_ids, positions, margin, matrices, book.gross)


def compute_rows(
    cell_ids: Sequence[UUID],
    positions: Mapping[UUID, Rows],
    margin: Mapping[UUID, Rows],
    matrices: RiskMatrices,
    gross: Collection[UUID] = (),
) -> list[Assessment]:
    """The same for books that are rows of the matrices already; whoever is left out holds nothing. Those of `gross` do
    not net."""
    batch = compute_batch(cell_ids, positions, margin, matrices, gross)
    return [Assessment(cell, batch, index) for index, cell in enumerate(cell_ids)]


def compute_batch(
    cell_ids: Sequence[UUID],
    positions: Mapping[UUID, Rows],
    margin: Mapping[UUID, Rows],
    matrices: RiskMatrices,
    gross: Collection[UUID] = (),
) -> RequirementBatch:
    """The same as one batch, an account a cell in their order."""
    held = flagged(_sparse(cell_ids, positions), [cell in gross for cell in cell_ids] if gross else ())
    return requirements(matrices, held, _sparse(cell_ids, margin))


def flagged(positions: Positions, gross: Sequence[bool]) -> Positions:
    """The same books with the mark of those that do not net; the very same when there are none."""
    return replace(positions, gross=np.array(gross)) if any(gross) else positions


def _rows(row_of: Mapping[Any, int], held: Mapping[Any, Decimal]) -> Rows:
    return [row_of[key] for key in held], [float(quantity) for quantity in held.values()]


def _sparse(cell_ids: Sequence[UUID], held: Mapping[UUID, Rows]) -> Positions:
    """The books as one matrix, each in the order of the instruments: floats do not add up the same in every order."""
    found = stacked([held.get(cell, NOTHING) for cell in cell_ids])
    order = np.lexsort((found.indices, found.owners()))
    return Positions(found.indptr, found.indices[order], found.quantity[order])


def stacked(rows: Sequence[Rows]) -> Positions:
    """Books that are each in the order of the instruments, as one matrix."""
    counts = np.array([len(indices) for indices, _ in rows], dtype=np.int64)
    return Positions(
        indptr=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        indices=np.concatenate([NO_ROWS, *(indices for indices, _ in rows)]).astype(np.int64),
        quantity=np.concatenate([NO_UNITS, *(units for _, units in rows)]),
    )


def layers_of(resources: Sequence[Resources], exposures: Sequence[int]) -> Layers:
    """What stands behind many, each beside its exposure, as arrays."""
    rows = [(item.first_loss, item.tail, item.senior_retention) for item in resources]
    return Layers(np.array(exposures, dtype=np.int64), *np.array(rows, dtype=np.int64).reshape(-1, 3).T)


def resources_of(layers: Iterable[Layer], exposure_base_units: int) -> Resources:
    """What stands behind a relationship now: the funded part of each layer that no loss has used."""
    left = dict.fromkeys(Layer.Kind.values, 0)
    for layer in layers:
        if layer.funded:
            left[layer.kind] += layer.size_base_units - layer.loss_base_units
    return Resources(
        first_loss=left[Layer.Kind.FIRST_LOSS],
        tail=left[Layer.Kind.TAIL],
        senior_retention=left[Layer.Kind.SENIOR],
        exposure=exposure_base_units,
    )
