"""The plain forecasts are what their names say, so that beating them means something."""

import numpy as np
import pytest

from risk.backtest.candidates import ewma_filtered, fit_gjr, gjr_filtered, gjr_variances, unfiltered

QUANTILES = (0.99, 0.997)


def simulated(windows: int = 2_500) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """A GJR-GARCH(1,1) path with Student innovations, in percent."""
    random = np.random.default_rng(20211231)
    omega, alpha, gamma, beta, dof = 0.4, 0.05, 0.08, 0.86, 5.0
    variance = omega / (1 - alpha - gamma / 2 - beta)
    path = np.empty(windows)
    for t in range(windows):
        path[t] = np.sqrt(variance * (dof - 2) / dof) * random.standard_t(dof)
        variance = omega + (alpha + gamma * (path[t] < 0)) * path[t] ** 2 + beta * variance
    return path


def test_the_garch_fit_is_that_of_the_arch_library() -> None:
    """arch 8.0.0 on this very path: zero mean, p = o = q = 1, dist t, backcast the sample variance."""
    of_arch = (0.5828565507616765, 0.05089081765820093, 0.045325990979164316, 0.8523726417491835, 4.745766277393393)
    assert fit_gjr(simulated()) == pytest.approx(of_arch, rel=1e-3)


def test_a_fall_raises_variance_more_than_a_rise() -> None:
    up, down = np.empty(2), np.empty(2)
    up[0] = down[0] = 1.0
    gjr_variances(up, np.array([2.0]), 0.1, 0.05, 0.1, 0.8)
    gjr_variances(down, np.array([-2.0]), 0.1, 0.05, 0.1, 0.8)
    assert up[1] == pytest.approx(0.1 + 0.05 * 4 + 0.8)
    assert down[1] == pytest.approx(0.1 + 0.15 * 4 + 0.8)


def test_historical_simulation_takes_the_last_1250_losses_before_the_day() -> None:
    losses = simulated(1_800) / 100
    found = unfiltered(losses, 400, QUANTILES)
    assert np.isnan(found[:400]).all()
    for t in (400, 1_279, 1_280, 1_799):
        assert found[t] == pytest.approx(np.quantile(losses[max(30, t - 1_250) : t], QUANTILES))


@pytest.mark.parametrize("forecast", [unfiltered, ewma_filtered, gjr_filtered])
def test_no_forecast_knows_its_own_day(forecast: object) -> None:
    assert callable(forecast)
    losses = simulated(800) / 100
    changed = losses.copy()
    changed[600:] *= 50
    assert forecast(losses, 365, QUANTILES)[:601] == pytest.approx(forecast(changed, 365, QUANTILES)[:601], nan_ok=True)
