"""Relationships weighed at commit time: their books, with trades that are only considered, against their means.

Read once and computed once: the verdict of the gate and the figures of a what-if come out of one batch of the tick's
own code, so they cannot differ. One message to the database, in a market and with books that the process keeps.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Any
from uuid import UUID

from django.db import connection

from intermediary import books, claims, clock, margining, onboarding, readings, variation
from intermediary.allowance import ACTIVE_LINES, Allowance, allowances_of
from intermediary.collateral import COUNTED, counted_of, eligible, value_of_holdings
from intermediary.models import Layer
from intermediary.ports import AdmissionResult, PlannedTrade
from intermediary.terms import Terms
from risk.figures import SETTLEMENT_DECIMALS, Assessment, Rows, compute_batch, resources_of
from risk.margin.admission import AdmissionDecision, AdmissionRow, Resources
from risk.official import NEWEST_TICK, OfficialMarket, market_of_tick, read_again
from risk.period import rules_of


@dataclass(frozen=True)
class Relationship:
    """What a verdict depends on beside the market: signed terms, open positions, margin that counts by token (base
    units), layers in the order of loss, what its active credit line allows, if it has one, whether its positions do not
    net (`is_gross`), and the coins that are its own or an affiliate's."""

    cell_id: UUID
    terms: Terms
    held: books.HeldBook
    margin: Mapping[str, int]
    layers: Sequence[Layer]
    allowance: Allowance | None
    is_gross: bool = False
    own_coins: frozenset[str] = frozenset()

    @property
    def threshold_base_units(self) -> int:
        """Unsecured exposure allowed now."""
        return self.allowance.threshold_base_units if self.allowance else 0


@dataclass(frozen=True)
class Standing:
    """Relationships as they were read, at which platform time, and the newest tick then, None before the first.
    `further`: the rows of what the caller asked to be read along."""

    now: datetime
    newest_tick: UUID | None
    relationships: Mapping[UUID, Relationship]
    further: Sequence[list[Any]] = ()

    def market(self) -> OfficialMarket:
        """The last official market, read again where something was listed since and is held already. Refuses
        `no_official_valuation`."""
        found = market_of_tick(self.newest_tick)
        known = all(found.knows(one.held, one.margin) for one in self.relationships.values())
        return found if known else read_again(found)


@dataclass(frozen=True)
class Asked:
    """A relationship and the trades that it would make."""

    relationship: Relationship
    trades: Sequence[PlannedTrade] = ()


@dataclass(frozen=True)
class Weighed:
    """The figures of one relationship with its trades booked; base units. What a price off the mark costs is owed from
    the trade on, so it counts in exposure and with it in everything else."""

    relationship: Relationship
    market: OfficialMarket
    found: Assessment
    exposure: int

    @cached_property
    def resources(self) -> Resources:
        """What stands behind it beyond its margin."""
        return resources_of(self.relationship.layers, self.exposure)

    @cached_property
    def decision(self) -> AdmissionDecision:
        """The admission test (D2)."""
        return self.found.admission(self.resources)

    @cached_property
    def independent(self) -> int:
        """The independent amount."""
        return self.found.independent_amount_base_units

    @cached_property
    def required(self) -> int:
        """What it would have to hold."""
        return margining.required_for(self.exposure, self.independent, self.relationship.threshold_base_units)

    @cached_property
    def held(self) -> int:
        """What its margin counts for, after haircut."""
        one, market = self.relationship, self.market
        return value_of_holdings(one.margin, market.tick.valuation, one.terms, market.assets)

    def verdict(self) -> AdmissionResult:
        """Whether the trades may be made: stressed loss inside the means, and margin for the new book now."""
        judged = result_of(self.decision)
        if self.required <= self.held:
            return judged
        missing = {"required_after": self.required, "held": self.held, "missing_margin": self.required - self.held}
        return AdmissionResult(
            passed=False,
            stressed_loss_base_units=judged.stressed_loss_base_units,
            resources_base_units=judged.resources_base_units,
            binding_scenario="margin headroom",
            data=judged.data | {"passed": False} | missing,
        )

    def as_state(self) -> dict[str, Any]:
        """The figures under the names that a margin state has."""
        return {
            "exposure_base_units": self.exposure,
            "independent_amount_base_units": self.independent,
            "threshold_base_units": self.relationship.threshold_base_units,
            "required_base_units": self.required,
            "held_base_units": self.held,
            "breakdown": self.found.breakdown(),
            "admission": self.decision.as_data(),
        }


def read(cell_ids: Collection[UUID], further: Sequence[str] = ()) -> Standing:
    """These relationships as they stand, and `further` readings about them. Refuses `no_terms`."""
    now, ticks, terms, names, margin, lines, layers, without, own, *along = readings.of(cell_ids, *_READINGS, *further)
    signed = onboarding.terms_of(terms)
    held = books.read_named(cell_ids, {cell_id: (held, settled) for cell_id, held, settled in names})
    counting, allowed, standing = counted_of(margin), allowances_of(lines, now[0][0]), _layers_of(layers)
    gross = {cell_id for (cell_id,) in without}
    relationships = {
        cell_id: Relationship(
            cell_id=cell_id,
            terms=signed.get(cell_id) or onboarding.current_terms(cell_id),
            held=held[cell_id],
            margin=eligible(counting.get(cell_id, {}), signed[cell_id]),
            layers=standing.get(cell_id, []),
            allowance=allowed.get(cell_id),
            is_gross=cell_id in gross,
            own_coins=frozenset(coin for of_cell, coin in own if of_cell == cell_id),
        )
        for cell_id in cell_ids
    }
    return Standing(now[0][0], ticks[0][0] if ticks else None, relationships, along)


def weigh(asked: Sequence[Asked], market: OfficialMarket, under: str | None = None) -> list[Weighed]:
    """The figures of each in this order, by the ruleset of its terms or `under` another one, one batch a ruleset.

    Refuses `mark_missing` and `instrument_not_valued` for what is held and the market cannot value.
    """
    exposures = [_exposure(one, market) for one in asked]
    found: dict[int, Assessment] = {}
    for name, members in _by_ruleset(asked, under).items():
        found |= _computed(members, market, name)
    return [Weighed(one.relationship, market, found[place], exposures[place]) for place, one in enumerate(asked)]


def coins_of(asked: Asked, market: OfficialMarket) -> set[str]:
    """The underlyings of what is held or would be traded."""
    universe = market.universe
    rows = [*market.row_of(asked.relationship.held)]
    rows += [universe.row_of_instrument[trade.instrument_id] for trade in asked.trades]
    return {universe.instruments[row].underlying for row in rows}


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


def _exposure(asked: Asked, market: OfficialMarket) -> int:
    """What is owed once the trades are booked, rounded up: exposure now plus quantity x (price - mark), in one sum or,
    without a netting opinion, of each instrument by itself."""
    one, valuation_id = asked.relationship, market.tick.valuation_id
    owed = books.owed(one.held, valuation_id)
    if owed is None:
        variation.refuse_unmarked(one.cell_id, valuation_id)
    off_mark: dict[UUID, int] = {}
    for trade in asked.trades:
        off = books.whole(trade.price) - books.whole(market.marks[trade.instrument_id])
        off_mark[trade.instrument_id] = off_mark.get(trade.instrument_id, 0) + books.whole(trade.quantity) * off
    if one.is_gross:
        due = claims.gross_after(claims.owed_by_instrument([one.cell_id], valuation_id)[one.cell_id], off_mark)
    else:
        due = owed + sum(off_mark.values())
    return books.base_units_up(due, SETTLEMENT_DECIMALS)


def _computed(members: Mapping[int, Asked], market: OfficialMarket, ruleset_name: str) -> dict[int, Assessment]:
    """By place. Keys are places, since a relationship may be asked about both with and without trades."""
    keys = {place: UUID(int=place) for place in members}
    positions = {keys[place]: _rows(one, market) for place, one in members.items()}
    margin = {keys[place]: market.margin_rows(one.relationship.margin) for place, one in members.items()}
    gross = {keys[place] for place, one in members.items() if one.relationship.is_gross}
    batch = compute_batch(list(keys.values()), positions, margin, market.matrices(ruleset_name), gross)
    return {
        place: Assessment(one.relationship.cell_id, batch, index) for index, (place, one) in enumerate(members.items())
    }


def _rows(asked: Asked, market: OfficialMarket) -> Rows:
    """The book with its trades as rows of the matrices and quantities. A quotient of ints is rounded to the nearest
    float, as it is in the books of a tick."""
    held = asked.relationship.held
    units = dict(zip(market.row_of(held), held.quantities, strict=True))
    for trade in asked.trades:
        row = market.universe.row_of_instrument[trade.instrument_id]
        units[row] = units.get(row, 0) + books.whole(trade.quantity)
    open_rows = [row for row, quantity in units.items() if quantity]
    return open_rows, [units[row] / books.ONE for row in open_rows]


def _by_ruleset(asked: Sequence[Asked], under: str | None) -> dict[str, dict[int, Asked]]:
    found: dict[str, dict[int, Asked]] = {}
    for place, one in enumerate(asked):
        found.setdefault(rules_of(one.relationship.terms, under), {})[place] = one
    return found


def _layers_of(rows: Iterable[Any]) -> dict[UUID, list[Layer]]:
    """Of the rows of `_LAYERS`; what else a layer is, it reads when asked."""
    found: dict[UUID, list[Layer]] = {}
    for cell_id, *of_row in rows:
        values = [int(value) if isinstance(value, Decimal) else value for value in of_row]
        found.setdefault(cell_id, []).append(Layer.from_db(connection.alias, _LAYER_COLUMNS, values))
    return found


_LAYER_COLUMNS = ("id", "kind", "attach_base_units", "detach_base_units", "slice_id", "funded", "loss_base_units")
_LAYERS = f"""
    SELECT cell_id, {", ".join(_LAYER_COLUMNS)} FROM intermediary_layer
    WHERE cell_id = ANY(%s) ORDER BY attach_base_units"""  # noqa: S608  # names of columns
_READINGS = (
    clock.NOW, NEWEST_TICK, onboarding.NEWEST_TERMS, books.NAMES, COUNTED, ACTIVE_LINES, _LAYERS,
    onboarding.WITHOUT_NETTING, onboarding.OWN_COINS,
)  # fmt: skip
