"""What a noteholder is told beside the price agrees with the price, with finite differences of it, and with par."""

from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from itertools import pairwise
from uuid import UUID

import numpy as np
import pytest

from bonds.loss.note_risk import Piece, outstanding_at
from bonds.pricing.implied import implied_lambda
from bonds.pricing.measures import PhysicalMeasure, layer_quadrature
from bonds.pricing.notes import NoteTerms, clean_price, outstanding_curve, par_coupon, par_spread
from bonds.pricing.outputs import Outputs, Valuer, outputs_of, with_beta
from bonds.pricing.rulesets import STANDARD
from risk.margin.layers import LossModel, layer_measures
from risk.margin.shortfall import NormalBodySeverity, ScenarioSeverity, default_probability, gap_scale
from risk.market.curve import DiscountCurve

ISSUE, AS_OF = date(2025, 10, 6), date(2026, 2, 14)
TERMS = NoteTerms(ISSUE, date(2027, 10, 6), 0.085)
DISCOUNT = DiscountCurve(AS_OF, (AS_OF, AS_OF + timedelta(days=1460)), (1.0, 1.04**-4))
# The prototype of the design: three layers of one relationship, in units of its margin.
MODEL = LossModel(0.06, 0.35, 0.45, 0.38, NormalBodySeverity(1.5, 0.25, 0.75, 0.10), 1.0)
OWN = replace(MODEL, severity=ScenarioSeverity.of(np.random.default_rng(5).standard_t(3, 2_000), 0.05, 0.5))
LAYERS = [(0.05, 0.25), (0.25, 0.60), (0.60, 1.20)]


def piece(model: LossModel | None = MODEL, layer: tuple[float, float] = LAYERS[1], known_loss: float = 0.0) -> Piece:
    return Piece(UUID(int=1), layer[1] - layer[0], *layer, model, known_loss)


def known(figure: float | None) -> float:
    assert figure is not None
    return figure


def outputs(pieces: list[Piece], terms: NoteTerms = TERMS, priced: bool = True) -> Outputs:
    valuer = Valuer.of(terms, AS_OF, DISCOUNT)
    physical = outstanding_at(pieces, PhysicalMeasure(), valuer.plan.times)
    return outputs_of(pieces, valuer, STANDARD, physical, priced)


def price(pieces: list[Piece], load: float | None = None, terms: NoteTerms = TERMS) -> float:
    measure = STANDARD.official(AS_OF)
    if load is not None:
        measure = replace(measure, market_price_of_risk=load)
    curve = outstanding_curve(terms, AS_OF, partial(outstanding_at, pieces, measure))
    return clean_price(terms, AS_OF, DISCOUNT, curve)


@pytest.mark.parametrize("model", [MODEL, OWN], ids=["prototype", "own losses"])
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_the_official_row_is_the_price_and_the_par_spread_of_the_mark(
    model: LossModel, layer: tuple[float, float]
) -> None:
    pieces = [piece(model, layer)]
    said = outputs(pieces).measures[0]
    assert said.price == pytest.approx(price(pieces), abs=2e-4)
    curve = outstanding_curve(TERMS, AS_OF, partial(outstanding_at, pieces, STANDARD.official(AS_OF)))
    sure = outstanding_curve(TERMS, AS_OF, np.ones_like)
    par = par_coupon(TERMS, AS_OF, DISCOUNT, curve) - par_coupon(TERMS, AS_OF, DISCOUNT, sure)
    assert said.spread_bps == pytest.approx(1e4 * par, abs=0.01)


def test_a_floating_note_s_par_spread_is_over_sofr() -> None:
    terms = replace(TERMS, coupon_kind="SOFR")
    curve = outstanding_curve(terms, AS_OF, partial(outstanding_at, [piece()], STANDARD.official(AS_OF)))
    said = outputs([piece()], terms).measures[0]
    assert said.spread_bps == pytest.approx(1e4 * par_spread(terms, AS_OF, DISCOUNT, curve), abs=0.01)


@pytest.mark.parametrize("model", [MODEL, OWN], ids=["prototype", "own losses"])
def test_slopes_are_those_of_the_price(model: LossModel) -> None:
    slopes, step = outputs([piece(model)]).sensitivities, 0.02

    def slope(up: LossModel, down: LossModel, size: float) -> float:
        return (price([piece(up)]) - price([piece(down)])) / (2 * size)

    by_hand = {
        "pd": slope(
            replace(model, hazard_annual=0.06 * (1 + step)), replace(model, hazard_annual=0.06 * (1 - step)), step
        ),
        "severity": slope(replace(model, s0=0.38 * (1 + step)), replace(model, s0=0.38 * (1 - step)), step),
        "correlation": slope(replace(model, rho=0.35 + step), replace(model, rho=0.35 - step), step),
        "lambda": (price([piece(model)], 0.2634) - price([piece(model)], 0.2234)) / 0.04,
    }
    assert slopes == pytest.approx(by_hand, rel=0.01)
    assert max(slopes.values()) < 0


def test_measures_order_as_their_loads_do_and_a_safer_class_is_dearer_under_each() -> None:
    found = [outputs([piece(layer=layer)]) for layer in LAYERS]
    for one in found:
        prices = {row.label: known(row.price) for row in (*one.measures, one.with_beta)}
        assert all(prices["physical"] > other for label, other in prices.items() if label != "physical")
        assert prices["with-beta"] < prices["official"]
    for junior, senior in pairwise(found):
        for low, high in zip(junior.measures, senior.measures, strict=True):
            assert known(low.price) < known(high.price)
            assert low.spread_bps > high.spread_bps


def test_the_implied_lambda_is_the_one_that_makes_the_price() -> None:
    found = outputs([piece()])
    for load in (0.05, 0.2434, 0.77, 1.61):
        assert implied_lambda(price([piece()], load), found.grid) == pytest.approx(load, abs=0.003)
    assert found.implied_lambda is not None
    assert price([piece()], found.implied_lambda) == pytest.approx(100, abs=0.01)
    assert implied_lambda(found.grid[0][1] + 0.01, found.grid) is None
    assert implied_lambda(found.grid[-1][1] - 0.01, found.grid) is None


def test_a_lower_distress_factor_is_a_likelier_default_and_a_larger_gap() -> None:
    shifted = with_beta(MODEL, 0.25)
    assert shifted.s0 == pytest.approx(0.38 * np.exp(0.45 * 0.25))
    assert 1 - np.exp(-shifted.hazard_annual) > 1 - np.exp(-0.06)
    before, after = (layer_measures(one, 0.25, 0.60, 1.0).el for one in (MODEL, shifted))
    # The same by another density of distress instead of another model: E[f(m - theta)] with m standard normal.
    m = np.linspace(-9, 9, 4_001)
    density = np.exp(-0.5 * (m + 0.25) ** 2) / np.exp(-0.5 * m**2).sum()
    points, weights = layer_quadrature(0.25, 0.60)
    beyond = MODEL.severity.survival((points[:, None] + 1.0) / gap_scale(MODEL, m))
    by_density = float(weights @ (beyond @ (default_probability(MODEL, m, 1.0) * density)))
    assert after == pytest.approx(by_density, rel=1e-4)
    assert after > before
    assert with_beta(MODEL, 0.0).hazard_annual == pytest.approx(0.06)
    assert with_beta(replace(MODEL, hazard_annual=0.0), 0.25).hazard_annual == 0.0


def test_before_the_coupon_is_known_there_are_spreads_only() -> None:
    found = outputs([piece()], priced=False)
    assert {row.price for row in (*found.measures, found.with_beta)} == {None}
    assert found.measures[0].spread_bps > found.measures[1].spread_bps > 0
    assert (found.sensitivities, found.grid, found.implied_lambda) == ({}, (), None)


def test_a_known_loss_is_priced_alike_by_every_measure() -> None:
    found = outputs([piece(None, known_loss=0.4)])
    prices = [row.price for row in (*found.measures, found.with_beta)]
    assert prices == pytest.approx([prices[0]] * len(prices), abs=1e-9)
    assert set(found.sensitivities.values()) == {0.0}
    assert found.implied_lambda is None


def test_slices_weigh_by_principal() -> None:
    one, other = piece(layer=LAYERS[0]), piece(layer=LAYERS[2])
    both = outputs([one, other]).measures[0].price
    alone = [known(outputs([part]).measures[0].price) for part in (one, other)]
    assert both == pytest.approx((0.2 * alone[0] + 0.6 * alone[1]) / 0.8, abs=1e-6)
