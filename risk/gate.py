"""The engine's answer at commit time: the admission test (D2) on a book that is only being considered.

Bound to `intermediary.ports.RiskGate` by the composition root. It runs the same code as the tick, on the last official
snapshot, so a trade that passes here is computed the same way a minute later.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from intermediary import margining, onboarding, variation
from intermediary.errors import Refusal
from intermediary.models import Layer
from intermediary.ports import AdmissionResult, LayerSizes
from risk.book import load_book, load_universe
from risk.engine import Assessment, compute, resources_of
from risk.margin.admission import AdmissionDecision, AdmissionRow, Resources
from risk.models import Tick


class EngineGate:
    """`ports.RiskGate` by the margin engine. `under` judges by another ruleset than the signed one: what if."""

    def __init__(self, under: str | None = None) -> None:
        self._under = under

    def _ruleset_of(self, cell_id: UUID) -> str:
        return self._under or onboarding.current_terms(cell_id).ruleset

    def check_trades(self, changes: Mapping[UUID, Sequence[tuple[UUID, Decimal]]]) -> dict[UUID, AdmissionResult]:
        """Every cell's verdict with its changes booked: stressed loss inside its means, and margin for the new book."""
        tick = latest_tick()
        book = load_book(list(changes))
        for cell_id, rows in changes.items():
            book.with_changes(cell_id, rows)
        universe = load_universe()
        verdicts = {}
        for cell_id in changes:
            name = self._ruleset_of(cell_id)
            found = compute([cell_id], book, universe, tick.snapshot_id, name)[0]
            exposure = variation.exposure_base_units(cell_id, tick.valuation_id)
            resources = resources_of(list(Layer.objects.filter(cell_id=cell_id)), exposure)
            verdict = result_of(found.admission(resources))
            verdicts[cell_id] = _with_headroom(verdict, found, tick)
        return verdicts

    def check_line(self, cell_id: UUID, threshold_base_units: int, layers: LayerSizes) -> AdmissionResult:
        """The verdict on the present book if these layers stood behind it.

        The threshold frees margin, so what the client may take out counts as gone: of its margin only what the new
        requirement would still hold is counted.
        """
        tick = latest_tick()
        universe, book = load_universe(), load_book([cell_id])
        name = self._ruleset_of(cell_id)
        found = compute([cell_id], book, universe, tick.snapshot_id, name)[0]
        resources = Resources(
            first_loss=layers.first_loss_base_units,
            tail=layers.tail_base_units,
            senior_retention=layers.senior_base_units,
            exposure=variation.exposure_base_units(cell_id, tick.valuation_id),
        )
        return result_of(found.admission(resources))


def latest_tick() -> Tick:
    """The last official valuation. Refuses new risk when there is none (M6)."""
    tick = Tick.objects.select_related("valuation").first()
    if tick is None:
        raise Refusal("no_official_valuation", "There is no official valuation yet: no new risk can be judged.")
    return tick


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


def _with_headroom(verdict: AdmissionResult, found: Assessment, tick: Tick) -> AdmissionResult:
    """A trade also needs its margin now: required after the trade against what is held."""
    required = margining.required_with(found.cell_id, found.independent_amount_base_units, tick.valuation_id)
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
