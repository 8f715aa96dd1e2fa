"""How much a class may lose beyond its mean, for a term sheet: value at risk, expected shortfall, dependence, years.

The loss model is `bonds.loss`'s, under P; here its figures of one class become a JSON value, as shares of outstanding
principal. The official figures let slices default independently given distress; a Student dependence, under which they
default together more often, is a stated variant beside them and prices nothing. Pure but for the types it reads.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np

from bonds.loss.distribution import note_distribution
from bonds.loss.note_risk import Piece, outstanding_at
from bonds.pricing.measures import PhysicalMeasure
from risk.market.curve import years_between

LEVELS = (0.99, 0.995)  # of confidence: the usual one of banks, and that of insurers under Solvency II
STUDENT_DEGREES = 5.0  # few enough to bite: the tail of the published Wang transform has as many
YEARS = (1.0, 2.0, 3.0)  # a longer term is told by its end


def class_loss(pieces: Sequence[Piece], as_of: date, maturity: date) -> dict[str, Any] | None:
    """`term_years` and over it `tail`: [{level, value_at_risk, expected_shortfall}]; `student`: expected loss and PLL
    of the coming year with `degrees`; `by_years`: [[years, expected loss until then]], empty in the last year. None
    once the class has matured or has no principal."""
    if as_of >= maturity or not sum(piece.principal for piece in pieces):
        return None
    term = years_between(as_of, maturity)
    over_term = note_distribution(pieces, horizon_years=term)
    mixed = note_distribution(pieces, STUDENT_DEGREES)
    return {
        "term_years": round(term, 4),
        "tail": [
            {
                "level": level,
                "value_at_risk": _short(over_term.value_at_risk(level) / over_term.principal),
                "expected_shortfall": _short(over_term.expected_shortfall(level) / over_term.principal),
            }
            for level in LEVELS
        ],
        "student": {
            "degrees": STUDENT_DEGREES,
            "expected_loss": _short(mixed.expected_loss),
            "last_loss": _short(mixed.pll),
        },
        "by_years": _by_years(pieces, term),
    }


def _by_years(pieces: Sequence[Piece], term: float) -> list[list[float]]:
    if term <= YEARS[0]:
        return []
    ends = [*(years for years in YEARS if years < term), round(term, 2)]
    left = outstanding_at(pieces, PhysicalMeasure(), np.array([*ends[:-1], term]))
    return [[years, _short(1.0 - share)] for years, share in zip(ends, map(float, left), strict=True)]


def _short(share: float) -> float:
    """Four digits: more than a sheet shows."""
    return float(f"{share:.4g}")
