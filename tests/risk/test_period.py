"""The margin period follows from signed times, and a longer one is the same worlds carried further."""

from dataclasses import replace
from datetime import date

import numpy as np

from intermediary.terms import Terms
from risk.margin.ruleset import of_period, ruleset
from risk.margin.scenarios import build_scenarios
from risk.margin.shocks import BY_SHOCK
from risk.period import margin_period_minutes, rules_of
from tests.risk.builders import scenarios

TERMS = Terms(
    relationship="R-1", agreement="", client="", payout="", rulebook_hash="", ruleset="standard",
    minimum_transfer_base_units=0, rounding_unit_base_units=1, haircut_bps=(), valuation_minutes=5,
    acknowledge_minutes=5, deliver_minutes=15, grace_minutes=0, cure_minutes=0, answer_minutes=0, exit_minutes=0,
    debit_cap_base_units=0, max_required_base_units=0,
)  # fmt: skip


def test_the_period_is_the_sum_of_its_parts_in_whole_hours_and_never_below_the_floor() -> None:
    slow = replace(
        TERMS, valuation_minutes=60, acknowledge_minutes=60, deliver_minutes=240, grace_minutes=360, cure_minutes=60
    )
    parts = margin_period_minutes(slow, "standard")
    assert list(parts.values()) == [60, 240, 360, 60, 60, 720]
    assert sum(parts.values()) == 25 * 60
    assert rules_of(slow) == of_period("standard", 25)
    assert rules_of(replace(slow, grace_minutes=361)) == of_period("standard", 26)
    assert rules_of(replace(slow, grace_minutes=300)) == "standard"
    assert rules_of(TERMS) == "standard"
    assert rules_of(replace(slow, ruleset="worked-example")) == "worked-example"
    assert rules_of(replace(slow, ruleset="worked-example"), under="standard") == of_period("standard", 25)


def test_a_ruleset_over_a_period_is_the_published_one() -> None:
    longer = ruleset(of_period("standard", 30))
    assert longer.mpor_hours == 30.0
    assert longer.hash == ruleset("standard").hash
    assert replace(longer, published_hash="").hash != longer.hash


def test_scenarios_carried_to_a_longer_period_are_those_drawn_for_it() -> None:
    carried = scenarios().over(36.0, 24.0)
    drawn = build_scenarios(replace(ruleset("standard"), mpor_hours=36.0), date(2025, 10, 10), None)
    for name in ("price_ratio", "vol_ratio", "vol_term", "vol_skew", "premium", *BY_SHOCK):
        found, expected = getattr(carried.shocks, name), getattr(drawn.shocks, name)
        assert (np.abs(found - expected) <= np.maximum(1e-12 * np.abs(expected), 1e-12)).all(), name
    assert carried.shocks.hours == drawn.shocks.hours == 36.0
    assert np.array_equal(carried.distress, drawn.distress)
    assert carried.id != scenarios().id
