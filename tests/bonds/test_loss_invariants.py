"""B7 over random relationships: the order of a layer's measures, how layers add up, and which way a price moves.

Models are as the engine makes them: scenario losses of a random size and tail, margin and intensity.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bonds.loss.note_risk import Piece, note_risk, outstanding_at
from bonds.pricing.measures import OFFICIAL, PricingMeasure, WangTransform
from bonds.pricing.notes import NoteTerms, clean_price, outstanding_curve
from risk.margin.layers import LossModel, layer_measures, live_loss_model, shortfall_survival, term_structure
from risk.margin.ruleset import ruleset
from risk.market.curve import DiscountCurve

ISSUE = date(2025, 10, 6)
TERMS = NoteTerms(ISSUE, date(2026, 10, 6), 0.10)
END = ISSUE + timedelta(days=500)
NOISE = 1e-3  # of a figure: what two quadratures over a severity with a kink at every scenario differ by
shares = st.floats(0.02, 1.0)


@st.composite
def models(draw: st.DrawFn) -> LossModel:
    generator = np.random.default_rng(draw(st.integers(0, 10_000)))
    losses = generator.standard_t(draw(st.sampled_from([3, 5, 20])), 2_000) * 1e6
    return live_loss_model(
        losses,
        hazard_annual=draw(st.floats(0.005, 0.3)),
        margin_usd=draw(st.floats(2e5, 4e6)),
        ruleset=ruleset("standard"),
        cost_usd=draw(st.sampled_from([0.0, 5e4])),
    )


@st.composite
def edges(draw: st.DrawFn) -> tuple[float, float, float]:
    """Two layers end to end, dollars."""
    attach = draw(st.floats(0.0, 3e6))
    middle = attach + draw(shares) * 2e6
    return attach, middle, middle + draw(shares) * 2e6


def piece(model: LossModel, attach: float, detach: float, number: int = 1) -> Piece:
    return Piece(UUID(int=number), detach - attach, attach, detach, model)


def price(measure: PricingMeasure, model: LossModel, attach: float, detach: float, *, spread: float = 0.0) -> float:
    """Clean, a year before maturity, at 4% and a spread over it."""
    discount = DiscountCurve(ISSUE, (ISSUE, END), (1.0, float(np.exp(-(0.04 + spread) * 500 / 365))))
    at = partial(outstanding_at, [piece(model, attach, detach)], measure)
    return clean_price(TERMS, ISSUE, discount, outstanding_curve(TERMS, ISSUE, at))


@settings(deadline=None, max_examples=40)
@given(models(), edges())
def test_last_loss_is_no_likelier_than_the_mean_and_that_than_a_first(
    model: LossModel, layer: tuple[float, float, float]
) -> None:
    attach, middle, detach = layer
    for found in (note_risk([piece(model, attach, middle)]), note_risk([piece(model, middle, detach)])):
        assert 0.0 <= found.pll <= found.expected_loss <= found.pfl <= 1.0
    both = note_risk([piece(model, attach, middle), piece(replace(model, rho=0.1), attach, middle, 2)])
    assert both.pll <= both.expected_loss * (1 + NOISE)
    assert both.expected_loss <= both.pfl * (1 + NOISE)


@settings(deadline=None, max_examples=40)
@given(models(), edges())
def test_a_higher_layer_loses_less_and_layers_add_up_to_the_whole(
    model: LossModel, layer: tuple[float, float, float]
) -> None:
    attach, middle, detach = layer
    junior, senior, whole = (
        term_structure(model, low, high, [0.5, 1.0])
        for low, high in ((attach, middle), (middle, detach), (attach, detach))
    )
    assert (senior <= junior * (1 + NOISE)).all()
    parts = junior * (middle - attach) + senior * (detach - middle)
    np.testing.assert_allclose(parts, whole * (detach - attach), rtol=NOISE)
    exact = layer_measures(model, attach, detach, 1.0).el
    assert whole[1] == pytest.approx(exact, rel=NOISE, abs=1e-12)


@settings(deadline=None, max_examples=40)
@given(models(), st.floats(0.0, 1.0), st.sampled_from([3.0, 5.0, 50.0]))
def test_a_priced_probability_is_never_below_the_physical_one(model: LossModel, load: float, degrees: float) -> None:
    physical = shortfall_survival(model, np.linspace(0.0, 1e7, 30), 1.0)
    assert (WangTransform(load, degrees).distort(physical) >= physical).all()


# By name: the measure, and the same with so much more price of risk.
MEASURES: dict[str, tuple[PricingMeasure, Callable[[float], PricingMeasure]]] = {
    "Wang": (WangTransform(0.454), lambda more: WangTransform(0.454 + more)),
    "official": (OFFICIAL, lambda more: replace(OFFICIAL, market_price_of_risk=OFFICIAL.market_price_of_risk + more)),
}


@pytest.mark.parametrize("name", MEASURES)
@settings(deadline=None, max_examples=15)
@given(models(), edges(), st.floats(0.05, 0.5), st.floats(0.001, 0.05), st.floats(1.1, 3.0))
def test_a_price_falls_in_the_price_of_risk_the_spread_and_the_expected_loss(
    name: str, model: LossModel, layer: tuple[float, float, float], more: float, spread: float, factor: float
) -> None:
    attach, detach = layer[0], layer[1]
    measure, dearer = MEASURES[name]
    base = price(measure, model, attach, detach)
    assert price(dearer(more), model, attach, detach) < base
    assert price(measure, model, attach, detach, spread=spread) < base
    likelier = replace(model, hazard_annual=model.hazard_annual * factor)
    assert term_structure(likelier, attach, detach, [1.0])[0] >= term_structure(model, attach, detach, [1.0])[0]
    assert price(measure, likelier, attach, detach) <= base + 1e-9
