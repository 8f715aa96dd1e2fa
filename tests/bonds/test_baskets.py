"""Tranches over several relationships: exact means, ring-fenced tails, and a published tranche spread."""

from math import exp
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from bonds.loss.baskets import (
    CELLS_MAX,
    ConditionalSlice,
    Exceedance,
    FloatArray,
    condition_slice,
    convolve,
    normal_nodes,
    tranche_risk,
)

NODES, NODE_WEIGHTS = normal_nodes(40)
A, B, C = (UUID(int=i) for i in (1, 2, 3))


def loss_model(probability: float, correlation: float, scale: float) -> Exceedance:
    """Default by a one-factor normal copula, exponential loss given default: a model with known layer means."""
    given = ndtr((ndtri(probability) - np.sqrt(correlation) * NODES) / np.sqrt(1 - correlation))

    def exceedance(x: FloatArray) -> FloatArray:
        return np.asarray(given[:, None] * np.exp(-x / scale), dtype=np.float64)

    return exceedance


def basket(step: float, correlation: float = 0.35) -> list[ConditionalSlice]:
    return [
        condition_slice(A, 6.0, 1.5, 7.5, step, loss_model(0.05, correlation, 4.0)),
        condition_slice(B, 3.0, 0.5, 3.5, step, loss_model(0.08, correlation, 2.0)),
        condition_slice(C, 1.9, 1.0, 3.0, step, loss_model(0.03, correlation, 5.0)),
    ]


@pytest.mark.parametrize(
    ("principal", "attach", "detach", "step"),
    [
        (0.0, 0.0, 1.0, 0.1),
        (1.0, 1.0, 1.0, 0.1),
        (1.0, -1.0, 1.0, 0.1),
        (1.0, 0.0, 1.0, 0.0),
        (1.0, 0.0, 1.0, 0.5 / CELLS_MAX),
    ],
)
def test_a_slice_without_layer_or_lattice_is_refused(
    principal: float, attach: float, detach: float, step: float
) -> None:
    with pytest.raises(ValueError):
        condition_slice(A, principal, attach, detach, step, loss_model(0.05, 0.3, 1.0))


def test_a_tranche_refuses_unequal_nodes_repeated_relationships_and_weights_off_one() -> None:
    one = condition_slice(A, 1.0, 0.0, 1.0, 0.1, loss_model(0.05, 0.3, 1.0))
    w = NODE_WEIGHTS
    for slices, weights in (([one, one], w), ([one], w[:-1]), ([one], w / 2), ([], w)):
        with pytest.raises(ValueError):
            tranche_risk(slices, weights, 0.1)


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_a_confidence_level_of_zero_or_one_is_refused(level: float) -> None:
    risk = tranche_risk(basket(0.1), NODE_WEIGHTS, 0.1)
    with pytest.raises(ValueError, match="strictly between"):
        risk.value_at_risk(level)


@pytest.mark.parametrize("step", [0.1, 0.13, 1.0, 10.0])
def test_the_lattice_preserves_the_mean_at_any_step(step: float) -> None:
    risk = tranche_risk(basket(step), NODE_WEIGHTS, step)
    layers = [(0.05, 4.0, 1.5, 7.5, 1.0), (0.08, 2.0, 0.5, 3.5, 1.0), (0.03, 5.0, 1.0, 3.0, 0.95)]
    exact = sum(p * s * (exp(-a / s) - exp(-d / s)) * share for p, s, a, d, share in layers)
    lattice_mean = float(risk.loss_pmf @ np.arange(risk.loss_pmf.size)) * step
    assert risk.expected_loss * risk.principal == pytest.approx(exact, rel=1e-5 if step == 10.0 else 1e-7)
    assert lattice_mean == pytest.approx(risk.expected_loss * risk.principal, rel=1e-12)
    assert risk.loss_pmf.sum() == pytest.approx(1, abs=1e-12)


def test_one_relationship_attaches_and_exhausts_with_its_own_probabilities() -> None:
    risk = tranche_risk(basket(0.1)[:1], NODE_WEIGHTS, 0.1)
    assert risk.pfl == pytest.approx(0.05 * exp(-1.5 / 4), rel=1e-9)
    assert risk.pll == pytest.approx(0.05 * exp(-7.5 / 4), rel=1e-9)
    assert risk.conditional_expected_loss == pytest.approx(risk.expected_loss / risk.pfl)


def test_fft_convolution_equals_the_direct_one() -> None:
    pmfs = [s.loss_pmf() for s in basket(0.5)]
    direct = np.array([np.convolve(np.convolve(a, b), c) for a, b, c in zip(*pmfs, strict=True)])
    np.testing.assert_allclose(convolve(pmfs), direct, atol=1e-15)


def test_tail_measures_equal_those_of_the_sorted_outcomes() -> None:
    risk = tranche_risk(basket(0.5), NODE_WEIGHTS, 0.5)
    losses = np.arange(risk.loss_pmf.size) * 0.5
    for level in (0.5, 0.95, 0.99, 0.999):
        survivors = [loss for k, loss in enumerate(losses) if risk.loss_pmf[: k + 1].sum() >= level]
        value_at_risk = survivors[0]
        excess = float(risk.loss_pmf @ np.maximum(losses - value_at_risk, 0))
        assert risk.value_at_risk(level) == pytest.approx(min(value_at_risk, risk.principal))
        assert risk.expected_shortfall(level) == pytest.approx(value_at_risk + excess / (1 - level), rel=1e-9)


def test_dependence_fattens_the_tail_and_leaves_the_mean() -> None:
    independent = tranche_risk(basket(0.1, correlation=0.0), NODE_WEIGHTS, 0.1)
    dependent = tranche_risk(basket(0.1, correlation=0.6), NODE_WEIGHTS, 0.1)
    assert dependent.expected_loss == pytest.approx(independent.expected_loss, rel=1e-4)
    assert dependent.expected_shortfall(0.99) > independent.expected_shortfall(0.99)
    assert dependent.pll > independent.pll
    assert dependent.pfl < independent.pfl


@settings(deadline=None, max_examples=40)
@given(
    st.floats(0.001, 0.3), st.floats(0, 0.9), st.floats(0.1, 10), st.floats(0, 5), st.floats(0.1, 5), st.floats(0.05, 1)
)
def test_last_loss_is_rarer_than_expected_loss_is_rarer_than_first(
    probability: float, correlation: float, scale: float, attach: float, width: float, share: float
) -> None:
    model = loss_model(probability, correlation, scale)
    slices = [condition_slice(i, share * width, attach, attach + width, 0.05, model) for i in (A, B)]
    risk = tranche_risk(slices, NODE_WEIGHTS, 0.05)
    assert risk.pll <= risk.expected_loss + 1e-12
    assert risk.expected_loss <= risk.pfl + 1e-12
    higher = [condition_slice(i, share * width, attach + 1, attach + 1 + width, 0.05, model) for i in (A, B)]
    assert tranche_risk(higher, NODE_WEIGHTS, 0.05).expected_loss <= risk.expected_loss
    assert risk.value_at_risk(0.99) <= risk.expected_shortfall(0.99) + 1e-9 <= risk.principal + 2e-9


def test_the_published_index_tranche_spread_is_reproduced() -> None:
    """iTraxx Europe 3-6%, five years quarterly, 125 names, correlation .15, recovery .4, rate 3.5%, index 50 bp:
    Hull, Options, Futures and Other Derivatives, example 25.2, prints 348 bp."""
    names, recovery, rate, nodes = 125, 0.4, 0.035, normal_nodes(60)
    times = np.arange(0, 5.01, 0.25)
    middles, ends = np.exp(-rate * (times[1:] + times[:-1]) / 2), np.exp(-rate * times[1:])

    def legs(outstanding: FloatArray) -> tuple[float, float, float]:
        lost = outstanding[:-1] - outstanding[1:]
        return (
            float(0.25 * outstanding[1:] @ ends),
            float(0.125 * lost @ middles),
            float(lost @ middles),
        )

    def index_spread(hazard: float) -> float:
        a, b, c = legs(np.exp(-hazard * times))
        return (1 - recovery) * c / (a + b)

    hazard = float(brentq(lambda h: index_spread(h) - 0.0050, 0.001, 0.05))
    outstanding = [1.0]
    lost_share = np.arange(names + 1) * (1 - recovery) / names
    tranche_left = 1 - np.clip((lost_share - 0.03) / 0.03, 0, 1)
    for time in times[1:]:
        given = ndtr((ndtri(1 - exp(-hazard * time)) - np.sqrt(0.15) * nodes[0]) / np.sqrt(0.85))
        pool = convolve([np.column_stack([1 - given, given])] * names)
        outstanding.append(float(nodes[1] @ pool @ tranche_left))
    a, b, c = legs(np.array(outstanding))
    assert (round(a, 4), round(b, 4), round(c, 4)) == (4.2846, 0.0187, 0.1496)
    assert 1e4 * c / (a + b) == pytest.approx(347.57, abs=0.01)
