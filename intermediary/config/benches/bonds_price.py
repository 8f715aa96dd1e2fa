"""How long a note takes from its expected losses to its price and yields."""

import statistics
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial

from bonds.loss.note_risk import Piece, outstanding_at
from bonds.pricing.measures import OFFICIAL, PhysicalMeasure
from bonds.pricing.notes import NoteTerms, outstanding_curve, value_note
from intermediary.config.benches import Figure, bonds_models
from intermediary.ids import uuid7
from risk.market.curve import DiscountCurve

RUNS = 200
COUPON, RATE = 0.11, 0.04


def figures(say: Callable[[str], object]) -> dict[str, Figure]:
    """`price_yield_ms`."""
    say("prices")
    return {
        "price_yield_ms": Figure(
            price_ms(),
            "ms",
            f"from a loss model to clean price, yields and z-spread, three years quarterly; median of {RUNS}",
        )
    }


def price_ms() -> float:
    """Milliseconds from a loss model, past the discount curve, to every figure of the price."""
    model = bonds_models.loss_models(1)[0]
    attach, detach = bonds_models.layers(model)[1]
    issue = bonds_models.market().as_of.date()
    terms = NoteTerms(issue, issue + timedelta(days=3 * 365), COUPON)
    last = issue + timedelta(days=4 * 365)
    discount = DiscountCurve(issue, (issue, last), (1.0, (1 + RATE) ** -4))
    took = []
    for _ in range(RUNS):
        started = time.perf_counter()
        pieces = [Piece(uuid7(), detach - attach, attach, detach, model)]
        priced, physical = (
            outstanding_curve(terms, issue, partial(outstanding_at, pieces, measure))
            for measure in (OFFICIAL, PhysicalMeasure())
        )
        value_note(terms, issue, discount, priced, physical)
        took.append(1e3 * (time.perf_counter() - started))
    return statistics.median(took)
