"""Shortfall and sharpness: known critical values, and scores that single out the truth."""

import numpy as np
import pytest
from scipy import stats

from risk.backtest.null import rejection_null
from risk.backtest.scores import diebold_mariano, pinball
from risk.backtest.shortfall import TailForecast, p_value, second_statistic, simulated_statistics


def student_tail(dof: float, windows: int, quantile: float) -> TailForecast:
    """The Student tail beyond its quantile as a Pareto with the same mean and the same power."""
    var = float(stats.t.ppf(quantile, dof))
    mean = float(stats.t.expect(lambda x: x, (dof,), lb=var)) / (1 - quantile)
    xi = 1.0 / dof
    full = np.full(windows, 1.0)
    return TailForecast(quantile, var * full, (mean - var) * (1 - xi) * full, xi * full)


@pytest.mark.parametrize("dof", [3.0, 5.0, 10.0])
def test_the_critical_value_of_the_paper_holds_for_its_sample(dof: float) -> None:
    """Acerbi and Szekely 2014: -0.70 at 5% for T = 250, q = 97.5%, nearly whatever the tail (-0.82 for 3 degrees)."""
    null = simulated_statistics(student_tail(dof, 250, 0.975), seed=1, paths=40_000)
    assert null[int(0.05 * null.size)] == pytest.approx(-0.82 if dof == 3.0 else -0.70, abs=0.05)
    assert null.mean() == pytest.approx(0.0, abs=0.02)


def test_losses_drawn_from_the_forecast_pass_and_larger_ones_do_not() -> None:
    forecast = student_tail(4.0, 2_500, 0.99)
    null = simulated_statistics(forecast, seed=2)
    losses = stats.t.rvs(4.0, size=2_500, random_state=np.random.default_rng(3))
    var, es = forecast.value_at_risk, forecast.expected_shortfall
    assert p_value(second_statistic(losses, var, es, 0.99), null) > 0.05
    assert p_value(second_statistic(losses, var / 1.6, es / 1.6, 0.99), null) < 0.01


def test_the_true_quantile_has_the_least_pinball_loss() -> None:
    losses = np.random.default_rng(4).standard_normal(200_000)
    truth = stats.norm.ppf(0.99)
    scores = [pinball(losses, np.full(losses.size, f), 0.99).mean() for f in (0.9 * truth, truth, 1.1 * truth)]
    assert scores[1] == min(scores)


def test_diebold_mariano_is_normal_when_neither_is_sharper() -> None:
    random = np.random.default_rng(6)
    values = [diebold_mariano(*random.standard_normal((2, 1_000))) for _ in range(500)]
    assert np.mean(np.abs(values) > 1.96) == pytest.approx(0.05, abs=0.03)
    assert diebold_mariano(np.zeros(100), np.zeros(100)) == 0.0
    worse = random.standard_normal(1_000)
    assert diebold_mariano(worse - 1.0, worse + random.standard_normal(1_000)) < -10


def test_dependent_series_widen_the_number_of_chance_rejections() -> None:
    random = np.random.default_rng(8)
    common = random.standard_normal((1_000, 1))
    alone = rejection_null(random.standard_normal((1_000, 20)), 0.01, seed=1)
    together = rejection_null(common + 1e-3 * random.standard_normal((1_000, 20)), 0.01, seed=1)
    assert alone.dates == together.dates == 1_000
    assert alone.limits()[0] <= 5
    assert together.limits()[0] >= 15
    assert np.mean(alone.kupiec) < 20 * 0.05 + 0.1
    assert np.mean(alone.christoffersen) == pytest.approx(20 * 0.05, abs=0.25)
