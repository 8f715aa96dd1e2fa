"""What moves beside prices: premium and basis with their day, and the peg of the settlement token."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from risk.margin.admission import Resources, assess
from risk.margin.haircuts import model_haircuts
from risk.margin.ruleset import ruleset
from risk.margin.scenarios import ScenarioSet, build_scenarios
from risk.market.parameters import COINS, MAJORS
from tests.risk.builders import INDEX, MOMENT, book, matrices, required, scenarios

STANDARD = ruleset("standard")
WITHOUT = replace(STANDARD, basis_by_day=False, premium_crash_beta=0.0, basis_crash_beta=0.0)
MAJOR = [COINS.index(coin) for coin in MAJORS]


@cache
def plain() -> ScenarioSet:
    """The same days with premium and basis of version 4: thin, and untied to the day."""
    return build_scenarios(WITHOUT, MOMENT.date(), None)


def moves(found: ScenarioSet) -> np.ndarray:
    """(S, U) daily deviations by which the coins move."""
    moved: np.ndarray = np.log(found.shocks.price_ratio) / found.daily_vol
    return moved


def test_premium_and_basis_are_wild_when_their_day_is_and_no_wilder_on_the_whole() -> None:
    rules = replace(STANDARD, premium_beta=0.0, premium_crash_beta=0.0, basis_crash_beta=0.0)
    found = build_scenarios(rules, MOMENT.date(), None)
    size = np.sqrt(np.square(moves(found)).mean(axis=1))
    wild, calm = size > 2.0, size < 1.0
    for values in (found.shocks.premium.ravel(), found.shocks.basis_annual):
        over, under = (values.reshape(2_000, -1)[days].std() for days in (wild, calm))
        assert over > 2 * under, "recorded: 1.4 to 2.9 times"
        assert np.mean(values**4) / np.mean(values**2) ** 2 > 4.0, "thin tails have three"
    assert found.shocks.premium.std() == pytest.approx(STANDARD.premium_vol, rel=0.05)
    assert found.shocks.basis_annual.std() == pytest.approx(STANDARD.basis_vol_annual, rel=0.1)


def test_in_a_crash_premium_and_basis_fall_with_prices() -> None:
    found, before = scenarios(), plain()
    assert np.array_equal(found.shocks.price_ratio, before.shocks.price_ratio)
    btc = COINS.index("BTC")
    crash = moves(found)[:, btc] < -4.0
    assert crash.sum() > 3
    for column in MAJOR:
        assert found.shocks.premium[crash, column].mean() < before.shocks.premium[crash, column].mean() - 0.003
    assert found.shocks.basis_annual[crash].mean() < -0.02
    calm = (moves(found)[:, MAJOR] > -STANDARD.crash_from).all(axis=1)
    assert abs(found.shocks.basis_annual[calm].mean()) < 0.001


def test_who_is_long_by_futures_against_the_coin_needs_more_than_before() -> None:
    book_long = {"BTC": -10.0, "BTC-FUT": 10.0}
    assert required(book_long).base[0] > 0.0
    premium = required({"BTC": -10.0, "BTC-PERP": 10.0}).es_99[0] / (10 * 95_000)
    assert premium > 3 * STANDARD.premium_vol


def test_a_peg_breaks_in_one_scenario_and_is_as_broken_over_any_period() -> None:
    found = scenarios().shocks.peg_move
    assert (found < -0.1).sum() == STANDARD.peg_breaks == 1
    assert found.min() == -STANDARD.peg_break
    assert np.argmin(found) >= 1_750, "among the drawn ones: no day on record had it"
    assert np.array_equal(scenarios().over(96.0, 24.0).shocks.peg_move, found)
    assert not build_scenarios(ruleset("worked-example"), MOMENT.date(), None).shocks.peg_move.any()


def test_the_peg_is_in_the_margin_and_in_no_position_that_is_settled_in_the_token() -> None:
    """A book and its margin lose apart: the requirement does not know the peg, ES 99.5% of both together does."""
    held = {"BTC-PERP": 10.0, "BTC": -10.0}
    cash = 1e8
    alone, beside = required(held), required(held, held=book({"USDC": cash}))
    assert beside.total[0] == alone.total[0]
    broken = STANDARD.peg_break * cash / 10  # one of the ten worst
    assert beside.es_995[0] - alone.es_995[0] == pytest.approx(broken, rel=0.15)
    profit = matrices().profit[INDEX["USDC"]]
    assert profit.max() <= 0.0, "a token above its dollar is a dollar"


def test_the_haircut_of_the_token_in_which_margin_is_called_stays_its_floor() -> None:
    (usdc,) = (found for found in model_haircuts(matrices(), {"USDC": 1e9}) if found.asset == "USDC")
    assert usdc.bps == STANDARD.haircut_bps["USDC"]


def test_the_margin_that_is_called_to_pass_the_test_passes_it_with_its_own_peg_at_risk() -> None:
    held, layers = {"BTC-PERP": 100.0}, Resources(first_loss=0, tail=0, senior_retention=0)
    short = assess(required(held, held=book({"USDC": 1e6})).outcomes(0)[-1:], layers)
    assert not short.passed
    assert short.repair > short.binding.short_by
    repaired = assess(required(held, held=book({"USDC": 1e6 + short.repair / 1e6})).outcomes(0)[-1:], layers)
    assert repaired.passed
