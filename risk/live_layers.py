"""Live risk of every performing relationship over the coming year: of each of its layers, and of what lies beyond
them all (UNCOVERED, D1), from the engine's own scenario losses, the margin it holds and the desk's default intensity.

A relationship in default is not measured: its loss is a fact to be determined, no probability. The measures rest on
the scenarios of the ruleset with the tail fitted to them and on the intensity that officers put into the credit line;
they do not know a failure of the intermediary itself, of a venue or of the settlement coin beyond those scenarios.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from uuid import UUID

from django.db import transaction

from intermediary import events, onboarding
from intermediary.models import Cell, CreditLine, DefaultCase, Layer, MarginState
from intermediary.models.bulk import replace_all
from intermediary.money import requirement_from_float
from risk import measurements
from risk.book import load_book
from risk.engine import SETTLEMENT_DECIMALS, Assessment, compute, resources_of, universe_of
from risk.figures import matrices_for, without
from risk.margin.layers import LayerMeasures, LossBeyond, LossModel, live_loss_model, live_measures
from risk.margin.ruleset import ruleset
from risk.models import LayerRisk, Measurement, Tick, UncoveredRisk
from risk.period import rules_of

LAYERS = Measurement.Of.LAYERS
HORIZON_YEARS = 1.0
AT_ONCE = 1_024  # relationships whose requirements are in memory at once
UNIT = 10**SETTLEMENT_DECIMALS


def renew(tick_id: UUID) -> None:
    """Measure the layers of every relationship, and what lies beyond them, in the newest market that is done, or in
    that of this tick where none is newer; not twice in one.

    One transaction, so that readers see the measures of one market.
    """
    tick = measurements.newest(tick_id)
    if measurements.reached(LAYERS, tick.id):
        return
    cell_ids = performing()
    lines = {line.cell_id: line for line in CreditLine.objects.filter(state=CreditLine.State.ACTIVE)}
    layers = _layers(cell_ids)
    of_layers, beyond = _measured(tick, _models(tick, cell_ids, lines), layers)
    with transaction.atomic(durable=True):
        if not measurements.claim(LAYERS, tick):
            return
        replace_all(of_layers, key="layer_id")
        replace_all(beyond, key="cell_id")
        events.notify_pages_of(cell_ids)


def model_of(found: Assessment, line: CreditLine, ruleset_name: str, exposure_base_units: int) -> LossModel | None:
    """`loss_model`; None where nothing is owed and positions lose in no scenario: of an empty book, whatever its margin
    does."""
    # Payments leave less than a base unit, which is rounded up.
    if exposure_base_units <= 1 and not found.batch.may_lose(found.index):
        return None
    return loss_model(found, line, ruleset_name, exposure_base_units)


def loss_model(found: Assessment, line: CreditLine, ruleset_name: str, exposure_base_units: int) -> LossModel:
    """The loss model, in dollars, of a relationship whose client owes this much unpaid exposure."""
    return live_loss_model(
        found.batch.scenario_losses(found.index),
        hazard_annual=float(line.default_intensity_annual),
        margin_usd=float(found.batch.collateral_value[found.index]) - exposure_base_units / UNIT,
        ruleset=ruleset(ruleset_name),
        cost_usd=float(found.batch.liquidity[found.index]),
    )


def performing() -> list[UUID]:
    """Open relationships without a live default, with signed terms to compute by."""
    live = DefaultCase.objects.exclude(state__in=[DefaultCase.State.CURED, DefaultCase.State.CLOSED])
    cells = Cell.objects.filter(kind=Cell.Kind.CLIENT, state__in=[Cell.State.OPEN, Cell.State.NO_NEW_RISK])
    signed = cells.filter(terms_versions__isnull=False).exclude(id__in=live.values("cell"))
    return list(signed.distinct().order_by("id").values_list("id", flat=True))


def _models(
    tick: Tick, cell_ids: Sequence[UUID], lines: Mapping[UUID, CreditLine]
) -> Iterator[tuple[UUID, LossModel | None]]:
    """Each relationship's loss model, one at a time, because each holds all of its scenarios; without a line at the
    intensity that a line has by default. None for a book that loses in no scenario and owes no more than its margin,
    such as an empty one. Who holds what the market cannot value is left out, and keeps the measures of the market
    before."""
    universe, book = universe_of(tick), load_book(cell_ids)
    exposures = dict(MarginState.objects.filter(cell_id__in=cell_ids).values_list("cell_id", "exposure_base_units"))
    rules = {cell_id: rules_of(terms) for cell_id, terms in onboarding.terms_of_cells(cell_ids).items()}
    for name in sorted(set(rules.values())):
        unpriced = matrices_for(tick.snapshot_id, name, universe.instruments).unpriced
        valued = without(unpriced, universe.valued(cell_ids, book), book, universe)
        mine = [cell_id for cell_id in valued if rules[cell_id] == name]
        for start in range(0, len(mine), AT_ONCE):
            for found in compute(mine[start : start + AT_ONCE], book, universe, tick.snapshot_id, name):
                line = lines.get(found.cell_id) or CreditLine()
                yield found.cell_id, model_of(found, line, name, exposures.get(found.cell_id, 0))


def _layers(cell_ids: Sequence[UUID]) -> dict[UUID, list[Layer]]:
    found: dict[UUID, list[Layer]] = {cell_id: [] for cell_id in cell_ids}
    for layer in Layer.objects.filter(cell_id__in=cell_ids):
        found[layer.cell_id].append(layer)
    return found


def _measured(
    tick: Tick, models: Iterable[tuple[UUID, LossModel | None]], layers: Mapping[UUID, Sequence[Layer]]
) -> tuple[list[LayerRisk], list[UncoveredRisk]]:
    """Rows to keep. What is beyond the money that lies there is UNCOVERED: a layer that is not funded, or that a loss
    has used, cannot pay."""
    of_layers: list[LayerRisk] = []
    beyond: list[UncoveredRisk] = []
    for cell_id, model in models:
        layers_base_units = resources_of(layers[cell_id], 0).layers
        edges = [(layer.attach_base_units / UNIT, layer.detach_base_units / UNIT) for layer in layers[cell_id]]
        found, rest = [LayerMeasures(0.0, 0.0, 0.0)] * len(edges), LossBeyond(0.0, 0.0)
        if model:
            found, rest = live_measures(model, edges, layers_base_units / UNIT, HORIZON_YEARS)
        of_layers += [
            LayerRisk(
                cell_id=cell_id,
                layer=layer,
                tick=tick,
                expected_loss=one.el,
                probability_first_loss=one.pfl,
                probability_last_loss=one.pll,
            )
            for layer, one in zip(layers[cell_id], found, strict=True)
        ]
        beyond.append(
            UncoveredRisk(
                cell_id=cell_id,
                tick=tick,
                layers_base_units=layers_base_units,
                probability=rest.probability,
                expected_base_units=requirement_from_float(rest.expected, SETTLEMENT_DECIMALS),
            )
        )
    return of_layers, beyond
