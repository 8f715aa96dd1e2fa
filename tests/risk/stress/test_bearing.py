"""Who bears a stress: the parts add up, in the order of loss, each relationship on its own."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intermediary.money import requirement_from_float
from risk.margin.admission import Resources, ScenarioOutcome, assess
from risk.margin.ruleset import ruleset
from risk.margin.stress import published_scenarios
from risk.stress.bearing import Borne, bear, bear_books, total, two_largest, under_scenarios
from tests.risk.builders import book, matrices, required, snapshot

USD = 10**6
AMOUNTS = st.integers(0, 10**15)
BEARERS = Resources(first_loss=2_000_000 * USD, tail=3_000_000 * USD, senior_retention=1_000_000 * USD)


def outcome(loss: int, margin: int, cost: int = 0) -> ScenarioOutcome:
    return ScenarioOutcome(name="s", title="S", position_loss=loss, close_out_cost=cost, collateral_value=margin)


@given(st.integers(-(10**15), 10**15), AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS)
def test_the_parts_of_a_loss_add_up_in_their_order(
    loss: int, cost: int, margin: int, first: int, tail: int, senior: int, exposure: int
) -> None:
    means = Resources(first_loss=first, tail=tail, senior_retention=senior, exposure=exposure)
    found = bear(outcome(loss, margin, cost), means, cash=0)
    assert found.margin + found.net_loss == max(0, found.gross)
    assert 0 <= found.margin <= margin
    taken = (found.first_loss, found.tail, found.senior, found.uncovered)
    assert all(part >= 0 for part in taken)
    for part, room, later in zip(taken, (first, tail, senior), (taken[1:], taken[2:], taken[3:]), strict=False):
        assert part == room or not any(later)
        assert part <= room
    judged = assess([outcome(loss, margin, cost)], means)
    assert (found.net_loss, found.uncovered) == (judged.binding.net_loss, judged.binding.short_by)


def test_a_loss_runs_through_the_layers() -> None:
    found = bear(outcome(8_500_000 * USD, 1_000_000 * USD), BEARERS, cash=400_000 * USD)
    parts = (found.margin, found.first_loss, found.tail, found.senior, found.uncovered)
    assert [part // USD for part in parts] == [1_000_000, 2_000_000, 3_000_000, 1_000_000, 1_500_000]
    assert found.prefinance == 8_100_000 * USD  # coins are still to be sold, layers still to pay


def test_who_is_covered_by_margin_needs_no_cash_of_ours() -> None:
    assert bear(outcome(10 * USD, 20 * USD), BEARERS, cash=0) == Borne(gross=10 * USD, margin=10 * USD)


@given(AMOUNTS, AMOUNTS)
def test_a_larger_loss_lowers_nobodys_part(loss: int, more: int) -> None:
    less, worse = (bear(outcome(one, 5 * USD), BEARERS, cash=0) for one in (loss, loss + more))
    for name in ("margin", "first_loss", "tail", "senior", "uncovered", "prefinance"):
        assert getattr(less, name) <= getattr(worse, name), name


def test_published_scenarios_give_what_the_admission_test_gives() -> None:
    """The same losses as the requirement's, so that this table and a refused trade never disagree."""
    positions, held = book({"BTC-PERP": 100, "BTC-CALL": -40}, {"XRP-PERP": -9e6}), book({"BTC": 10}, {"USDC": 4e6})
    batch = required({"BTC-PERP": 100, "BTC-CALL": -40}, {"XRP-PERP": -9e6}, held=held)
    means = [BEARERS, replace(BEARERS, exposure=77 * USD)]
    found = bear_books(matrices(), positions, held, means)
    for account, rows in enumerate(found):
        judged = assess(batch.outcomes(account)[: len(rows)], means[account])
        assert [row.net_loss for row in rows] == [row.net_loss for row in judged.rows]
        assert [row.uncovered for row in rows] == [row.short_by for row in judged.rows]


def test_any_ruleset_can_be_put_under_the_published_scenarios() -> None:
    own = replace(matrices("worked-example"), adv_usd=matrices().adv_usd)  # which it takes of a mean day
    published = under_scenarios(own, snapshot(), published_scenarios())
    assert len(own.ruleset.stress) == 1
    positions, held = book({"BTC-PERP": 50}), book({"USDC": 1e6})
    theirs = under_scenarios(matrices(), snapshot(), published_scenarios())
    assert bear_books(published, positions, held, [BEARERS]) == bear_books(theirs, positions, held, [BEARERS])
    np.testing.assert_array_equal(theirs.stress, matrices().stress)
    assert theirs.ruleset == ruleset("standard")


def test_a_broken_peg_lowers_the_cash_that_margin_is() -> None:
    """The settlement coin at 0.90: what is held in it prefinances less, and more of the loss is left."""
    names = [item.name for item in published_scenarios()]
    rows = bear_books(matrices(), book({"BTC-PERP": 1_000}), book({"USDC": 1e6}), [BEARERS])[0]
    row = rows[names.index("peg_break")]
    assert row.margin == 900_000 * USD
    assert row.prefinance == row.gross - 900_000 * USD


def test_the_intermediary_is_the_sum_of_its_relationships() -> None:
    parts = [bear(outcome(loss * USD, 0), BEARERS, cash=0) for loss in (5, 1_000_000, 9_000_000)]
    together = total(parts)
    assert together.net_loss == 10_000_005 * USD
    assert together.uncovered == 3_000_000 * USD  # the small ones' layers do not pay for the large one
    assert total([]) == Borne()


def test_the_two_largest_are_those_that_need_most_cash_together() -> None:
    def row(*losses: int) -> list[Borne]:
        return [bear(outcome(loss, 10), BEARERS, cash=10) for loss in losses]

    found = two_largest([row(100, 0, 90), row(50, 5, 80), row(10, 0, 95), row(0, 300, 0)])
    assert found is not None
    assert (found.scenario, found.accounts) == (1, (3,))  # alone, it needs more than any two together elsewhere
    found = two_largest([row(100, 0, 90), row(50, 5, 80), row(10, 0, 95)])
    assert found is not None
    assert (found.scenario, found.accounts, found.borne.prefinance) == (2, (2, 0), 165)
    assert two_largest([row(9, 10), row(1, 2)]) is None
    assert two_largest([]) is None


def test_accounts_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match="same accounts"):
        bear_books(matrices(), book({"BTC": 1}), book({}), [])


def test_a_requirement_rounds_up_and_so_does_a_stress() -> None:
    rows = bear_books(
        matrices(), book({"XRP-PERP": 1}), book({}), [Resources(first_loss=0, tail=0, senior_retention=0)]
    )
    batch = required({"XRP-PERP": 1})
    parts = (float(batch.stress_loss[0, 0]), float(batch.stress_cost[0, 0]))
    assert rows[0][0].gross == sum(requirement_from_float(part, 6) for part in parts)
