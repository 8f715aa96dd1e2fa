"""Live risk of every layer: expected loss and attachment probability over the coming year, from the engine's own
scenario losses of the relationship, its held margin and the desk's default intensity.
"""

from uuid import UUID

from django.db import transaction

from intermediary import events, onboarding
from intermediary.models import Cell, CreditLine, Layer, MarginState
from risk.book import load_book, load_universe
from risk.engine import SETTLEMENT_DECIMALS, Assessment, compute
from risk.margin.layers import LossModel, layer_measures, live_loss_model
from risk.margin.ruleset import ruleset
from risk.models import LayerRisk, Tick

HORIZON_YEARS = 1.0


def renew(tick_id: UUID) -> None:
    """Measure the layers of every relationship in the market of this tick."""
    tick = Tick.objects.get(id=tick_id)
    lines = {line.cell_id: line for line in CreditLine.objects.filter(state=CreditLine.State.ACTIVE)}
    cell_ids = [cell for cell in lines if Cell.objects.filter(id=cell, state__in=["OPEN", "NO_NEW_RISK"]).exists()]
    universe, book = load_universe(), load_book(cell_ids)
    terms = onboarding.terms_of_cells(cell_ids)
    for cell_id in cell_ids:
        found = compute([cell_id], book, universe, tick.snapshot_id, terms[cell_id].ruleset)[0]
        _measure(tick, found, lines[cell_id], terms[cell_id].ruleset)


def loss_model(found: Assessment, line: CreditLine, ruleset_name: str, exposure_base_units: int) -> LossModel:
    """The loss model, in dollars, of a relationship whose client owes this much unpaid exposure."""
    return live_loss_model(
        found.batch.scenario_losses(found.index),
        hazard_annual=float(line.default_intensity_annual),
        margin_usd=float(found.batch.collateral_value[found.index]) - exposure_base_units / 10**SETTLEMENT_DECIMALS,
        ruleset=ruleset(ruleset_name),
        cost_usd=float(found.batch.liquidity[found.index]),
    )


def _measure(tick: Tick, found: Assessment, line: CreditLine, ruleset_name: str) -> None:
    state = MarginState.objects.filter(cell_id=found.cell_id).first()
    exposure = state.exposure_base_units if state else 0
    unit = 10**SETTLEMENT_DECIMALS
    model = loss_model(found, line, ruleset_name, exposure)
    with transaction.atomic(durable=True):
        for layer in Layer.objects.filter(cell_id=found.cell_id):
            measures = layer_measures(
                model, layer.attach_base_units / unit, layer.detach_base_units / unit, HORIZON_YEARS
            )
            LayerRisk.objects.update_or_create(
                layer=layer,
                defaults={
                    "cell_id": found.cell_id,
                    "tick": tick,
                    "expected_loss": measures.el,
                    "probability_first_loss": measures.pfl,
                    "probability_last_loss": measures.pll,
                },
            )
        events.notify(events.PAGES_CHANNEL, f"cell:{found.cell_id}")
