"""Ports bound to their implementations: reads in every process, the admission test where risk may be taken on."""

from collections.abc import Mapping
from typing import Any

from intermediary import ports


def bind_reads() -> None:
    """What pages of the intermediary show of the engine's results and of notes, and what it asks of settlement; loads
    no numeric library."""
    from bonds.portal.tail_cost import tail_costs
    from risk.queries import layer_risks, mark_doubts, model_haircuts, own_refusal, uncovered_risk
    from risk.stress_queries import stress_report
    from risk.unsure import unsure_marks
    from settlement.shown import cures_of
    from settlement.signed import signed_claims

    ports.bind_uncovered_risk(uncovered_risk)
    ports.bind_layer_risks(layer_risks)
    ports.bind_model_haircuts(model_haircuts)
    ports.bind_mark_doubts(mark_doubts)
    ports.bind_own_refusal(own_refusal)
    ports.bind_unsure_marks(unsure_marks)
    ports.bind_stress_report(stress_report)
    ports.bind_tail_costs(tail_costs)
    ports.bind_signed_claims(signed_claims)
    ports.bind_cures_on_chain(cures_of)
    ports.bind_sale_rule(_refuse_against_the_books)


def _refuse_against_the_books(act: str, body: Mapping[str, Any]) -> None:
    from intermediary.config import note_acts  # which few processes need

    note_acts.refuse_against_the_books(act, body)


def bind_risk() -> None:
    """Loads the numeric stack: risk workers only."""
    from risk.gate import EngineGate

    ports.bind_risk_gate(EngineGate())
