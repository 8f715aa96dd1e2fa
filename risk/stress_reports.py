"""Stress reports: every relationship and the intermediary under the published scenarios, and how far each is from its
next call and from exhausting each layer, in the market of one tick.

A report is replaced when a newer market is measured. Everybody is put under the published list, whatever ruleset
decides on admission. Only who performs is measured: the loss of a defaulter is a fact to be determined. Bodies are
JSON: amounts in settlement base units, maps in whole dollars, moves as fractions (`Body` and `HouseBody` say more).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any
from uuid import UUID

import numpy as np
from django.db import transaction
from numpy.typing import NDArray

from intermediary import events, ledger, onboarding
from intermediary.models import AccountKind, Cell, Layer, MarginState
from intermediary.models.bulk import replace_all
from intermediary.terms import Terms
from risk import measurements
from risk.book import Book, Universe, load_book
from risk.figures import flagged, load_snapshot, matrices_for, resources_of, scenarios_for, universe_of, without
from risk.live_layers import UNIT, performing
from risk.margin.admission import Resources, ScenarioOutcome
from risk.margin.positions import Positions
from risk.margin.requirement import net_delta
from risk.margin.shocks import ShockSet
from risk.margin.stress import StressScenario, published_scenarios
from risk.market.parameters import load_parameters
from risk.models import Measurement, StressReport, Tick
from risk.period import rules_of
from risk.stress.bearing import Borne, judged_books, total, two_largest, under_scenarios
from risk.stress.distance import Means, ReverseStress
from risk.stress.exposure import DAYS, QUANTILES, crowding, future_exposure
from risk.stress.heat import MOVES, VOL_RATIOS, StressMap, stress_map

AT_ONCE, WRITTEN = 2_048, 256  # relationships measured together, and reports written in one statement of 3 MB
STRESS = Measurement.Of.STRESS
KEY = "cell_id"  # a relationship has one report

Body = dict[str, Any]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Standing:
    """One relationship as it stands: its row of the margin states, its terms, and what is behind it."""

    cell_id: UUID
    state: MarginState
    terms: Terms
    resources: Resources


@dataclass(frozen=True)
class Measured:
    """One relationship measured: its own body, and what the sums over the book need."""

    standing: Standing
    body: Body
    borne: list[Borne]
    net: Floats
    beyond: Floats
    coins: tuple[str, ...]
    delta: Floats


def renew(tick_id: UUID) -> None:
    """Measure everybody in the newest market that is done, or in that of this tick where none is newer; not twice in
    one. One transaction, so that readers see reports of one market."""
    tick = measurements.newest(tick_id)
    with transaction.atomic(durable=True):
        if not measurements.claim(STRESS, tick):
            return
        measured, summed = measure(tick), []
        while some := list(islice(measured, WRITTEN)):
            replace_all([StressReport(cell_id=one.standing.cell_id, tick=tick, body=one.body) for one in some], key=KEY)
            summed += [replace(one, body={}) for one in some]
        house = Cell.objects.filter(kind=Cell.Kind.HOUSE).values_list("id", flat=True).first()
        if house is not None:
            summed.sort(key=lambda one: one.standing.state.cell.code)
            body = house_body(summed, published_scenarios())
            replace_all([StressReport(cell_id=house, tick=tick, body=body)], key=KEY)
        events.notify(events.PAGES_CHANNEL, f"tick:{tick.id}")


def measure(tick: Tick, scenarios: Sequence[StressScenario] | None = None) -> Iterator[Measured]:
    """Every performing relationship that has a requirement under the published or these scenarios, one at a time; not
    one that holds what the market cannot value."""
    wanted = scenarios if scenarios is not None else published_scenarios()
    universe = universe_of(tick)
    by_ruleset, book = valued_by_ruleset(universe)
    for name, members in by_ruleset.items():
        snapshot = load_snapshot(tick.snapshot_id)
        matrices = under_scenarios(matrices_for(tick.snapshot_id, name, universe.instruments), snapshot, wanted)
        shocks = scenarios_for(name, snapshot.as_of.date()).shocks.of_coins(snapshot.coins)
        priced = set(without(matrices.unpriced, [one.cell_id for one in members], book, universe))
        mine = [one for one in members if one.cell_id in priced]
        reverse = ReverseStress(matrices, load_parameters().vol_response)
        for start in range(0, len(mine), AT_ONCE):
            yield from _measure(reverse, shocks, mine[start : start + AT_ONCE], book, universe)


def valued_by_ruleset(universe: Universe) -> tuple[dict[str, list[Standing]], Book]:
    """Who stands and holds nothing that this market cannot value, under the ruleset and period of each, by code; and
    the books of all who stand."""
    standings = standing_relationships()
    book = load_book([one.cell_id for one in standings])
    valued = set(universe.valued([one.cell_id for one in standings], book))
    found: dict[str, list[Standing]] = {}
    for one in standings:
        if one.cell_id in valued:
            found.setdefault(rules_of(one.terms), []).append(one)
    return found, book


def standing_relationships() -> list[Standing]:
    """Who performs and has a requirement, by code."""
    cell_ids = performing()
    states = MarginState.objects.filter(cell_id__in=cell_ids).select_related("cell").order_by("cell__code")
    terms, layers = onboarding.terms_of_cells(cell_ids), _layers(cell_ids)
    return [
        Standing(
            cell_id=state.cell_id,
            state=state,
            terms=terms[state.cell_id],
            resources=resources_of(layers.get(state.cell_id, []), state.exposure_base_units),
        )
        for state in states
    ]


def _layers(cell_ids: Sequence[UUID]) -> dict[UUID, list[Layer]]:
    found: dict[UUID, list[Layer]] = {}
    for layer in Layer.objects.filter(cell_id__in=cell_ids):
        found.setdefault(layer.cell_id, []).append(layer)
    return found


def rows_of(cell_ids: Sequence[UUID], book: Book, universe: Universe) -> tuple[Positions, Positions]:
    """Positions and margin of these relationships as rows of the matrices, in their order; marked where they do not
    net."""

    def rows(held: Mapping[UUID, Mapping[Any, Any]], row_of: Mapping[Any, int]) -> Positions:
        return Positions.from_rows(
            [sorted((row_of[key], float(units)) for key, units in held.get(cell, {}).items()) for cell in cell_ids]
        )

    positions = flagged(rows(book.positions, universe.row_of_instrument), [cell in book.gross for cell in cell_ids])
    return positions, rows(book.collateral, universe.row_of_asset)


def _measure(
    reverse: ReverseStress, shocks: ShockSet, members: Sequence[Standing], book: Book, universe: Universe
) -> Iterator[Measured]:
    """Those under one ruleset; the matrices of `reverse` hold the wanted stress list, `shocks` are the day's
    scenarios."""
    matrices = reverse.matrices
    positions, margin = rows_of([one.cell_id for one in members], book, universe)
    resources = [one.resources for one in members]
    judged = judged_books(matrices, positions, margin, resources)
    borne = [[part for _, part in rows] for rows in judged]
    exposure, layers = (np.array([getattr(one, name) / UNIT for one in resources]) for name in ("exposure", "layers"))
    heat = stress_map(matrices, positions, margin, exposure, layers)
    future, delta = future_exposure(matrices, positions, exposure, shocks), net_delta(positions, matrices)
    distances = reverse.distances(positions, margin, [means_of(one, universe) for one in members])
    for row, one in enumerate(members):
        body = {
            "rows": [_row(item, part) for item, part in zip(matrices.ruleset.stress, borne[row], strict=True)],
            "worst": _worst(judged[row]),
            "distances": [vars(axis) for axis in distances[row]],
            "heat": _heat(heat, row),
            "exposure": _future(future[row], one),
            "layers": {name: getattr(one.resources, name) for name in ("first_loss", "tail", "senior_retention")},
        }
        yield Measured(one, body, borne[row], heat.net[row], heat.beyond[row], matrices.table.coins, delta[row])


def means_of(one: Standing, universe: Universe) -> Means:
    """What the distances are measured against, in dollars."""
    counted = np.zeros(len(universe.instruments))
    for asset, row in universe.row_of_asset.items():
        counted[row] = 1.0 - one.terms.haircut_of(asset) / 10_000.0
    state, behind = one.state, one.resources
    return Means(
        exposure=state.exposure_base_units / UNIT,
        independent=state.independent_amount_base_units / UNIT,
        unsecured=state.threshold_base_units / UNIT,
        held_now=state.held_base_units / UNIT,
        smallest_call=one.terms.minimum_transfer_base_units / UNIT,
        layers=(behind.first_loss / UNIT, behind.tail / UNIT, behind.senior_retention / UNIT),
        counted=counted,
    )


def house_body(measured: Sequence[Measured], scenarios: Sequence[StressScenario]) -> Body:
    """The intermediary: sums over relationships that bear alone, the two largest at once, and the float."""
    rows = []
    for number, scenario in enumerate(scenarios):
        parts = [one.borne[number] for one in measured]
        short = sum(1 for part in parts if part.net_loss)
        rows.append(_row(scenario, total(parts)) | {"short": short})
    largest = two_largest([one.borne for one in measured])
    if largest is not None:
        codes = [measured[account].standing.state.cell.code for account in largest.accounts]
        in_title = scenarios[largest.scenario].title
        rows.append(
            {"name": "two_largest", "title": f"The two largest default at once: {in_title}", "codes": codes}
            | asdict(largest.borne)
            | {"net_loss": largest.borne.net_loss, "short": len(codes)}
        )
    funded = [one.standing.resources for one in measured]
    return {
        "rows": rows,
        "float": ledger.total([AccountKind.FLOAT], ledger.settlement_asset().code),
        "retentions": sum(one.first_loss + one.senior_retention for one in funded),
        "tail": sum(one.tail for one in funded),
        "relationships": len(measured),
        "crowding": _crowding(measured),
        "heat": _heat(StressMap(*(_summed([getattr(one, name) for one in measured]) for name in ("net", "beyond"))), 0),
    }


def _summed(maps: Sequence[Floats]) -> Floats:
    found: Floats = np.zeros((1, len(VOL_RATIOS), len(MOVES)))
    return found + sum(maps, start=np.zeros(()))


def _crowding(measured: Sequence[Measured]) -> list[Body]:
    """One-sidedness of each coin over everybody, whole dollars, the largest holders by code."""
    if not measured:
        return []
    found = crowding(measured[0].coins, np.stack([one.delta for one in measured]))
    codes = [one.standing.state.cell.code for one in measured]
    return [
        asdict(one)
        | {"long": round(one.long), "short": round(one.short), "largest": [codes[row] for row in one.largest]}
        for one in found
    ]


def _future(quantiles: Floats, one: Standing) -> Body:
    """The fan of one relationship, whole dollars, and the lines that it must stay under."""
    held, layers = one.state.held_base_units, one.resources.layers
    return {
        "now": round(max(one.resources.exposure, 0) / UNIT),
        "days": list(DAYS),
        "quantiles": list(QUANTILES),
        "owed": np.round(quantiles).astype(int).tolist(),
        "margin": round(held / UNIT),
        "limit": round((held + layers) / UNIT),
    }


def _worst(judged: Sequence[tuple[ScenarioOutcome, Borne]]) -> Body:
    """The scenario that leaves most after margin, of equals the one that costs most, by what it is made of: the loss of
    the positions alone, the cost of the close-out, and what the margin is then worth."""
    outcome, _ = max(judged, key=lambda one: (one[1].net_loss, one[1].gross))
    return {
        "title": outcome.title,
        "position_loss": outcome.position_loss,
        "close_out_cost": outcome.close_out_cost,
        "margin_value": outcome.collateral_value,
    }


def _row(scenario: StressScenario, part: Borne) -> Body:
    return {"name": scenario.name, "title": scenario.title, "net_loss": part.net_loss} | vars(part)


def _heat(found: StressMap, row: int) -> Body:
    return {
        "moves": list(MOVES),
        "vols": list(VOL_RATIOS),
        "net": np.round(found.net[row]).astype(int).tolist(),
        "beyond": np.round(found.beyond[row]).astype(int).tolist(),
    }
