"""Scenarios are joint, deterministic, without hindsight and never calmer than the full history."""

from datetime import date
from functools import cache

import numpy as np
import pytest

from risk.margin.ruleset import ruleset
from risk.margin.scenarios import ScenarioSet, build_scenarios, residual_quantile
from risk.market.history import load_history
from risk.market.parameters import COINS, load_parameters
from tests.risk.test_feeds import history_dir

DAY = date(2025, 10, 10)


@cache
def recorded(day: date) -> ScenarioSet:
    """The set of a day, from the recorded history."""
    return build_scenarios(ruleset("standard"), day, load_history(history_dir(), day))


@pytest.fixture(scope="module", params=["history", "simulated"])
def drawn(request: pytest.FixtureRequest) -> ScenarioSet:
    """A set of either source."""
    return recorded(DAY) if request.param == "history" else build_scenarios(ruleset("standard"), DAY, None)


def test_there_are_two_thousand_finite_joint_shocks(drawn: ScenarioSet) -> None:
    assert drawn.shocks.price_ratio.shape == (2_000, len(COINS))
    for values in (drawn.shocks.price_ratio, drawn.shocks.vol_ratio, drawn.shocks.premium, drawn.shocks.basis_annual):
        assert np.isfinite(values).all()
    assert (drawn.shocks.price_ratio > 0).all()


def test_a_second_draw_is_the_same(drawn: ScenarioSet) -> None:
    history = load_history(history_dir(), DAY) if drawn.source == "history" else None
    again = build_scenarios(ruleset("standard"), DAY, history)
    assert again.id == drawn.id
    assert (again.shocks.price_ratio == drawn.shocks.price_ratio).all()


def test_volatility_is_never_below_the_floor(drawn: ScenarioSet) -> None:
    floor = np.array([load_parameters().coins[coin].vol_floor for coin in COINS])
    assert (drawn.daily_vol >= floor).all()


def test_coins_fall_together(drawn: ScenarioSet) -> None:
    correlation = np.corrcoef(np.log(drawn.shocks.price_ratio), rowvar=False)
    assert correlation.min() > 0.3


def test_volatility_rises_when_prices_fall(drawn: ScenarioSet) -> None:
    bitcoin = COINS.index("BTC")
    worst = np.argsort(drawn.shocks.price_ratio[:, bitcoin])[:100]
    assert drawn.shocks.vol_ratio[worst, bitcoin].mean() > 1.02


def test_another_day_or_ruleset_is_another_set(drawn: ScenarioSet) -> None:
    assert build_scenarios(ruleset("standard"), date(2025, 10, 11), None).id != drawn.id
    assert build_scenarios(ruleset("worked-example"), DAY, None).id != drawn.id


def test_the_crash_raises_margin_only_after_it_happened() -> None:
    """The set of 10 October knows nothing of that evening; that of 12 October does."""
    ada = COINS.index("ADA")
    assert recorded(date(2025, 10, 12)).daily_vol[ada] > recorded(DAY).daily_vol[ada]


def test_residual_quantiles_rise_through_body_and_tails() -> None:
    probability = np.linspace(1e-5, 1 - 1e-5, 5_001)
    for coin in load_parameters().coins.values():
        quantiles = residual_quantile(coin, probability)
        assert (np.diff(quantiles) >= 0).all()
        assert quantiles[0] < -4


def test_a_day_before_a_coin_traded_is_drawn_and_says_so() -> None:
    day = date(2025, 1, 6)
    assert recorded(day).source == "simulated"
