"""The realised filter knows the past only, is right about a known world, and whitens what it forecasts."""

import numpy as np
import pytest
from scipy.signal import lfilter

from risk.margin.kernels import exponential_average
from risk.market.copula import SurpriseModel, fit_surprises
from risk.market.realised import (
    SEED_WINDOWS,
    Floats,
    fill_unrecorded,
    filter_history,
    forecast_covariances,
    realised_covariances,
)
from risk.market.volatility import volatility_floors

DECAYS = (0.5, 0.8, 0.93, 0.985)


def world(days: int, correlation: float = 0.8, starts: tuple[int, ...] = (0, 0, 0)) -> Floats:
    """Hourly log prices of three coins of hourly volatility 1%, 2%, 3%; coin c recorded from day starts[c]."""
    random = np.random.default_rng(12)
    matrix = np.full((3, 3), correlation) + (1 - correlation) * np.eye(3)
    moves = random.standard_normal((days * 24, 3)) @ np.linalg.cholesky(matrix).T * (0.01, 0.02, 0.03)
    log_close = np.vstack([np.zeros((1, 3)), np.cumsum(moves, axis=0)])
    for coin, start in enumerate(starts):
        log_close[: start * 24, coin] = np.nan
    return log_close


def test_the_forecast_is_the_mean_of_the_averages() -> None:
    """Two windows and more of one coin, by the recursion written out."""
    realised = np.arange(1.0, SEED_WINDOWS + 4)[:, None, None]
    found = forecast_covariances(realised, (0.5, 0.9))
    expected = []
    for decay in (0.5, 0.9):
        weights = decay ** np.arange(realised.size)[::-1]
        expected.append(float(weights @ realised[:, 0, 0] / weights.sum()))
    assert found[-1, 0, 0] == pytest.approx(np.mean(expected))
    assert np.isnan(found[:SEED_WINDOWS]).all()
    assert np.isfinite(found[SEED_WINDOWS:]).all()


def test_a_constant_world_is_found_and_its_residuals_are_white() -> None:
    filtered = filter_history(world(1_500), DECAYS, 1_500 * 24)
    daily = np.sqrt(np.diag(filtered.covariance[100:].mean(axis=0)))
    assert daily == pytest.approx(np.array([0.01, 0.02, 0.03]) * np.sqrt(24), rel=0.03)
    residual = filtered.residual[100:]
    assert np.cov(residual, rowvar=False) == pytest.approx(np.eye(3), abs=0.12)


def test_residuals_in_todays_root_give_todays_covariance() -> None:
    """L_t L_t' is the forecast, so that a book's scenario variance is its forecast variance times the residuals'."""
    filtered = filter_history(world(200), DECAYS, 200 * 24)
    ordered = filtered.covariance[-1][filtered.order[:, None], filtered.order]
    assert filtered.root[-1] @ filtered.root[-1].T == pytest.approx(ordered)


def test_no_forecast_knows_its_own_window() -> None:
    prices = world(300)
    changed = prices.copy()
    changed[250 * 24 + 1 :] *= 5.0
    before, after = (filter_history(table, DECAYS, 300 * 24) for table in (prices, changed))
    row = int(np.flatnonzero(before.ends == 251 * 24)[0])
    assert np.array_equal(before.covariance[: row + 1], after.covariance[: row + 1], equal_nan=True)
    assert not np.allclose(before.covariance[row + 1], after.covariance[row + 1])


def test_a_coin_that_begins_later_leaves_the_older_ones_as_they_are() -> None:
    late = filter_history(world(300, starts=(0, 0, 200)), DECAYS, 300 * 24)
    full = filter_history(world(300), DECAYS, 300 * 24)
    assert late.order.tolist() == [0, 1, 2]
    assert late.residual[:, :2] == pytest.approx(full.residual[:, :2], nan_ok=True)
    assert np.isnan(late.residual[: 199 + SEED_WINDOWS, 2]).all()
    assert np.isfinite(late.residual[200 + SEED_WINDOWS :, 2]).all()


def test_a_coin_that_ended_keeps_its_last_forecast() -> None:
    prices = world(300)
    prices[280 * 24 + 1 :, 1] = np.nan
    filtered = filter_history(prices, DECAYS, 300 * 24)
    assert np.isfinite(filtered.covariance[-1]).all()
    row = int(np.flatnonzero(filtered.ends == 280 * 24)[0])
    assert filtered.covariance[-1][1, 1] == filtered.covariance[row + 1][1, 1]
    assert np.isfinite(filtered.residual[-1, 0])


def test_a_coin_that_ended_takes_nothing_from_the_younger_ones() -> None:
    prices = world(300, starts=(0, 0, 50))
    prices[200 * 24 + 1 :, 1] = np.nan
    ended = filter_history(prices, DECAYS, 300 * 24)
    without = filter_history(prices[:, [0, 2]], DECAYS, 300 * 24)
    assert np.isnan(ended.residual[200:, 1]).all()
    assert ended.residual[201:, 2] == pytest.approx(without.residual[201:, 1])


def test_realised_covariance_is_the_sum_of_hourly_products() -> None:
    prices = world(3)
    found = realised_covariances(prices, np.array([48]))
    moves = np.diff(prices[24:49], axis=0)
    assert found[0] == pytest.approx(moves.T @ moves)


def test_less_than_two_windows_is_refused() -> None:
    with pytest.raises(ValueError, match="no two windows"):
        filter_history(world(1), DECAYS, 24)


def test_an_unrecorded_coin_takes_the_surprise_of_another_of_that_day() -> None:
    residual = np.array([[1.0, 5.0, np.nan], [2.0, np.nan, np.nan], [np.nan] * 3, [1.0, 2.0, 3.0]])
    filled, usable = fill_unrecorded(residual, np.random.default_rng(1))
    assert usable.tolist() == [True, True, False, True]
    assert abs(filled[0, 2]) == 5.0, "of the other coins before the market's"
    assert np.abs(filled[1]).tolist() == [2.0, 2.0, 2.0]
    assert filled[3].tolist() == [1.0, 2.0, 3.0]


def test_the_surprise_model_recovers_a_students_tails_and_copula() -> None:
    random = np.random.default_rng(9)
    root = np.linalg.cholesky(np.array([[1.0, 0.7], [0.7, 1.0]]))
    normal = random.standard_normal((20_000, 2)) @ root.T
    values = normal / np.sqrt(random.chisquare(5.0, (20_000, 1)) / 5.0)
    model = fit_surprises(values)
    assert model.dof == pytest.approx(5.0, abs=0.7)
    assert model.upper[:, 0] == pytest.approx([1 / 5] * 2, abs=0.1)
    assert model.correlation[0, 1] == pytest.approx(0.7, abs=0.02)
    drawn = model.draw(root, 50_000, random)
    for quantile in (0.001, 0.01, 0.5, 0.99, 0.999):
        assert np.quantile(drawn[:, 0], quantile) == pytest.approx(np.quantile(values, quantile), rel=0.1, abs=0.05)
    assert np.corrcoef(drawn[:, 0], drawn[:, 1]) == pytest.approx(np.array([[1, 0.7], [0.7, 1]]), abs=0.04)


def test_quantiles_of_surprises_increase() -> None:
    body = np.linspace([-1.6, -1.4], [1.7, 2.0], 181, axis=1)
    tails = np.array([[0.2, 0.6], [0.0, 0.5]])
    model = SurpriseModel(body, tails, tails[::-1], 4.0, np.eye(2))
    probability = np.repeat(np.linspace(1e-5, 1 - 1e-5, 9_999)[:, None], 2, axis=1)
    assert (np.diff(model.quantile(probability), axis=0) >= 0).all()


def test_each_coin_and_side_has_a_tail_of_its_own_drawn_towards_that_of_all() -> None:
    """One coin with Student's tails among normal ones: its shape lies between its own and the pool's, theirs too."""
    random = np.random.default_rng(11)
    values = random.standard_normal((1_250, 4))
    values[:, 0] = random.standard_t(2.5, 1_250)
    values[:, 1] = np.where(values[:, 1] > 0.0, values[:, 1], 3.0 * values[:, 1])
    model = fit_surprises(values)
    assert model.upper[0, 0] > model.upper[2, 0]
    assert model.lower[1, 1] > 2.0 * model.upper[1, 1], "the scale of its own fall"
    assert model.body[1, 0] < 2.0 * model.body[2, 0]
    assert (model.upper[:, 0] >= 0.0).all()
    assert (model.upper[:, 0] <= 0.5).all()


def test_a_young_coin_has_the_tails_of_all_and_todays_correlations() -> None:
    random = np.random.default_rng(12)
    values = random.standard_normal((1_250, 3))
    values[:1_150, 2] = np.nan
    model = fit_surprises(values)
    assert np.isnan(model.correlation[2, :2]).all()
    assert np.isfinite(model.correlation[:2, :2]).all()
    assert (model.body[2] != model.body[0]).any()
    matrix = np.array([[1.0, 0.0, 0.9], [0.0, 1.0, 0.0], [0.9, 0.0, 1.0]])
    drawn = model.draw(np.linalg.cholesky(matrix), 20_000, random)
    assert np.corrcoef(drawn[:, 0], drawn[:, 2]).item(0, 1) > 0.7
    assert model.of_coins(np.array([2, 0])).body.shape == (2, 181)


def test_a_short_coins_floor_is_scaled_by_how_quiet_its_days_were() -> None:
    random = np.random.default_rng(2)
    returns = random.standard_normal((1_000, 2)) * 0.02
    returns[500:, :] /= 4.0
    returns[:800, 1] = np.nan
    floors = volatility_floors(returns)
    assert floors[0] == pytest.approx(np.std(returns[:, 0]))
    assert floors[1] == pytest.approx(floors[0], rel=0.15)


def test_the_average_is_the_filter_of_scipy() -> None:
    values = np.square(np.random.default_rng(3).standard_normal(5_000)) * 1e-4
    for decay in DECAYS:
        assert np.array_equal(exponential_average(values, decay), lfilter([1.0 - decay], [1.0, -decay], values))
