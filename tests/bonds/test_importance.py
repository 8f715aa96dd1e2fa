"""Importance sampling against the exact quadrature of the reference layers, and against plain simulation."""

from dataclasses import replace

import numpy as np
import pytest

from bonds.loss.importance import (
    DRAWS,
    CoveredLayer,
    Estimate,
    draw_distress,
    force_default,
    sampled_layer_loss,
    theta_for,
)
from risk.margin.layers import LossModel, layer_measures, live_loss_model, shortfall_survival, term_structure
from risk.margin.ruleset import ruleset
from risk.margin.shortfall import NormalBodySeverity, default_probability, gap_scale

MODEL = LossModel(
    hazard_annual=0.06, rho=0.35, v=0.45, s0=0.38, severity=NormalBodySeverity(1.5, 0.25, 0.75, 0.10), margin=1.0
)
LAYERS = [CoveredLayer(MODEL, *edges, principal=1.0) for edges in ((0.05, 0.25), (0.25, 0.60), (0.60, 1.20))]
OWN_LOSSES = live_loss_model(
    np.random.default_rng(3).standard_t(4, 2_000) * 4e5, hazard_annual=0.06, margin_usd=3e6, ruleset=ruleset("standard")
)
SEED = 20251010


def exact(layer: CoveredLayer, years: float = 1.0) -> float:
    return layer_measures(layer.model, layer.attach, layer.detach, years).el


def plain_variance(layer: CoveredLayer, draws: int = 400_000) -> float:
    """Of one draw of the layer's loss as life draws it: hardly any default."""
    generator = np.random.default_rng(SEED)
    m = generator.standard_normal(draws)
    defaults = generator.random(draws) < default_probability(layer.model, m, 1.0)
    gap = gap_scale(layer.model, m) * layer.model.severity.quantile(1.0 - generator.random(draws))
    loss = layer.share_lost(gap - layer.model.margin + layer.model.cost) * defaults
    assert loss.mean() == pytest.approx(exact(layer), rel=0.1)
    return float(loss.var())


@pytest.mark.parametrize("layer", LAYERS, ids=["A", "B", "C"])
def test_twenty_thousand_draws_agree_with_the_exact_quadrature_to_a_percent(layer: CoveredLayer) -> None:
    found = sampled_layer_loss(layer, 1.0, np.random.default_rng(SEED))
    assert abs(found.value - exact(layer)) < 2 * found.standard_error
    assert found.standard_error < 0.01 * exact(layer)


@pytest.mark.parametrize("layer", LAYERS, ids=["A", "B", "C"])
def test_one_draw_tells_as_much_as_250_plain_ones(layer: CoveredLayer) -> None:
    found = sampled_layer_loss(layer, 1.0, np.random.default_rng(SEED))
    assert plain_variance(layer) > 250 * DRAWS * found.standard_error**2


@pytest.mark.parametrize("layer", LAYERS, ids=["A", "B", "C"])
def test_the_standard_error_is_what_repetitions_show(layer: CoveredLayer) -> None:
    found = [sampled_layer_loss(layer, 1.0, np.random.default_rng(seed), draws=2_000) for seed in range(60)]
    spread = np.std([one.value for one in found], ddof=1)
    assert spread == pytest.approx(np.mean([one.standard_error for one in found]), rel=0.35)


def test_a_model_of_own_losses_agrees_with_the_exact_quadrature() -> None:
    layer = CoveredLayer(OWN_LOSSES, 1e5, 2e6, principal=1.0)
    found = sampled_layer_loss(layer, 1.0, np.random.default_rng(SEED))
    assert abs(found.value - exact(layer)) < 2 * found.standard_error
    assert found.standard_error < 0.01 * exact(layer)


def test_defaults_come_when_the_term_structure_says() -> None:
    layer, years = LAYERS[0], [0.1, 0.25, 0.5, 0.9]
    m, likelihood = draw_distress(np.random.default_rng(SEED), DRAWS, theta_for([layer], 1.0))
    found = force_default(np.random.default_rng(SEED + 1), MODEL, m, 1.0, layer.attach)
    assert found.years.min() > 0.0
    assert found.years.max() <= 1.0
    for horizon, expected in zip(years, term_structure(MODEL, layer.attach, layer.detach, years), strict=True):
        lost = likelihood * found.chance * layer.share_lost(found.net_loss) * (found.years <= horizon)
        estimate = Estimate.of(lost)
        assert abs(estimate.value - expected) < 2 * estimate.standard_error


def test_a_loss_beyond_the_layer_is_as_likely_as_it_should_be() -> None:
    m, likelihood = draw_distress(np.random.default_rng(SEED), DRAWS, theta_for(LAYERS, 1.0))
    found = force_default(np.random.default_rng(SEED + 1), MODEL, m, 1.0, 0.05)
    for point in (0.05, 0.6, 1.2):
        estimate = Estimate.of(likelihood * found.chance * (found.net_loss >= point))
        assert abs(estimate.value - shortfall_survival(MODEL, np.array([point]), 1.0)[0]) < 2 * estimate.standard_error


def test_nothing_is_drawn_towards_distress_where_nobody_defaults() -> None:
    riskless = CoveredLayer(replace(MODEL, hazard_annual=0.0), 0.05, 0.25, principal=1.0)
    assert theta_for([riskless], 1.0) == 0.0
    found = sampled_layer_loss(riskless, 1.0, np.random.default_rng(SEED))
    assert (found.value, found.standard_error) == (0.0, 0.0)


def test_without_dependence_on_distress_the_gap_alone_is_drawn_beyond_the_layer() -> None:
    layer = CoveredLayer(replace(MODEL, rho=0.0, v=0.0), 0.05, 0.25, principal=1.0)
    found = sampled_layer_loss(layer, 1.0, np.random.default_rng(SEED))
    assert abs(theta_for([layer], 1.0)) < 1e-12
    assert abs(found.value - exact(layer)) < 2 * found.standard_error
