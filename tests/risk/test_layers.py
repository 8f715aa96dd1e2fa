"""The loss beyond margin: the reference table, consistency of the quadrature, and the order of layers."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from risk.margin.layers import (
    LossModel,
    layer_measures,
    live_loss_model,
    live_measures,
    loss_beyond,
    shortfall_survival,
    term_structure,
)
from risk.margin.ruleset import ruleset
from risk.margin.shortfall import (
    Floats,
    NormalBodySeverity,
    ScenarioSeverity,
    default_probability,
    expected_excess,
    gap_scale,
    mean_exceedance,
    survival_by_numpy,
)
from tests.risk.builders import book, required

REFERENCE = LossModel(
    hazard_annual=0.06,
    rho=0.35,
    v=0.45,
    s0=0.38,
    severity=NormalBodySeverity(u=1.5, xi=0.25, beta=0.75, share=0.10),
    margin=1.0,
)
# Layer in units of margin: EL, PFL, PLL, to the digits published.
TABLE = [
    (0.05, 0.25, 0.0044617, 0.00534, 0.00371),
    (0.25, 0.60, 0.0028262, 0.00371, 0.00213),
    (0.60, 1.20, 0.0014578, 0.00213, 0.00098),
]


@pytest.mark.parametrize(("attach", "detach"), [(-0.1, 0.5), (0.5, 0.5), (0.6, 0.5)])
def test_a_layer_without_width_is_rejected(attach: float, detach: float) -> None:
    with pytest.raises(ValueError, match="a layer needs"):
        layer_measures(REFERENCE, attach, detach, 1.0)


@pytest.mark.parametrize("rho", [-0.1, 1.0])
def test_a_loading_outside_its_range_is_rejected(rho: float) -> None:
    with pytest.raises(ValueError, match="rho"):
        LossModel(hazard_annual=0.1, rho=rho, v=0.1, s0=1.0, severity=REFERENCE.severity, margin=1.0)


@pytest.mark.parametrize(("attach", "detach", "el", "pfl", "pll"), TABLE)
def test_the_reference_table_is_reproduced_to_print(
    attach: float, detach: float, el: float, pfl: float, pll: float
) -> None:
    measures = layer_measures(REFERENCE, attach, detach, 1.0)
    assert round(measures.el, 7) == el
    assert round(measures.pfl, 5) == pfl
    assert round(measures.pll, 5) == pll
    assert measures.cel == pytest.approx(measures.el / measures.pfl)


@pytest.mark.parametrize("row", TABLE)
def test_more_nodes_change_nothing(row: tuple[float, ...]) -> None:
    attach, detach = row[:2]
    coarse = layer_measures(REFERENCE, attach, detach, 1.0)
    fine = layer_measures(REFERENCE, attach, detach, 1.0, nodes=128, layer_nodes=64)
    assert coarse.el == pytest.approx(fine.el, abs=1e-9)
    assert coarse.pfl == pytest.approx(fine.pfl, abs=1e-9)


def test_survival_agrees_with_adaptive_quadrature() -> None:
    def integrand(m: float, x: float) -> float:
        distress = np.array([m])
        gap = np.array([1.0 + x]) / gap_scale(REFERENCE, distress)
        p = default_probability(REFERENCE, distress, 1.0) * REFERENCE.severity.survival(gap)
        return float(p[0] * stats.norm.pdf(m))

    for x in (0.0, 0.3, 1.2):
        kink = -(np.log((1.0 + x) / (0.38 * 1.5)) + 0.45**2 / 2) / 0.45
        value, _ = integrate.quad(integrand, -9, 9, args=(x,), points=[kink], epsabs=1e-13, limit=400)
        assert float(shortfall_survival(REFERENCE, np.array([x]), 1.0)[0]) == pytest.approx(value, abs=1e-10)


def test_the_mean_default_probability_is_the_hazard() -> None:
    value, _ = integrate.quad(
        lambda m: float(default_probability(REFERENCE, np.array([m]), 2.0)[0]) * stats.norm.pdf(m), -9, 9
    )
    assert value == pytest.approx(1 - np.exp(-0.12), rel=1e-8)


def test_the_gap_has_mean_s0() -> None:
    value, _ = integrate.quad(lambda m: float(gap_scale(REFERENCE, np.array([m]))[0]) * stats.norm.pdf(m), -9, 9)
    assert value == pytest.approx(0.38, rel=1e-8)


@given(st.floats(0.0, 1.0), st.floats(0.01, 1.0), st.floats(0.01, 1.0))
def test_layers_lose_in_order_and_add_up(attach: float, lower: float, upper: float) -> None:
    middle, detach = attach + lower, attach + lower + upper
    junior = layer_measures(REFERENCE, attach, middle, 1.0)
    senior = layer_measures(REFERENCE, middle, detach, 1.0)
    whole = layer_measures(REFERENCE, attach, detach, 1.0)
    assert junior.pll <= junior.el <= junior.pfl
    assert senior.el <= junior.el
    assert junior.el * lower + senior.el * upper == pytest.approx(whole.el * (lower + upper), abs=1e-9)


def test_expected_loss_rises_with_the_horizon_and_falls_with_margin() -> None:
    terms = term_structure(REFERENCE, 0.05, 0.25, [0.0, 0.25, 0.5, 1.0, 2.0])
    assert terms[0] == 0.0
    assert (np.diff(terms) > 0).all()
    richer = LossModel(hazard_annual=0.06, rho=0.35, v=0.45, s0=0.38, severity=REFERENCE.severity, margin=1.5)
    assert layer_measures(richer, 0.05, 0.25, 1.0).el < terms[3]


@pytest.mark.parametrize("attach", [0.0, 0.6, 1.2])
def test_the_loss_beyond_all_layers_is_the_rest_of_the_integral(attach: float) -> None:
    found = loss_beyond(REFERENCE, attach, 1.0)
    assert found.probability == float(shortfall_survival(REFERENCE, np.array([attach]), 1.0)[0])
    rest, _ = integrate.quad(
        lambda x: float(shortfall_survival(REFERENCE, np.array([x]), 1.0)[0]), attach, np.inf, epsabs=1e-12, limit=400
    )
    assert found.expected == pytest.approx(rest, rel=1e-5)
    assert found.expected == pytest.approx(loss_beyond(REFERENCE, attach, 1.0, tail_nodes=128).expected, rel=1e-6)


def test_layers_and_what_lies_beyond_are_the_whole_loss() -> None:
    whole = loss_beyond(REFERENCE, 0.0, 1.0).expected
    layers = layer_measures(REFERENCE, 0.0, 1.2, 1.0).el * 1.2
    assert layers + loss_beyond(REFERENCE, 1.2, 1.0).expected == pytest.approx(whole, rel=1e-6)


def test_all_of_a_relationship_is_measured_as_each_part_alone() -> None:
    edges = [(0.0, 0.05), (0.05, 0.4), (0.4, 1.2)]
    layers, beyond = live_measures(REFERENCE, edges, 0.4, 1.0)
    assert layers == [layer_measures(REFERENCE, *edge, 1.0) for edge in edges]
    assert beyond == loss_beyond(REFERENCE, 0.4, 1.0)
    assert live_measures(REFERENCE, [], 0.0, 1.0) == ([], loss_beyond(REFERENCE, 0.0, 1.0))


def test_nothing_lies_beyond_a_book_without_losses() -> None:
    model = live_loss_model(np.zeros(2_000), hazard_annual=0.1, margin_usd=1.0, ruleset=ruleset("standard"))
    assert loss_beyond(model, 0.0, 1.0) == loss_beyond(model, 5.0, 1.0)
    assert loss_beyond(model, 0.0, 1.0).expected == 0.0
    with pytest.raises(ValueError, match="starts at zero"):
        loss_beyond(model, -1.0, 1.0)


def test_scenario_severity_is_the_empirical_share_in_the_body() -> None:
    losses = np.random.default_rng(2).standard_t(4, 2_000) * 1e6
    severity = ScenarioSeverity.of(losses, 0.05, 0.5)
    for z in (-1e6, 0.0, 5e5, 1.5e6):
        share = float(np.mean(losses > z))
        assert float(severity.survival(np.array([z]))[0]) == pytest.approx(share, abs=1.5e-3)
    assert float(severity.survival(np.array([severity.u]))[0]) == pytest.approx(0.05, abs=1e-9)
    assert float(severity.survival(np.array([-1e9]))[0]) == 1.0
    grid = severity.survival(np.linspace(-3e7, 3e7, 4_001))
    assert (np.diff(grid) <= 0).all()


@pytest.mark.parametrize(
    "severity",
    [
        REFERENCE.severity,
        NormalBodySeverity(u=1.5, xi=0.0, beta=0.75, share=0.10),
        ScenarioSeverity.of(np.random.default_rng(2).standard_t(4, 2_000) * 1e6, 0.05, 0.5),
    ],
)
def test_a_quantile_is_exceeded_with_its_probability(severity: NormalBodySeverity | ScenarioSeverity) -> None:
    exceedance = np.array([0.9, 0.5, 0.11, 0.1, 0.05, 0.049, 1e-3, 1e-9])
    np.testing.assert_allclose(severity.survival(severity.quantile(exceedance)), exceedance, rtol=1e-9)


def test_quantiles_of_a_book_that_loses_one_amount_are_that_amount() -> None:
    severity = ScenarioSeverity.of(np.full(2_000, 3.0), 0.05, 0.5)
    assert severity.quantile(np.array([1.0, 0.5, 0.05, 1e-6])).tolist() == [3.0] * 4


def test_a_live_model_takes_the_relationships_own_losses() -> None:
    batch = required({"ADA-PERP": 1e6, "AVAX-PERP": 1e5}, held=book({"USDC": 400_000.0}))
    rules = ruleset("standard")
    near, far = (
        live_loss_model(batch.scenario_losses(0), hazard_annual=0.1, margin_usd=margin, ruleset=rules)
        for margin in (400_000.0, 800_000.0)
    )
    measures = layer_measures(near, 50_000.0, 500_000.0, 0.25)
    assert 0.0 < measures.pll <= measures.el <= measures.pfl < 0.025
    assert layer_measures(far, 50_000.0, 500_000.0, 0.25).el < measures.el
    fine = layer_measures(near, 50_000.0, 500_000.0, 0.25, nodes=256, layer_nodes=128)
    assert measures.el == pytest.approx(fine.el, rel=1e-3)


def test_a_book_without_losses_has_no_shortfall() -> None:
    model = live_loss_model(np.zeros(2_000), hazard_annual=0.1, margin_usd=1.0, ruleset=ruleset("standard"))
    measures = layer_measures(model, 0.0, 10.0, 1.0)
    assert (measures.el, measures.pfl, measures.pll, measures.cel) == (0.0, 0.0, 0.0, 0.0)


BOOKS = [
    (np.random.default_rng(3).standard_t(4, 2_000) * 4e5, 4e6, 0.06),
    (np.random.default_rng(4).standard_t(3, 2_000) * 4e6, 4e6, 0.01),
    (np.random.default_rng(5).standard_t(4, 2_000) * 4e5, -1e5, 0.3),
    (np.random.default_rng(6).standard_t(9, 2_000) * 1e5 - 1e6, 1e4, 0.1),
    (np.random.default_rng(7).uniform(0.0, 1e6, 2_000), 4e5, 0.06),
    (np.repeat([0.0, 5e5], [1_000, 1_000]), 2e5, 0.06),
    (np.zeros(2_000), -1.0, 0.06),
    (np.random.default_rng(8).standard_t(4, 2_000), 1.0, 0.0),
]  # losses in dollars, margin, intensity


@pytest.mark.parametrize(("losses", "margin", "hazard"), BOOKS)
def test_the_compiled_quadrature_is_that_of_numpy(losses: Floats, margin: float, hazard: float) -> None:
    model = live_loss_model(losses, hazard_annual=hazard, margin_usd=margin, ruleset=ruleset("standard"), cost_usd=5e3)
    x = np.linspace(0.0, 1e7, 34)
    by_numpy = survival_by_numpy(model, x + model.margin - model.cost, 1.0)
    np.testing.assert_allclose(shortfall_survival(model, x, 1.0), by_numpy, rtol=1e-9, atol=1e-18)


# Of a book that always loses the same, S is a single step, which no quadrature over a layer knows.
@pytest.mark.parametrize(("losses", "margin", "hazard"), [row for row in BOOKS if np.ptp(row[0])])
def test_live_measures_are_those_of_each_layer_and_in_their_order(losses: Floats, margin: float, hazard: float) -> None:
    model = live_loss_model(losses, hazard_annual=hazard, margin_usd=margin, ruleset=ruleset("standard"), cost_usd=5e3)
    edges = [(0.0, 1.5e6), (1.5e6, 7.5e6), (7.5e6, 7.5001e6)]
    layers, beyond = live_measures(model, edges, 7.5001e6, 1.0)
    for found, edge in zip(layers, edges, strict=True):
        fine = layer_measures(model, *edge, 1.0, nodes=256, layer_nodes=512)
        assert (found.pfl, found.pll) == pytest.approx((fine.pfl, fine.pll), rel=1e-3, abs=1e-12)
        assert found.el == pytest.approx(fine.el, rel=2e-3, abs=1e-12)
        assert 0 <= found.pll <= found.el <= found.pfl
    for one, following in pairwise(layers):
        assert following.pfl == one.pll
    assert beyond.probability == layers[-1].pll
    rest = loss_beyond(model, 7.5001e6, 1.0, nodes=256, tail_nodes=512).expected
    assert beyond.expected == pytest.approx(rest, rel=1e-3, abs=1e-9)


def test_live_measures_of_a_loss_that_is_certain_are_its_share_of_the_layer() -> None:
    model = live_loss_model(np.zeros(2_000), hazard_annual=0.06, margin_usd=-1e5, ruleset=ruleset("standard"))
    (first, second), beyond = live_measures(model, [(0.0, 4e5), (4e5, 5e5)], 5e5, 1.0)
    assert first.el == pytest.approx(-np.expm1(-0.06) / 4)
    assert first.pfl == pytest.approx(-np.expm1(-0.06))
    assert first.pll == 0.0
    assert (second.el, second.pfl, beyond.probability, beyond.expected) == (0.0, 0.0, 0.0, 0.0)


def test_the_mean_beyond_a_point_is_the_integral_of_survival() -> None:
    model = live_loss_model(
        np.random.default_rng(3).standard_t(4, 2_000) * 4e5,
        hazard_annual=0.06,
        margin_usd=4e5,
        ruleset=ruleset("standard"),
    )
    years = np.array([0.0, 0.25, 1.0])
    for attach, detach in ((0.0, 1.5e6), (1.5e6, 7.5e6), (1e5, 1.2e5)):
        found = term_structure(model, attach, detach, years)
        fine = [layer_measures(model, attach, detach, float(year), nodes=256, layer_nodes=256).el for year in years]
        assert found[0] == 0.0
        # Severities have a kink at every scenario: quadrature over them is right to some hundred thousandths.
        np.testing.assert_allclose(found[1:], fine[1:], rtol=3e-4)
    everything = expected_excess(model, np.array([0.0, 2e6]), years)[:, 2]
    for excess, attach in zip(everything, (0.0, 2e6), strict=True):
        assert excess == pytest.approx(loss_beyond(model, attach, 1.0, tail_nodes=512).expected, rel=1e-4)


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_the_mean_beyond_a_point_holds_for_tails_of_every_kind(share: float) -> None:
    """Flat (nothing beyond the threshold) and heavy; books that owe more than their margin start below zero."""
    losses = np.concatenate([np.zeros(1_900), np.linspace(1.0, 1.0 + share, 100) ** 3]) * 1e6
    model = live_loss_model(losses, hazard_annual=0.1, margin_usd=-1e5, ruleset=ruleset("standard"))
    found = term_structure(model, 0.0, 1e6, [1.0])[0]
    points = np.linspace(0.0, 1e6, 20_001)
    mean = integrate.simpson(shortfall_survival(model, points, 1.0), x=points) / 1e6
    # Of few amounts of loss the severity has jumps between the panels: the rule knows it to some ten thousandths.
    assert found == pytest.approx(mean, rel=1e-3)


def test_the_mean_between_two_points_is_that_of_the_exceedance() -> None:
    model = live_loss_model(
        np.random.default_rng(3).standard_t(4, 2_000) * 4e5,
        hazard_annual=0.06,
        margin_usd=4e5,
        ruleset=ruleset("standard"),
    )
    edges, distress = np.array([0.0, 1e4, 5e5, 8e6]), np.array([-6.0, -2.0, 0.0, 3.0])
    found = mean_exceedance(model, edges, distress)
    for row, scale in enumerate(gap_scale(model, distress)):
        for cell in range(3):
            points = np.linspace(edges[cell], edges[cell + 1], 40_001)
            beyond = model.severity.survival((points + model.margin) / scale)
            assert found[row, cell] == pytest.approx(np.trapezoid(beyond, points) / np.ptp(points), rel=1e-5, abs=1e-15)


def test_closed_forms_of_scenario_losses_are_refused_to_others() -> None:
    with pytest.raises(TypeError, match="scenario losses only"):
        expected_excess(REFERENCE, np.array([0.0]), np.array([1.0]))
    with pytest.raises(TypeError, match="scenario losses only"):
        mean_exceedance(REFERENCE, np.array([0.0, 1.0]), np.array([0.0]))
