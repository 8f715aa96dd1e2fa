"""Tails against brute force and against closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate

from risk.margin.tails import ParetoTail, expected_shortfall, fit_pareto, tail_count, worst_losses


def sample(seed: int, accounts: int = 5, size: int = 2_000) -> np.ndarray:
    """Heavy-tailed losses."""
    return np.random.default_rng(seed).standard_t(4, (accounts, size))


def test_more_worst_than_scenarios_is_rejected() -> None:
    with pytest.raises(ValueError, match="cannot take"):
        worst_losses(np.zeros((1, 10)), 11)


def test_a_quantile_inside_the_body_is_rejected() -> None:
    tail = fit_pareto(worst_losses(sample(1), 101), 2_000, 0.5)
    with pytest.raises(ValueError, match="fitted tail"):
        tail.value_at_risk(0.90)


@given(st.integers(0, 10_000), st.sampled_from([0.99, 0.995, 0.95]))
def test_expected_shortfall_is_the_mean_of_the_sorted_worst(seed: int, quantile: float) -> None:
    losses = sample(seed)
    count = round(2_000 * (1 - quantile))
    brute = [sum(sorted(row)[-count:]) / count for row in losses.tolist()]
    assert expected_shortfall(losses, quantile) == pytest.approx(brute, rel=1e-12)
    assert tail_count(2_000, quantile) == count


def test_pareto_expected_shortfall_is_the_integral_of_its_quantiles() -> None:
    tail = ParetoTail(u=np.array([2.0]), xi=np.array([0.3]), beta=np.array([0.7]), share=0.05)
    area, _ = integrate.quad(lambda q: float(tail.value_at_risk(q)[0]), 0.997, 1.0, epsabs=1e-13, limit=500)
    assert float(tail.expected_shortfall(0.997)[0]) == pytest.approx(area / 0.003, rel=1e-8)


@settings(max_examples=20)
@given(st.floats(0.01, 0.5), st.floats(0.1, 5.0), st.floats(0.96, 0.999))
def test_closed_forms_are_those_of_quadrature_for_any_tail(xi: float, beta: float, quantile: float) -> None:
    """The quantile against the integral of the density, the shortfall against that of the survival function, and the
    moments of the fit against theirs."""
    u, share = 2.0, 0.05
    tail = ParetoTail(u=np.array([u]), xi=np.array([xi]), beta=np.array([beta]), share=share)
    var, es = float(tail.value_at_risk(quantile)[0]), float(tail.expected_shortfall(quantile)[0])

    def density(x: float) -> float:
        return float(share / beta * (1 + xi * (x - u) / beta) ** (-1 / xi - 1))

    body, _ = integrate.quad(density, u, var, epsabs=0.0, epsrel=1e-12, limit=500)
    assert share - body == pytest.approx(1 - quantile, rel=1e-8)
    beyond, _ = integrate.quad(lambda t: (1 - t) ** -xi, 0.0, 1.0, epsabs=0.0, epsrel=1e-12, limit=500)
    assert es == pytest.approx(var + (beta + xi * (var - u)) * (beyond - 1.0) / xi, rel=1e-8)
    first, _ = integrate.quad(lambda p: beta / xi * ((1 - p) ** -xi - 1), 0.0, 1.0, epsabs=0.0, epsrel=1e-12, limit=500)
    second, _ = integrate.quad(lambda p: beta / xi * ((1 - p) ** (1 - xi) - (1 - p)), 0.0, 1.0, epsrel=1e-12)
    assert 2.0 - first / (first - 2.0 * second) == pytest.approx(xi, abs=1e-8)
    assert 2.0 * first * second / (first - 2.0 * second) == pytest.approx(beta, rel=1e-8)


def test_the_fit_finds_the_shape_it_was_given() -> None:
    """10,000 exact quantiles of a Pareto tail: xi and beta come back within one percent."""
    m, xi, beta = 10_000, 0.2, 1.5
    p = (np.arange(1, m + 1) - 0.35) / m
    excess = beta / xi * ((1 - p) ** -xi - 1)
    tail = fit_pareto(np.concatenate([[3.0], 3.0 + excess])[None, :], 20 * m, 0.5)
    assert float(tail.xi[0]) == pytest.approx(xi, rel=0.01)
    assert float(tail.beta[0]) == pytest.approx(beta, rel=0.01)


def test_scale_equals_the_moment_formula_where_the_shape_is_free() -> None:
    worst = worst_losses(sample(7, accounts=40), 101)
    tail = fit_pareto(worst, 2_000, 0.5)
    excess = worst[:, 1:] - worst[:, :1]
    weight = 1 - (np.arange(1, 101) - 0.35) / 100
    a0, a1 = excess.mean(axis=1), (excess * weight).mean(axis=1)
    free = (tail.xi > 0) & (tail.xi < 0.5)
    assert free.sum() > 5
    assert tail.beta[free] == pytest.approx((2 * a0 * a1 / (a0 - 2 * a1))[free])


def test_a_flat_tail_has_no_excess() -> None:
    tail = fit_pareto(worst_losses(np.full((1, 2_000), 4.0), 101), 2_000, 0.5)
    assert float(tail.value_at_risk(0.997)[0]) == 4.0
