"""The committed parameters are what calibration of the recording gives, and are sane where there is none."""

import json
from datetime import date

import numpy as np
import pytest

from risk.market.calibrate import calibrate
from risk.market.history import load_history, prices_digest
from risk.market.parameters import COINS, PARAMETERS_FILE, load_parameters
from risk.market.volatility import ewma_filter, nearest_correlation
from tests.risk.test_feeds import history_dir


def test_a_history_shorter_than_the_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 30"):
        ewma_filter(np.full(29, 0.01))


def test_the_committed_figures_are_those_of_the_recording() -> None:
    committed = json.loads(PARAMETERS_FILE.read_text())
    computed = calibrate(history_dir(), date.fromisoformat(committed["calibrated_to"]), committed)
    assert "kept" not in computed
    assert _flat(computed) == pytest.approx(_flat(committed), rel=1e-4)


def test_history_never_reads_past_the_day_asked() -> None:
    history = load_history(history_dir(), date(2025, 10, 10))
    assert history is not None
    assert history.days[-1] == date(2025, 10, 10)
    assert np.isnan(history.returns[1][-1]).all(), "noon of the day itself is the future"
    assert not np.isnan(history.returns[0][-1]).any()


def test_a_history_has_the_hash_of_its_prices_and_of_nothing_later() -> None:
    close = np.exp(np.random.default_rng(2).normal(0.0, 0.02, (49, 10)))
    gap = close.copy()
    gap[3, 4] = np.nan
    assert prices_digest(close) == prices_digest(close.copy())
    assert len({prices_digest(close), prices_digest(close[:25]), prices_digest(gap)}) == 3


def test_no_directory_is_no_history() -> None:
    assert load_history(None, date(2025, 10, 10)) is None


def test_the_filter_forecasts_from_the_past_only() -> None:
    returns = np.random.default_rng(3).normal(0.0, 0.02, 400)
    changed = returns.copy()
    changed[300] = -0.5
    before, _ = ewma_filter(returns)
    after, forecast = ewma_filter(changed)
    assert (before[:300] == after[:300]).all()
    assert after[300] / changed[300] == pytest.approx(before[300] / returns[300])
    assert forecast > ewma_filter(returns)[1]


def test_correlation_is_a_correlation() -> None:
    matrix = np.array(load_parameters().correlation)
    assert matrix.shape == (len(COINS), len(COINS))
    assert np.diag(matrix) == pytest.approx(np.ones(len(COINS)), abs=1e-6)
    assert np.linalg.eigvalsh(matrix).min() > 0
    broken = np.array([[1.0, 0.9, -0.9], [0.9, 1.0, 0.9], [-0.9, 0.9, 1.0]])
    assert np.linalg.eigvalsh(broken).min() < 0
    assert np.linalg.eigvalsh(nearest_correlation(broken)).min() > 0


def _flat(body: object) -> list[float]:
    if isinstance(body, dict):
        return [value for key in sorted(body) for value in _flat(body[key])]
    if isinstance(body, list):
        return [value for item in body for value in _flat(item)]
    try:
        return [float(str(body))]
    except ValueError:
        return []
