"""What a drafted series would be like at the last official valuation: a line a class, for the officers' page and for
the proposal that a second one approves. Rates are decimal strings, since a proposal's body has one text."""

from typing import Any

from bonds.loss.note_risk import note_risk
from bonds.marking import rulesets
from bonds.marking.subject import SubjectClass, last_tick, of_terms
from bonds.marking.valuation import par_spread_bps
from bonds.offering.terms import SeriesTerms


def figures(terms: SeriesTerms) -> dict[str, Any]:
    """EL, PFL, PLL, CEL and par spread of each class, junior first. Refused without a valuation or figures in it."""
    tick = last_tick()
    subject = of_terms(terms, tick)
    return {
        "as_of": tick.valuation.as_of.isoformat(),
        "valuation": str(tick.valuation_id),
        "measure": rulesets.in_force().measure_name(subject.market.as_of),
        "classes": [
            _line(one) | {"par_spread_bps": par_spread_bps(subject.series, one.tranche, subject.market, one.pieces)}
            for one in subject.classes
        ],
    }


def _line(one: SubjectClass) -> dict[str, Any]:
    risk = note_risk(one.pieces)
    conditional = risk.expected_loss / risk.pfl if risk.pfl else 0.0
    return {
        "name": one.tranche.name,
        "symbol": one.tranche.symbol,
        "face_base_units": one.tranche.original_base_units,
        "retained_base_units": sum(
            part.detach_base_units - part.attach_base_units - part.principal_base_units for part in one.parts
        ),
        "expected_loss": f"{risk.expected_loss:.8f}",
        "first_loss": f"{risk.pfl:.8f}",
        "last_loss": f"{risk.pll:.8f}",
        "conditional_loss": f"{conditional:.6f}",
    }
