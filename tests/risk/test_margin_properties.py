"""What must hold of margin whatever the book: proportion, liquidity's exponent. Parameters are in `test_directions`."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.margin.addons import LiquidityModel, close_out_cost
from risk.margin.factors import RecordedRates, joint_shocks
from risk.margin.matrices import RiskMatrices
from risk.margin.requirement import requirements
from risk.margin.ruleset import ruleset
from risk.margin.scenarios import build_scenarios
from risk.market.parameters import COINS, load_parameters
from tests.risk.builders import INSTRUMENTS, book, matrices, required, scenarios, snapshot
from tests.risk.test_directions import BOOKS

MODEL = LiquidityModel.of(ruleset("standard"))


@given(st.sampled_from(range(len(BOOKS))), st.integers(-6, 6))
def test_base_margin_is_exactly_in_proportion_to_powers_of_two(number: int, power: int) -> None:
    """Factors that no arithmetic rounds: nothing in the model but the add-ons may know the size of a book."""
    factor = 2.0**power
    one, many = required(BOOKS[number]), required({name: q * factor for name, q in BOOKS[number].items()})
    for name in ("es_99", "evt_var_997", "base", "jump", "es_995"):
        assert getattr(many, name)[0] == factor * getattr(one, name)[0]


@given(st.floats(1e2, 1e6), st.floats(1.1, 49.0))
def test_the_liquidity_charge_grows_with_the_power_five_quarters(notional: float, factor: float) -> None:
    """Of what fits into the margin period, half a day at a tenth of turnover: fifty millions of a billion."""
    model = replace(MODEL, spread=0.0)
    sizes, adv, vol = np.array([notional, notional * factor]), np.full(2, 1e9), np.full(2, 0.04)
    for charge in (model.charge, model.least_cost):
        small, large = charge(sizes, adv, vol)
        assert np.log(large / small) / np.log(factor) == pytest.approx(1.25, abs=1e-9)


@given(st.floats(1e2, 1e10), st.floats(1.01, 5.0))
def test_what_outlasts_the_margin_period_makes_liquidity_grow_faster_still(notional: float, factor: float) -> None:
    adv, vol = np.array([1e7]), np.array([0.04])
    model = replace(MODEL, spread=0.0)
    small, large = (model.charge(np.array([size]), adv, vol)[0] for size in (notional, notional * factor))
    assert large >= factor**1.25 * small * (1 - 1e-12)


@given(st.floats(1e2, 1e10), st.floats(0.02, 0.5), st.floats(1.0, 20.0))
def test_a_position_that_may_only_be_sold_more_slowly_never_costs_less(
    notional: float, participation: float, factor: float
) -> None:
    size, adv, vol = np.array([notional]), np.array([1e8]), np.array([0.04])
    fast, slow = replace(MODEL, participation=participation), replace(MODEL, participation=participation / factor)
    assert slow.charge(size, adv, vol)[0] >= fast.charge(size, adv, vol)[0] * (1 - 1e-12)


@pytest.mark.parametrize("name", ["eta", "k", "spread"])
@given(notional=st.floats(1e2, 1e10), adv=st.floats(1e7, 1e11), factor=st.floats(1.0, 10.0))
def test_every_coefficient_of_liquidity_adds_to_what_it_costs(
    name: str, notional: float, adv: float, factor: float
) -> None:
    dearer = replace(MODEL, **{name: factor * getattr(MODEL, name)})
    size, volume, vol = np.array([notional]), np.array([adv]), np.array([0.04])
    for of in (LiquidityModel.least_cost, LiquidityModel.charge):
        assert of(dearer, size, volume, vol)[0] >= of(MODEL, size, volume, vol)[0] * (1 - 1e-12)
    if name != "k":
        assert close_out_cost(dearer, size, volume, vol)[0] >= close_out_cost(MODEL, size, volume, vol)[0]


@given(notional=st.floats(1e2, 1e10), days=st.floats(0.0, 2.0), less=st.floats(0.0, 1.0))
def test_a_period_that_holds_less_of_the_run_down_never_charges_less(notional: float, days: float, less: float) -> None:
    size, volume, vol = np.array([notional]), np.array([1e9]), np.array([0.04])
    long, short = replace(MODEL, days_in_mpor=days), replace(MODEL, days_in_mpor=days * less)
    assert short.charge(size, volume, vol)[0] >= long.charge(size, volume, vol)[0] * (1 - 1e-12)


@given(notional=st.floats(1e4, 1e10), adv=st.floats(1e7, 1e11), vol=st.floats(0.005, 0.2), factor=st.floats(1.0, 10.0))
def test_a_wilder_or_thinner_market_is_never_cheaper_to_leave(
    notional: float, adv: float, vol: float, factor: float
) -> None:
    size, volume, daily = np.array([notional]), np.array([adv]), np.array([vol])
    here = MODEL.charge(size, volume, daily)[0] * (1 - 1e-12)
    assert MODEL.charge(size, volume, daily * factor)[0] >= here
    assert MODEL.charge(size, volume / factor, daily)[0] >= here


@given(st.floats(1.0, 3.0))
def test_more_extreme_scenarios_never_need_less_of_a_linear_book(factor: float) -> None:
    """Every profit stretched by one factor: base margin stretches with it."""
    built = matrices()
    held = book({"BTC-PERP": 10.0}, {"ETH-PERP": -500.0}, {"BTC-PERP": 10.0, "ETH-PERP": -100.0})
    profit, single = built.profit * factor, np.float32(factor)
    sliced = built.profit_slices * single
    wilder = replace(built, profit=profit, profit_single=built.profit_single * single, profit_slices=sliced)
    before, after = requirements(built, held), requirements(wilder, held)
    assert after.base == pytest.approx(factor * before.base, rel=1e-5)
    assert after.wrong_way == pytest.approx(factor * before.wrong_way, rel=1e-4)
    assert (after.total >= before.total).all()


def test_a_higher_volatility_needs_more_long_short_and_hedged() -> None:
    """The same days in a market this much wilder, drawn as `build_scenarios` draws them; everything beside volatility
    stands: options keep their own, and premium and basis what of them follows no price."""
    rules, parameters = ruleset("standard"), load_parameters()
    residuals = np.random.default_rng(rules.seed).standard_t(4.0, (rules.scenarios_total, len(COINS))) / np.sqrt(2.0)
    hedged = ({"BTC-PERP": 10.0, "ETH-PERP": -200.0}, {"BTC-PERP": 10.0, "BTC-FUT": -10.0})
    held = book({"BTC-PERP": 10.0}, {"BTC-PERP": -10.0}, {"BTC-CALL": -10.0}, *hedged)
    margins = []
    for factor in (0.5, 1.0, 1.25, 2.0):
        random, vol = np.random.default_rng(1), scenarios().daily_vol * factor
        shocks = joint_shocks(residuals, vol, RecordedRates(None, []), rules, parameters, random)
        drawn = replace(scenarios(), shocks=shocks, daily_vol=vol)
        margins.append(requirements(RiskMatrices.build(snapshot(), rules, drawn, INSTRUMENTS), held).base)
    rises = np.diff(margins, axis=0) / margins[1]
    assert (rises > 0.05).all(), rises


def test_a_longer_margin_period_needs_more_of_a_linear_book() -> None:
    held = book({"BTC-PERP": 10.0}, {"ETH-PERP": -500.0}, {"BTC-FUT": 10.0, "ETH-PERP": -100.0})
    margins = []
    for hours in (24.0, 36.0, 72.0):
        rules = replace(ruleset("standard"), mpor_hours=hours)
        drawn = build_scenarios(rules, date(2025, 10, 10), None)
        margins.append(requirements(RiskMatrices.build(snapshot(), rules, drawn, INSTRUMENTS), held).base)
    assert (np.diff(margins, axis=0) > 0.0).all()
