"""The direction of every number of a ruleset: what makes it stricter, and that a stricter one never asks for less.

A number that nobody has given a direction, or a reason for having none, fails here.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from risk.margin.haircuts import model_haircuts
from risk.margin.layers import live_loss_model, loss_beyond
from risk.margin.matrices import RiskMatrices
from risk.margin.requirement import RequirementBatch, requirements
from risk.margin.ruleset import LossModelParameters, Ruleset, ruleset
from risk.margin.scenarios import build_scenarios
from risk.margin.stress import StressScenario
from tests.risk.builders import INSTRUMENTS, MOMENT, book, scenarios, snapshot

BOOKS: tuple[Mapping[str, float], ...] = (
    {"BTC-PERP": 2_000.0},
    {"BTC-PERP": -2_000.0, "BTC-CALL": 300.0},
    {"ADA-PERP": 2e8, "DOGE-PERP": -5e8},
    {"BTC": 1_000.0, "BTC-FUT": -990.0, "BTC-PUT": -400.0},
    {"USDC": 1e7, "ETH-PERP": 3e4, "SOL-PERP": -1e5},
    {"USDC": 1e7, "XRP-PERP": 100.0},
)
STANDARD = ruleset("standard")

# name -> (line, a milder value, a stricter one): of the same scenarios, for every book.
OF_A_LINE: dict[str, tuple[tuple[str, Any, Any], ...]] = {
    "es_quantile": (("es_99", 0.98, 0.995),),
    "evt_quantile": (("evt_var_997", 0.99, 0.999),),
    "evt_shape_max": (("evt_var_997", 0.0, 0.5),),
    "admission_quantile": (("es_995", 0.99, 0.999),),
    "jump_majors_share": (("jump", 0.2, 1.0),),
    "jump_moves": (("jump", (-0.4, 0.4), (-0.6, -0.4, 0.4, 0.6)),),
    "jump_vol_moves": (("jump", (0.0,), (-0.3, 0.0, 0.6)),),
    "jump_peg": (("jump", 0.95, 0.80),),
    "liquidity_eta": (("liquidity", 0.1, 2.0),),
    "liquidity_k": (("liquidity", 0.5, 4.0),),
    "liquidity_spread_bps": (("liquidity", 1.0, 50.0),),
    "liquidity_days_in_mpor": (("liquidity", 1.0, 0.1),),
    "liquidity_participation": (("liquidity", 0.2, 0.02),),
    "wrong_way_distress": (("wrong_way", 0.5, 1.0), ("wrong_way", 0.0, 0.25)),
    "wrong_way_least_scenarios": (("wrong_way", 60.0, 20.0),),
    "loss_model.rho": (("wrong_way", LossModelParameters(rho=0.1), LossModelParameters(rho=0.35)),),
    "buffer_share": (("buffer", 0.0, 0.25),),
}
# name -> (book, a milder value, a stricter one): of the draw, for a book that it is about.
OF_THE_DRAW: dict[str, tuple[Mapping[str, float], float, float]] = {
    "mpor_hours": ({"BTC-PERP": 10.0, "ETH-PERP": -50.0}, 24.0, 36.0),
    "premium_vol": ({"BTC": 10.0, "BTC-PERP": -10.0}, 0.0015, 0.003),
    "premium_beta": ({"BTC-PERP": 10.0}, 0.02, 0.04),
    "basis_vol_annual": ({"BTC": 10.0, "BTC-FUT": -10.0}, 0.02, 0.04),
    "premium_crash_beta": ({"BTC-PERP": 10.0}, 0.0, 0.2),
    "basis_crash_beta": ({"BTC": -10.0, "BTC-FUT": 10.0}, 0.0, 1.0),
    "crash_from": ({"BTC-PERP": 10.0}, 3.0, 1.0),
    "peg_vol": ({"USDC": 1e7}, 0.0005, 0.005),
    "peg_break": ({"USDC": 1e7}, 0.05, 0.2),
    "peg_breaks": ({"USDC": 1e7}, 1, 3),
    "skew_vol": ({"BTC-PUT": -10.0, "BTC-CALL": 10.0, "BTC-FUT": -10.0}, 0.0, 0.2),
}
# name -> (a milder value, a stricter one) of one stated scenario.
OF_STRESS: dict[str, tuple[Any, Any]] = {
    "slippage_bps": (0, 100),
    "fixed_cost_usd": (Decimal(0), Decimal(10_000)),
    "depth_factor": (Decimal(1), Decimal("0.1")),
    "peg": (Decimal(1), Decimal("0.9")),
}
ELSEWHERE = {
    "haircut_bps": "a least haircut: test_a_higher_least_haircut_never_takes_less",
    "haircut_other_bps": "a least haircut: test_a_higher_least_haircut_never_takes_less",
    "decision_minutes": "a part of the margin period, whose sum is held in test_period",
    "rate_scale": "moves of the dollar curve: test_rate_moves",
    "doubt_limit_bps": "admits less as it falls, changes no figure: test_doubt",
    "loss_model.severity_vol": "of the loss beyond margin: test_a_wilder_gap_makes_a_far_loss_larger",
}
WITHOUT = {
    "version": "names the others",
    "scenarios_recent": "how many are drawn: more of them is no stricter",
    "scenarios_stressed": "how many are drawn; the article's quarter is held in test_ruleset",
    "scenarios_simulated": "how many are drawn",
    "seed": "which are drawn",
    "ewma_decay": "how fast the filter forgets: stricter after a shock, milder before",
    "filter_decays": "as above",
    "skew_beta": "how a fall bends the smile: worse for sold puts, better for bought ones",
    "term_beta": "how much more near expiries move: worse for near ones, better for far ones",
    "term_vol": "as above",
    "evt_exceedances": "where the fitted tail begins",
    "loss_model.tail_share": "where the fitted tail begins",
    "wrong_way_quantile": "where the tail begins: under normal losses the gain is the same in all",
    "stress.vol_multiplier": "a market, long and short",
    "stress.premium": "a market, long and short",
    "stress.basis_annual": "a market, long and short",
    "stress.returns": "a market, long and short",
    "stress.marks": "a market, long and short",
}


def under(**changes: Any) -> RequirementBatch:
    """The books under the standard ruleset with these parameters changed, all priced anew in the same scenarios."""
    changed = replace(STANDARD, **changes)
    return requirements(RiskMatrices.build(snapshot(), changed, scenarios(), INSTRUMENTS), book(*BOOKS))


def numbers_of(value: object, prefix: str = "") -> set[str]:
    """Names of the numeric fields: numbers, tuples and mappings of them."""
    found = set()
    for item in fields(value):  # type: ignore[arg-type]
        content = getattr(value, item.name)
        many = list(content.values()) if isinstance(content, Mapping) else content
        samples = many if isinstance(many, list | tuple) else [many]
        if all(isinstance(one, int | float | Decimal) and not isinstance(one, bool) for one in samples):
            found.add(prefix + item.name)
    return found


def test_every_number_of_a_ruleset_has_a_direction_or_a_reason_for_none() -> None:
    numbers = numbers_of(STANDARD) | numbers_of(STANDARD.loss_model, "loss_model.")
    numbers |= numbers_of(STANDARD.stress[0], "stress.")
    stress = {f"stress.{name}" for name in OF_STRESS}
    told: list[set[str]] = [set(part) for part in (OF_A_LINE, OF_THE_DRAW, ELSEWHERE, WITHOUT)] + [stress]
    assert set().union(*told) == numbers
    assert sum(map(len, told)) == len(numbers), "one place each"


@pytest.mark.parametrize(
    ("name", "line", "mild", "strict"),
    [(name, *case) for name, cases in OF_A_LINE.items() for case in cases],
)
def test_a_stricter_number_never_lowers_its_line_or_the_total(name: str, line: str, mild: Any, strict: Any) -> None:
    field = name.partition(".")[0]
    before, after = under(**{field: mild}), under(**{field: strict})
    slack = 1e-9 * before.total + 1e-6
    assert (getattr(after, line) >= getattr(before, line) - slack).all()
    assert (getattr(after, line) > getattr(before, line) + slack).any(), "the number is of no consequence"
    assert (after.total >= before.total - slack).all()


@pytest.mark.parametrize("name", OF_THE_DRAW)
def test_a_stricter_number_of_the_draw_never_lowers_base_margin(name: str) -> None:
    held, mild, strict = OF_THE_DRAW[name]
    found = []
    for value in (mild, strict):
        rules: Ruleset = replace(STANDARD, **{name: value})  # type: ignore[arg-type]
        drawn = build_scenarios(rules, MOMENT.date(), None)
        found.append(requirements(RiskMatrices.build(snapshot(), rules, drawn, INSTRUMENTS), book(held)).base[0])
    assert found[1] > found[0]


@pytest.mark.parametrize("name", OF_STRESS)
def test_a_stricter_scenario_never_leaves_more(name: str) -> None:
    """Loss and cost of the positions less what the margin, ten million in cash, is then worth."""
    left = []
    for value in OF_STRESS[name]:
        item = StressScenario(name="one", title="One", source="test", returns={"BTC": Decimal("-0.2")}, **{name: value})
        built = RiskMatrices.build(snapshot(), replace(STANDARD, stress=(item,)), scenarios(), INSTRUMENTS)
        batch = requirements(built, book(*BOOKS), book(*[{"USDC": 1e7}] * len(BOOKS)))
        left.append((batch.stress_collateral - batch.stress_loss - batch.stress_cost)[:, 0])
    assert (left[1] <= left[0]).all()
    assert (left[1] < left[0]).any()


@pytest.mark.parametrize("changes", [{"haircut_other_bps": 5_000}, {"haircut_bps": {"USDC": 200, "BTC": 6_000}}])
def test_a_higher_least_haircut_never_takes_less(changes: dict[str, Any]) -> None:
    taken = []
    for rules in (STANDARD, replace(STANDARD, **changes)):
        built = RiskMatrices.build(snapshot(), rules, scenarios(), INSTRUMENTS)
        taken.append([found.bps for found in model_haircuts(built, {"BTC": 10.0, "USDC": 10.0})])
    assert (np.array(taken[1]) >= np.array(taken[0])).all()
    assert taken[1] != taken[0]


@pytest.mark.parametrize("name", ["rho", "severity_vol"])
def test_a_wilder_gap_makes_a_far_loss_larger(name: str) -> None:
    losses = np.random.default_rng(3).standard_t(4, 2_000) * 1e6
    expected = []
    for value in (0.2, 0.35, 0.5):
        rules = replace(STANDARD, loss_model=replace(STANDARD.loss_model, **{name: value}))
        model = live_loss_model(losses, hazard_annual=0.05, margin_usd=3e6, ruleset=rules)
        expected.append(loss_beyond(model, 4e6, 1.0).expected)
    assert (np.diff(expected) > 0.0).all()
