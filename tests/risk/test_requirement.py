"""Requirements add up, scale, net and never see another account."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intermediary.ids import uuid7
from intermediary.words import MARGIN_LINES
from risk.figures import Assessment
from risk.margin.kernels import sparse_losses
from risk.margin.requirement import Positions, requirements
from risk.margin.ruleset import ruleset
from risk.margin.tails import expected_shortfall
from tests.risk.builders import INDEX, INSTRUMENTS, book, matrices, required

quantities = st.floats(-500.0, 500.0).map(lambda value: round(value, 3))
books = st.dictionaries(st.sampled_from([item.id for item in INSTRUMENTS]), quantities, min_size=1, max_size=6)


def test_a_position_outside_the_table_is_rejected() -> None:
    with pytest.raises(ValueError, match="outside"):
        requirements(matrices(), Positions.from_rows([[(len(INSTRUMENTS), 1.0)]]))


def test_a_quantity_that_is_no_number_is_rejected() -> None:
    with pytest.raises(ValueError, match="not a number"):
        requirements(matrices(), Positions.from_rows([[(0, float("nan"))]]))


def test_collateral_of_other_accounts_is_rejected() -> None:
    with pytest.raises(ValueError, match="collateral of 2 accounts"):
        required({"BTC": 1.0}, held=book({"USDC": 1.0}, {"USDC": 1.0}))


@given(st.lists(books, min_size=1, max_size=4))
def test_the_breakdown_adds_up_exactly(accounts: list[dict[str, float]]) -> None:
    batch = required(*accounts)
    for account in range(len(accounts)):
        total = 0.0
        for line in batch.lines(account):
            assert line.amount_usd >= 0.0
            total += line.amount_usd
        assert total == batch.total[account]
        expected = max(batch.base[account], batch.jump[account]) + batch.liquidity[account] + batch.wrong_way[account]
        assert total == pytest.approx(expected, rel=1e-12, abs=1e-9)
        stored = Assessment(uuid7(), batch, account).breakdown()
        cents = [round(100 * amount) for _, amount in stored["lines"]]
        assert sum(cents) == round(100 * stored["total"]), "as stored, too, to the cent"
        assert min(cents) >= 0


def test_the_compiled_product_equals_the_dense_one() -> None:
    random = np.random.default_rng(5)
    rows = [[(int(i), float(random.normal())) for i in random.integers(0, len(INSTRUMENTS), 12)] for _ in range(50)]
    positions = Positions.from_rows(rows)
    dense = np.zeros((50, len(INSTRUMENTS)))
    for account, row in enumerate(rows):
        for instrument, quantity in row:
            dense[account, instrument] += quantity
    losses = np.empty((50, 2_000))
    sparse_losses(losses, positions.indptr, positions.indices, positions.quantity, matrices().profit)
    expected = -dense @ matrices().profit
    # approx looks at one number after the other: seconds for a hundred thousand of them
    assert (np.abs(losses - expected) <= np.maximum(1e-9 * np.abs(expected), 1e-6)).all()
    batch = requirements(matrices(), positions)
    assert batch.es_99 == pytest.approx(np.maximum(expected_shortfall(expected, 0.99), 0.0), rel=1e-5, abs=1e-3)


@given(books, st.floats(0.01, 100.0))
def test_base_margin_grows_in_proportion_to_the_book(account: dict[str, float], factor: float) -> None:
    one, many = required(account), required({name: quantity * factor for name, quantity in account.items()})
    tolerance = 1e-4 * factor * max(float(one.base[0]), 1e-3 * float(one.gross_notional[0]), 1e-6)
    assert abs(many.base[0] - factor * one.base[0]) <= tolerance


@given(books, books)
def test_netting_never_costs_more_than_two_separate_books(one: dict[str, float], two: dict[str, float]) -> None:
    """Expected shortfall is sub-additive scenario set by scenario set; the Pareto quantile need not be."""
    both = {name: one.get(name, 0.0) + two.get(name, 0.0) for name in one | two}
    batch = required(one, two, both)
    slack = 1e-5 * float(batch.gross_notional[:2].sum()) + 1e-6
    assert batch.es_99[2] <= batch.es_99[0] + batch.es_99[1] + slack
    assert batch.es_995[2] <= batch.es_995[0] + batch.es_995[1] + slack


@given(books, books)
def test_another_account_changes_nothing(mine: dict[str, float], other: dict[str, float]) -> None:
    alone, beside = required(mine), required(other, mine)
    assert alone.lines(0) == beside.lines(1)
    assert alone.outcomes(0) == beside.outcomes(1)


def test_a_longer_horizon_never_needs_less() -> None:
    batch = required({"BTC-PERP": 100.0})
    assert batch.es_995[0] > batch.es_99[0] > 0.0
    assert batch.evt_var_997[0] > batch.es_99[0] / 2


def test_a_hedge_keeps_only_its_premium_risk() -> None:
    batch = required({"BTC": 1e6, "BTC-PERP": -1e6}, {"BTC": 1e6}, {})
    assert 0.0 < batch.es_99[0] < 0.06 * batch.es_99[1]
    assert batch.total[2] == 0.0


def test_a_nearly_closed_book_is_measured_in_double_precision() -> None:
    """A million coins against all of them but one: float32 would see its own dust."""
    row = [(INDEX["BTC"], 1e6), (INDEX["BTC"], -999_999.0)]
    batch = requirements(matrices(), Positions.from_rows([row, [(INDEX["BTC"], 1.0)]]))
    assert batch.es_99[0] == pytest.approx(float(batch.es_99[1]), rel=1e-6)
    opposite = requirements(matrices(), Positions.from_rows([[(INDEX["BTC"], 1e9), (INDEX["BTC"], -1e9)]]))
    assert opposite.total[0] == 0.0


def test_a_non_major_can_go_to_zero_and_a_major_cannot() -> None:
    batch = required({"AVAX-PERP": 1_000.0}, {"BTC-PERP": 10.0})
    assert batch.jump[0] == pytest.approx(1_000.0 * 26.5)
    assert batch.jump[1] == pytest.approx(0.35 * 0.60 * 10.0 * 95_000)


def test_of_the_gaps_the_worst_counts_and_they_are_not_added() -> None:
    both = {"BTC-PERP": 10.0, "AVAX-PERP": 1_000.0}
    batch = required(both, {"AVAX-PERP": 1_000.0, "LINK-PERP": 1_000.0, "ADA-PERP": 1.0}, both | {"USDC": 2e6})
    assert batch.jump == pytest.approx([199_500.0, 47_120.0, 200_000.0]), "majors, the two worst others, the peg"


def test_the_forecast_is_the_loss_of_a_further_fall() -> None:
    batch = required({"BTC-PERP": 10.0}, {"BTC-PERP": -10.0})
    assert batch.forecast_loss[0] == pytest.approx([47_500.0, 95_000.0, 190_000.0])
    assert batch.forecast_loss[1] == pytest.approx([-47_500.0, -95_000.0, -190_000.0])


def test_wrong_way_collateral_shows_in_shortfall_and_stress() -> None:
    position = {"BTC-PERP": 100.0}
    coin, cash = (required(position, held=book(held)) for held in ({"BTC": 100.0}, {"USDC": 9_500_000.0}))
    assert coin.collateral_value[0] == pytest.approx(cash.collateral_value[0])
    alone = required(position).es_995[0]
    assert coin.es_995[0] == pytest.approx(2 * alone, rel=0.05)  # but for the premium, which falls with the coin
    broken = 0.13 * 9_500_000.0 / 10  # one of the ten worst
    assert alone < cash.es_995[0] < alone + 1.05 * broken
    crash = coin.stress_names.index("covid_2020_03")
    assert coin.stress_collateral[0, crash] == pytest.approx(0.494 * 9_500_000)
    assert cash.stress_collateral[0, crash] == pytest.approx(9_500_000)
    assert coin.total[0] == cash.total[0]


def test_the_worst_stress_is_named() -> None:
    batch = required({"BTC-PERP": 100.0}, {"BTC-PERP": -100.0}, {"ADA-PERP": 1e6})
    assert batch.worst_stress_name(0) == "covid_2020_03"
    assert batch.worst_stress_name(1) == "weekend_up"
    assert batch.worst_stress_name(2) == "alt_wipe_out"
    assert batch.worst_stress_loss[0] > 0.506 * 9_500_000


def test_scenario_losses_are_those_of_positions_and_collateral() -> None:
    batch = required({"BTC-PERP": 100.0}, held=book({"BTC": 50.0}))
    losses = batch.scenario_losses(0)
    assert losses.shape == (2_000,)
    assert float(expected_shortfall(losses[None, :], 0.995)[0]) == pytest.approx(float(batch.es_995[0]), rel=1e-5)


def test_every_line_is_explained_to_clients() -> None:
    assert [name for name, _ in required({}).parts] == list(MARGIN_LINES)
    assert all(line.why and line.smaller for line in MARGIN_LINES.values())
    rules, jump = ruleset("standard"), MARGIN_LINES["jump_excess"].why
    assert f"{rules.jump_majors_share:.0%} of what you lose in bitcoin and ether" in jump
    assert f"moves of up to {max(map(abs, rules.jump_moves)):.0%}" in jump
