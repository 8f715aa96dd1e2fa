"""The likeliest Pareto tail is that of scipy's own search, and knows its shape on the whole."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import genpareto

from risk.market.pareto import likeliest_scale, likeliest_tail


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("shape", [-0.2, 0.0, 0.2, 0.5])
def test_no_search_of_scipy_finds_a_likelier_one(shape: float, seed: int) -> None:
    excess = genpareto.rvs(shape, scale=0.6, size=62, random_state=seed)
    xi, beta = likeliest_tail(excess)
    other, _, scale = genpareto.fit(excess, floc=0.0)
    found, theirs = (
        float(genpareto.logpdf(excess, *of).sum()) for of in ((xi, 0.0, beta), (float(other), 0.0, float(scale)))
    )
    assert found >= theirs - 1e-6
    assert xi == pytest.approx(float(other), abs=2e-3)


@pytest.mark.parametrize("shape", [0.0, 0.1, 0.3])
def test_many_excesses_tell_their_shape_and_scale(shape: float) -> None:
    xi, beta = likeliest_tail(genpareto.rvs(shape, scale=2.0, size=40_000, random_state=5))
    assert xi == pytest.approx(shape, abs=0.02)
    assert beta == pytest.approx(2.0, rel=0.03)


@given(st.floats(1e-6, 1e6), st.integers(0, 100))
def test_the_unit_of_the_excesses_moves_the_scale_alone(unit: float, seed: int) -> None:
    excess = genpareto.rvs(0.2, size=60, random_state=seed)
    (xi, beta), (same, scaled) = likeliest_tail(excess), likeliest_tail(unit * excess)
    assert same == pytest.approx(xi, abs=1e-5)
    assert scaled == pytest.approx(unit * beta, rel=1e-5)


# Between nothing and a millionth the reference itself rounds.
@given(st.just(0.0) | st.floats(1e-6, 0.5), st.integers(0, 100))
def test_the_scale_of_a_given_shape_is_likelier_than_its_neighbours(shape: float, seed: int) -> None:
    excess = genpareto.rvs(0.25, size=60, random_state=seed)
    beta = likeliest_scale(excess, shape)
    near = [float(genpareto.logpdf(excess, shape, scale=beta * factor).sum()) for factor in (1.0, 0.98, 1.02)]
    assert near[0] > max(near[1:])


def test_the_likeliest_shape_has_the_likeliest_scale() -> None:
    excess = genpareto.rvs(0.3, scale=0.7, size=80, random_state=2)
    xi, beta = likeliest_tail(excess)
    assert likeliest_scale(excess, xi) == pytest.approx(beta, rel=1e-6)


@pytest.mark.parametrize("excess", [np.empty(0), np.zeros(12)])
def test_where_nothing_exceeds_there_is_no_tail(excess: np.ndarray) -> None:
    assert likeliest_tail(excess) == (0.0, 0.0)
    assert likeliest_scale(excess, 0.2) == 0.0
