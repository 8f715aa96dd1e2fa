"""Admission: a line fits its own resources in every stress, or it is refused with the numbers.

The ledger page of the worked example: long 1,000 BTC, last paid at 95,000, margin 6.0m USDC and 50 BTC, layers
1.5 + 6.0 + 3.0.
"""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intermediary.errors import BadInput
from risk.margin.admission import Resources, ScenarioOutcome, assess, linear_outcome
from risk.margin.requirement import requirements
from risk.margin.ruleset import WORKED_EXAMPLE_FALL, ruleset
from risk.margin.stress import published_scenarios
from tests.risk.builders import book, matrices

MILLION = 10**12  # base units of a token with six decimals
LAYERS = Resources(first_loss=3 * MILLION // 2, tail=6 * MILLION, senior_retention=3 * MILLION)


def example(price: str = "78000") -> ScenarioOutcome:
    """The book of the worked example at `price`."""
    return linear_outcome(
        replace(WORKED_EXAMPLE_FALL, marks={"BTC": Decimal(price)}),
        positions={"BTC": Decimal(1_000)},
        marks={"BTC": Decimal(95_000)},
        collateral={"BTC": Decimal(50)},
        cash=Decimal(6_000_000),
        decimals=6,
    )


def test_no_scenario_is_not_a_pass() -> None:
    with pytest.raises(ValueError, match="at least one scenario"):
        assess([], LAYERS)


def test_a_negative_layer_is_rejected() -> None:
    with pytest.raises(ValueError, match="negative"):
        assess([example()], replace(LAYERS, tail=-1))


def test_the_exact_path_does_not_pretend_to_model_liquidity() -> None:
    scenario = published_scenarios()[0]
    with pytest.raises(ValueError, match="liquidity model"):
        linear_outcome(scenario, positions={}, marks={}, collateral={}, cash=Decimal(0), decimals=6)


def test_an_unknown_ruleset_is_refused() -> None:
    with pytest.raises(BadInput, match=r"risk\.unknown_ruleset"):
        ruleset("house-favourite")


def test_the_worked_example_loses_eight_and_a_half_and_fits() -> None:
    outcome = example()
    assert outcome.position_loss == 18_170_000 * 10**6
    assert outcome.close_out_cost == 171_500 * 10**6
    assert outcome.collateral_value == 9_841_500 * 10**6
    decision = assess([outcome], LAYERS)
    assert decision.passed
    assert decision.binding.net_loss == 8_500_000 * 10**6
    assert decision.binding.short_by == 0


def test_at_60000_the_same_line_is_short_by_16_6165() -> None:
    decision = assess([example("60000")], LAYERS)
    assert not decision.passed
    assert decision.binding.net_loss == 27_116_500 * 10**6
    assert decision.as_data()["short_by"] == 16_616_500 * 10**6


def test_the_array_path_agrees_with_the_exact_one() -> None:
    batch = requirements(
        matrices("worked-example"), book({"BTC-PERP": 1_000.0}), book({"BTC": 50.0, "USDC": 6_000_000.0})
    )
    (outcome,) = batch.outcomes(0)
    exact = example()
    gross = outcome.position_loss + outcome.close_out_cost
    assert gross == pytest.approx(exact.position_loss + exact.close_out_cost, abs=2)
    assert outcome.collateral_value == pytest.approx(exact.collateral_value, abs=2)


def test_the_standard_ruleset_refuses_the_worked_example_with_numbers() -> None:
    batch = requirements(matrices(), book({"BTC-PERP": 1_000.0}), book({"BTC": 50.0, "USDC": 6_000_000.0}))
    decision = assess(batch.outcomes(0), LAYERS)
    assert not decision.passed
    data = decision.as_data()
    assert data["scenario"] == "covid_2020_03"
    assert data["net_loss"] == data["position_loss"] + data["close_out_cost"] + data["exposure"] - data["margin_value"]
    assert data["short_by"] == data["net_loss"] - 10_500_000 * 10**6 > 0
    assert {row.outcome.name for row in decision.rows} == {*batch.stress_names, "es_99_5"}


def test_unpaid_exposure_counts_against_the_line() -> None:
    owed = replace(LAYERS, exposure=2 * MILLION + 1)
    decision = assess([example()], owed)
    assert decision.binding.short_by == 1
    assert not decision.passed


amounts = st.integers(0, 10**15)


@given(amounts, amounts, amounts, amounts, amounts, amounts, st.integers(-(10**15), 10**15))
def test_it_passes_exactly_when_the_sum_fits(
    loss: int, cost: int, margin: int, first: int, tail: int, senior: int, exposure: int
) -> None:
    outcome = ScenarioOutcome(name="s", title="S", position_loss=loss, close_out_cost=cost, collateral_value=margin)
    decision = assess([outcome], Resources(first_loss=first, tail=tail, senior_retention=senior, exposure=exposure))
    assert decision.passed == (exposure + loss + cost <= margin + first + tail + senior)


def test_one_scenario_that_does_not_fit_refuses_the_line() -> None:
    fits = replace(example(), name="fits", position_loss=0)
    assert not assess([fits, example("60000")], LAYERS).passed
    assert assess([fits, example()], LAYERS).passed


def test_the_repair_is_exactly_what_is_missing_of_margin() -> None:
    short = assess([example("60000")], LAYERS)
    assert short.repair == short.binding.short_by > 0
    mended = replace(short.binding.outcome, collateral_value=short.binding.outcome.collateral_value + short.repair)
    assert assess([mended], LAYERS).passed
    assert assess([replace(mended, collateral_value=mended.collateral_value - 1)], LAYERS).repair == 1
    assert assess([example()], LAYERS).repair == 0


def test_where_margin_covers_everything_the_dearest_scenario_binds() -> None:
    gains = replace(example(), name="gains", position_loss=-5, collateral_value=10**30)
    costs = replace(gains, name="costs", position_loss=7)
    decision = assess([gains, costs], LAYERS)
    assert (decision.binding.net_loss, decision.binding.outcome.name) == (0, "costs")


def test_a_broken_peg_needs_more_tokens_and_may_ask_for_the_most() -> None:
    low = replace(example("60000"), name="peg_break", token_value=Decimal("0.90"), collateral_value=10**6)
    worse = replace(example("60000"), collateral_value=0)
    decision = assess([low, worse], LAYERS)
    assert decision.binding.outcome.name == worse.name, "the larger loss"
    assert decision.repair == low_tokens(decision.rows[0].short_by) > decision.binding.short_by
    assert decision.as_data()["repair"] == decision.repair


def low_tokens(short_by: int) -> int:
    """At 0.90 dollars a token, rounded up."""
    return -(-short_by * 10 // 9)
