"""One tick: a snapshot in, the requirement of every relationship out.

`open_tick` stores the official valuation and lays out the shards; `run_shard` renews the requirements of one part of
the relationships: variation margin is settled, the rest is assessed. What the numbers mean is `risk.margin`'s, what
follows from them (calls, movements) is the intermediary's. Results do not depend on the sharding: every cell is
computed from its own rows and the tick's common matrices.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID

import numpy as np
from django.conf import settings
from django.db import transaction

from intermediary import calls, events, margining, onboarding, trading, variation
from intermediary.models import Cell, Layer
from intermediary.money import requirement_from_float
from risk.book import Book, Universe, load_book, load_universe
from risk.margin.admission import AdmissionDecision, Resources, assess
from risk.margin.instruments import Instrument
from risk.margin.requirement import Positions, RequirementBatch, RiskMatrices, requirements
from risk.margin.revaluation import InstrumentTable, option_price, resolve
from risk.margin.ruleset import Ruleset, ruleset
from risk.margin.scenarios import ScenarioSet, build_scenarios
from risk.market.history import load_history
from risk.market.snapshot import MarketSnapshot
from risk.models import RequirementRecord, Snapshot, Tick, TickShard

SETTLEMENT_DECIMALS = 6
PRICE_PLACES = Decimal("0.000001")  # a model price of an option is official to a millionth of a dollar
CELLS_A_TRANSACTION = 100  # a shard commits in parts, so that its locks are held for a fraction of a second


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
        moves = ("-5%", "-10%", "-20%")
        return {
            "lines": [[line.name, round(line.amount_usd, 2)] for line in self.batch.lines(self.index)],
            "total": round(float(self.batch.total[self.index]), 2),
            "gross_notional": round(float(self.batch.gross_notional[self.index]), 2),
            "forecast_loss": dict(
                zip(moves, (round(float(x), 2) for x in self.batch.forecast_loss[self.index]), strict=True)
            ),
            "worst_stress": self.batch.worst_stress_name(self.index),
            "worst_stress_loss": round(float(self.batch.worst_stress_loss[self.index]), 2),
        }

    def admission(self, resources: Resources) -> AdmissionDecision:
        """The test of D2 on this cell's book and margin."""
        return assess(self.batch.outcomes(self.index, SETTLEMENT_DECIMALS), resources)


def load_snapshot(snapshot_id: str) -> MarketSnapshot:
    """The immutable snapshot of this id; a worker keeps the last few."""
    return _parse(snapshot_id)


@lru_cache(maxsize=4)
def _parse(snapshot_id: str) -> MarketSnapshot:
    return MarketSnapshot.from_json(Snapshot.objects.get(id=snapshot_id).body)


@lru_cache(maxsize=4)
def scenarios_for(ruleset_name: str, day: date) -> ScenarioSet:
    """The scenarios of one day under one ruleset, from recorded history when there is one."""
    return build_scenarios(ruleset(ruleset_name), day, load_history(settings.MARKET_HISTORY_DIR, day))


@lru_cache(maxsize=4)
def _matrices(snapshot_id: str, ruleset_name: str, instruments: tuple[Instrument, ...]) -> RiskMatrices:
    snapshot = load_snapshot(snapshot_id)
    return RiskMatrices.build(
        snapshot, ruleset(ruleset_name), scenarios_for(ruleset_name, snapshot.as_of.date()), instruments
    )


def compute(
    cell_ids: Sequence[UUID], book: Book, universe: Universe, snapshot_id: str, ruleset_name: str
) -> list[Assessment]:
    """Requirements of these cells' books in this market."""
    matrices = _matrices(snapshot_id, ruleset_name, universe.instruments)
    positions = [
        [(universe.row_of_instrument[key], float(quantity)) for key, quantity in book.positions.get(cell, {}).items()]
        for cell in cell_ids
    ]
    margin = [
        [(universe.row_of_asset[key], float(tokens)) for key, tokens in book.collateral.get(cell, {}).items()]
        for cell in cell_ids
    ]
    batch = requirements(matrices, Positions.from_rows(positions), Positions.from_rows(margin))
    return [Assessment(cell, batch, index) for index, cell in enumerate(cell_ids)]


def resources_of(layers: Sequence[Layer], exposure_base_units: int) -> Resources:
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


def open_tick(snapshot_id: str, shards: int) -> Tick:
    """Make this snapshot the official valuation and lay out its shards. The same snapshot gives the same tick."""
    existing = Tick.objects.filter(snapshot_id=snapshot_id).first()
    if existing is not None:
        return existing
    snapshot = load_snapshot(snapshot_id)
    universe = load_universe()
    with transaction.atomic(durable=True):
        valuation = trading.record_valuation(
            as_of=snapshot.as_of,
            source=snapshot.source,
            snapshot_id=snapshot_id,
            prices={coin: str(snapshot.mark(coin)) for coin in snapshot.coins},
            marks=official_marks(universe, snapshot),
        )
        tick = Tick.objects.create(snapshot_id=snapshot_id, valuation=valuation, started_at=datetime.now(UTC))
        TickShard.objects.bulk_create(TickShard(tick=tick, number=number, of=shards) for number in range(shards))
    return tick


def official_marks(universe: Universe, snapshot: MarketSnapshot) -> dict[UUID, Decimal]:
    """The official price of every listed instrument, exact decimals: the market's where there is one, the model's
    to a millionth of a dollar for futures and options."""
    table = resolve(universe.instruments, snapshot)
    return {key: _mark(table, row, snapshot) for key, row in universe.row_of_instrument.items()}


def _mark(table: InstrumentTable, row: int, snapshot: MarketSnapshot) -> Decimal:
    item = table.instruments[row]
    if item.kind in ("spot", "perp"):
        return snapshot.mark(item.underlying)
    value = float(table.forward[row])
    if item.kind == "option":
        assert item.strike is not None
        deviation = table.vol[row] * np.sqrt(table.years[row])
        value = float(option_price(value, float(item.strike), deviation, float(table.discount[row]), item.is_call))
    return Decimal(value).quantize(PRICE_PLACES)


def cells_of_shard(number: int, of: int) -> list[UUID]:
    """Relationships of one shard: every `of`-th open one by order of opening."""
    ids = Cell.objects.filter(kind=Cell.Kind.CLIENT).exclude(state__in=[Cell.State.CLOSED, Cell.State.DEFAULTED])
    return list(ids.order_by("id").values_list("id", flat=True))[number::of]


def run_shard(tick_id: UUID, number: int) -> None:
    """Settle and assess the relationships of one shard, then record it as done; harmless when repeated."""
    shard = TickShard.objects.select_related("tick__valuation").get(tick_id=tick_id, number=number)
    if shard.done_at is not None:
        return
    cell_ids = cells_of_shard(number, shard.of)
    refused: dict[str, str] = {}
    for start in range(0, len(cell_ids), CELLS_A_TRANSACTION):
        _run_part(shard.tick, cell_ids[start : start + CELLS_A_TRANSACTION], refused)
    with transaction.atomic(durable=True):
        TickShard.objects.filter(id=shard.id).update(done_at=datetime.now(UTC), cells=len(cell_ids), refused=refused)
        Tick.objects.select_for_update().get(id=tick_id)
        if not TickShard.objects.filter(tick_id=tick_id, done_at=None).exists():
            Tick.objects.filter(id=tick_id).update(done_at=datetime.now(UTC))
            events.notify(events.PAGES_CHANNEL, f"tick:{tick_id}")


def renew_requirements(cell_ids: Iterable[UUID]) -> None:
    """Assess these relationships again in the last official market: their books have changed since its tick."""
    tick = Tick.objects.select_related("valuation").first()
    if tick is not None:
        _run_part(tick, list(cell_ids), {})


def _run_part(tick: Tick, cell_ids: Sequence[UUID], refused: dict[str, str]) -> None:
    with transaction.atomic(durable=True):
        for cell_id in cell_ids:
            variation.settle(cell_id=cell_id, valuation_id=tick.valuation_id)
    universe, book = load_universe(), load_book(cell_ids)
    terms = onboarding.terms_of_cells(cell_ids)
    layers = _layers(cell_ids)
    by_ruleset: dict[str, list[UUID]] = {}
    for cell_id in cell_ids:
        by_ruleset.setdefault(terms[cell_id].ruleset, []).append(cell_id)
    for name, members in by_ruleset.items():
        found = compute(members, book, universe, tick.snapshot_id, name)
        with transaction.atomic(durable=True):
            for item in found:
                _assess(tick, item, book, ruleset(name), layers.get(item.cell_id, []))


def _assess(tick: Tick, found: Assessment, book: Book, rules: Ruleset, layers: Sequence[Layer]) -> None:
    """Hand one cell's figures to margining; a requirement that moved its call is kept with what reproduces it."""
    before = _call_state(found.cell_id)
    exposure = variation.exposure_base_units(found.cell_id, tick.valuation_id)
    independent_amount = found.independent_amount_base_units
    margining.assess(
        cell_id=found.cell_id,
        valuation_id=tick.valuation_id,
        independent_amount_base_units=independent_amount,
        ruleset_hash=rules.hash,
        breakdown=found.breakdown(),
        admission=found.admission(resources_of(layers, exposure)).as_data(),
    )
    after = _call_state(found.cell_id)
    if after != before:
        RequirementRecord.objects.get_or_create(
            cell_id=found.cell_id,
            tick=tick,
            cause="margin call",
            defaults={
                "ruleset_hash": rules.hash,
                "book_hash": book.version(found.cell_id),
                "independent_amount_base_units": independent_amount,
                "breakdown": found.breakdown(),
            },
        )


def _call_state(cell_id: UUID) -> tuple[UUID, str, int] | None:
    call = calls.current(cell_id)
    return (call.id, call.state, call.amount_base_units) if call else None


def _layers(cell_ids: Sequence[UUID]) -> dict[UUID, list[Layer]]:
    found: dict[UUID, list[Layer]] = {}
    for layer in Layer.objects.filter(cell_id__in=cell_ids):
        found.setdefault(layer.cell_id, []).append(layer)
    return found
