"""Risk of a class from where its relationships stand: agreement with the exact quadrature, and known losses."""

from uuid import UUID

import numpy as np
import pytest
from scipy import integrate, stats

from bonds.loss.note_risk import Piece, note_risk, outstanding_at
from bonds.pricing.measures import (
    PhysicalMeasure,
    SliceCurve,
    WangTransform,
    expected_outstanding,
    layer_quadrature,
)
from risk.margin.layers import LossModel, layer_measures, live_loss_model, shortfall_survival
from risk.margin.ruleset import ruleset
from risk.margin.shortfall import NormalBodySeverity, default_probability, gap_scale

MODEL = LossModel(
    hazard_annual=0.06, rho=0.35, v=0.45, s0=0.38, severity=NormalBodySeverity(1.5, 0.25, 0.75, 0.10), margin=1.0
)
OWN_LOSSES = live_loss_model(
    np.random.default_rng(3).standard_t(4, 2_000) * 4e5, hazard_annual=0.06, margin_usd=1e6, ruleset=ruleset("standard")
)
LAYERS = [(0.05, 0.25), (0.25, 0.60), (0.60, 1.20)]


def piece(number: int, attach: float, detach: float, *, known_loss: float | None = None) -> Piece:
    model = MODEL if known_loss is None else None
    return Piece(UUID(int=number), detach - attach, attach, detach, model, known_loss or 0.0)


@pytest.mark.parametrize(("attach", "detach"), LAYERS)
def test_one_slice_agrees_with_the_exact_quadrature(attach: float, detach: float) -> None:
    exact, found = layer_measures(MODEL, attach, detach, 1.0), note_risk([piece(1, attach, detach)])
    assert found.expected_loss == pytest.approx(exact.el, abs=1e-9)
    assert found.pfl == pytest.approx(exact.pfl, abs=1e-12)
    assert found.pll == pytest.approx(exact.pll, abs=1e-12)


@pytest.mark.parametrize("model", [MODEL, OWN_LOSSES], ids=["reference", "own losses"])
def test_a_class_of_two_slices_is_hit_as_the_integral_over_distress_says(model: LossModel) -> None:
    attach, detach = 0.25 * model.margin, 0.6 * model.margin
    m = np.linspace(-9, 9, 200_001)

    def both(level: float) -> float:
        beyond = model.severity.survival((model.margin + level) / gap_scale(model, m))
        return float(integrate.simpson((default_probability(model, m, 1.0) * beyond) ** 2 * stats.norm.pdf(m), x=m))

    pieces = [Piece(UUID(int=number), 1.0, attach, detach, model) for number in (1, 2)]
    found, alone = note_risk(pieces), pieces[0].risk
    # The quadrature of one slice knows a severity with a kink at every scenario to some ten thousandths.
    assert found.pfl == pytest.approx(2 * alone.pfl - both(attach), rel=1e-3)
    assert found.pll == pytest.approx(both(detach), rel=3e-3)


def test_several_slices_are_hit_more_often_and_lose_as_much_on_average() -> None:
    one, two = note_risk([piece(1, 0.25, 0.6)]), note_risk([piece(1, 0.25, 0.6), piece(2, 0.25, 0.6)])
    assert two.expected_loss == pytest.approx(one.expected_loss, rel=1e-9)
    assert one.pfl < two.pfl < 2 * one.pfl
    # Dependent through distress: both gone is likelier than for independent relationships.
    assert one.pll**2 < two.pll < one.pll


def test_known_loss_is_certain_and_the_rest_is_the_model() -> None:
    alone = note_risk([piece(1, 0.25, 0.6)])
    mixed = note_risk([piece(1, 0.25, 0.6), piece(2, 0.25, 0.6, known_loss=0.4)])
    assert mixed.pfl == 1.0
    assert mixed.pll == 0.0
    assert mixed.expected_loss == pytest.approx((alone.expected_loss + 0.4) / 2)


def test_class_without_principal_has_no_risk() -> None:
    assert note_risk([]).expected_loss == 0.0


def test_expected_principal_starts_at_one_and_is_lower_under_the_pricing_measure() -> None:
    times = np.array([0.0, 0.25, 0.5, 1.0])
    pieces = [piece(1, 0.25, 0.6), piece(2, 0.6, 1.2, known_loss=0.5)]
    physical, priced = (outstanding_at(pieces, one, times) for one in (PhysicalMeasure(), WangTransform()))
    assert physical[0] == priced[0] == 1.0
    assert np.all(priced[1:] < physical[1:])
    assert np.all(np.diff(physical) < 0)


@pytest.mark.parametrize("layer", [(1e5, 5e5), (5e5, 9e5), (1.5e6, 7.5e6)])
def test_more_points_inside_a_layer_move_no_price(layer: tuple[float, float]) -> None:
    points, weights = layer_quadrature(*layer, 256)
    fine = SliceCurve(1.0, shortfall_survival(OWN_LOSSES, points, 1.0), weights)
    times = np.array([0.25, 1.0])
    found = outstanding_at([Piece(UUID(int=1), 1.0, *layer, OWN_LOSSES)], WangTransform(), times)
    np.testing.assert_allclose(found, expected_outstanding([fine], WangTransform(), times), atol=1e-7)
