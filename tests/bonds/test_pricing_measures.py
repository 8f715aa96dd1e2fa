"""A measure loads the physical probability of loss, never lightens it, and keeps its order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr, ndtri

from bonds.pricing.measures import (
    DeviationLoad,
    Distortion,
    FearedWang,
    LaneLoad,
    LinearLoad,
    PhysicalMeasure,
    PowerLoad,
    SliceCurve,
    WangTransform,
    expected_outstanding,
    expected_outstanding_from_losses,
    layer_quadrature,
)

TIMES = np.array([0.0, 0.25, 0.5, 1.0, 3.0])


def exponential_slice(attach: float, detach: float, principal: float, scale: float = 0.01) -> SliceCurve:
    x, weights = layer_quadrature(attach, detach)
    return SliceCurve(principal, scale * np.exp(-x), weights)


@pytest.mark.parametrize(
    ("principal", "exceedance", "weights"),
    [(0.0, [0.1], [1.0]), (1.0, [1.1], [1.0]), (1.0, [-0.1], [1.0]), (1.0, [0.1], [0.9]), (1.0, [0.1, 0.1], [1.0])],
)
def test_a_slice_curve_refuses_what_is_no_probability(
    principal: float, exceedance: list[float], weights: list[float]
) -> None:
    with pytest.raises(ValueError):
        SliceCurve(principal, np.array(exceedance), np.array(weights))


def test_wang_has_the_disclosed_floor_at_small_probabilities() -> None:
    assert WangTransform().distort(np.array([0.0005]))[0] == pytest.approx(0.018, abs=0.0005)


def test_wang_keeps_impossible_and_certain_losses() -> None:
    np.testing.assert_array_equal(WangTransform().distort(np.array([0.0, 1.0])), [0.0, 1.0])


DISTORTIONS = st.one_of(
    st.builds(WangTransform, st.floats(0, 3), st.floats(1, 50)),
    st.builds(FearedWang, st.floats(0, 3), st.floats(0, 0.1), st.floats(0, 0.5)),
    st.builds(LinearLoad, st.floats(0, 0.2), st.floats(0, 4)),
    st.builds(PowerLoad, st.floats(0.1, 1), st.floats(0.1, 2)),
)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=20), DISTORTIONS)
def test_risk_neutral_exceedance_is_never_below_the_physical_and_keeps_order(
    exceedance: list[float], measure: Distortion
) -> None:
    physical = np.sort(np.array(exceedance))
    loaded = measure.distort(physical)
    assert np.all((loaded >= physical) & (loaded <= 1))
    assert np.all(np.diff(loaded) >= -1e-15)


def test_a_feared_wang_is_the_normal_transform_without_fear_and_with_one_that_does_not_fade_has_a_floor() -> None:
    s = np.array([0.0, 0.02, 1.0])
    np.testing.assert_allclose(FearedWang(0.454, 0.0).distort(s), WangTransform(0.454, 1e9).distort(s), atol=1e-9)
    floored = FearedWang(0.337, 0.0135).distort(s)
    np.testing.assert_allclose(floored, [ndtr(ndtri(0.0135) + 0.337), ndtr(ndtri(0.03323) + 0.337), 1.0])
    fading = 0.02 + 0.04 * 0.02**0.15 * 0.98
    np.testing.assert_allclose(FearedWang(0.24, 0.04, 0.15).distort(s), [0.0, ndtr(ndtri(fading) + 0.24), 1.0])


def test_loads_of_a_layer_are_their_published_formulas() -> None:
    curve = SliceCurve(1.0, np.array([0.02, 0.01]), np.array([0.5, 0.5]), first_loss=0.025)
    lane = 0.015 + 0.55 * 0.025**0.49 * 0.6**0.57
    np.testing.assert_allclose(LaneLoad().loaded(curve), [lane, lane], rtol=1e-14)
    deviation = 0.015 + 0.3 * np.sqrt(0.015 * 0.985)
    np.testing.assert_allclose(DeviationLoad(0.3).loaded(curve), [deviation, deviation], rtol=1e-14)


@pytest.mark.parametrize("measure", [LaneLoad(), DeviationLoad(0.3)])
def test_a_layer_load_costs_nothing_where_nothing_can_be_lost_and_all_where_all_is(
    measure: LaneLoad | DeviationLoad,
) -> None:
    for certain in (0.0, 1.0):
        curve = SliceCurve(1.0, np.full(2, certain), np.array([0.5, 0.5]))
        np.testing.assert_array_equal(measure.loaded(curve), [certain, certain])


@given(st.floats(0, 3), st.floats(0, 2))
def test_expected_outstanding_falls_in_time_and_in_the_market_price_of_risk(low: float, more: float) -> None:
    slices = [exponential_slice(0.5, 1.5, 1.0)]
    cheap = expected_outstanding(slices, WangTransform(low), TIMES)
    dear = expected_outstanding(slices, WangTransform(low + more), TIMES)
    assert cheap[0] == pytest.approx(1, abs=1e-12)
    assert np.all(np.diff(cheap) <= 0)
    assert np.all(dear <= cheap + 1e-15)


def test_annual_expected_loss_equals_the_closed_form_of_the_layer() -> None:
    outstanding = expected_outstanding([exponential_slice(0.5, 1.5, 1.0)], PhysicalMeasure(), np.array([1.0]))
    assert 1 - outstanding[0] == pytest.approx(0.01 * (np.exp(-0.5) - np.exp(-1.5)), abs=1e-15)


def test_slices_weigh_by_principal() -> None:
    one, other = exponential_slice(0.1, 0.3, 1.0), exponential_slice(0.5, 2.0, 3.0)
    both = expected_outstanding([one, other], WangTransform(), TIMES)
    parts = [expected_outstanding([s], WangTransform(), TIMES) for s in (one, other)]
    np.testing.assert_allclose(both, (parts[0] + 3 * parts[1]) / 4, rtol=1e-14)


def test_term_structures_of_slices_combine_to_the_note() -> None:
    losses = np.array([[0.0, 0.01, 0.02], [0.0, 0.03, 0.05]])
    combined = expected_outstanding_from_losses(np.array([1.0, 3.0]), losses)
    np.testing.assert_allclose(combined, [1.0, 1 - 0.1 / 4, 1 - 0.17 / 4], rtol=1e-15)


def test_el_of_adjacent_layers_adds_up_to_the_whole_layer() -> None:
    def loss(attach: float, detach: float) -> float:
        note = expected_outstanding([exponential_slice(attach, detach, 1.0)], WangTransform(), np.array([1.0]))
        return float((detach - attach) * (1 - note[0]))

    assert loss(0.2, 0.7) + loss(0.7, 1.5) == pytest.approx(loss(0.2, 1.5), abs=1e-12)
