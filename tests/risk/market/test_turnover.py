"""Turnover by the hour of the week: what lies ahead of a moment, and what that does to the charge for selling."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.margin.matrices import PACE_HOURS, RiskMatrices
from risk.margin.requirement import RequirementBatch, requirements
from risk.margin.ruleset import ruleset
from risk.market.parameters import load_parameters
from risk.market.turnover import HOURS_A_WEEK, share_ahead
from tests.risk.builders import INSTRUMENTS, book, scenarios, snapshot

MONDAY = datetime(2025, 10, 6, tzinfo=UTC)
PROFILE = load_parameters().turnover_profile
EARLY = INSTRUMENTS[:11]  # perpetuals and spot, whatever the moment


def test_a_profile_is_a_week_of_mean_one() -> None:
    assert len(PROFILE) == HOURS_A_WEEK
    assert np.mean(PROFILE) == pytest.approx(1.0, abs=1e-4)
    assert min(PROFILE) > 0.0
    assert np.mean(PROFILE[120:]) < 0.8 * np.mean(PROFILE[:120]), "weekends are thin"


@given(st.floats(0.0, 335.0), st.floats(0.25, 400.0))
def test_what_lies_ahead_is_the_mean_of_those_hours(begin: float, hours: float) -> None:
    at = MONDAY + timedelta(seconds=round(begin * 3600))
    start = (at - MONDAY).total_seconds() / 3600
    grid = np.arange(int(start), int(start + hours) + 1)
    part = np.minimum(grid + 1, start + hours) - np.maximum(grid, start)
    expected = (part * np.array(PROFILE)[grid % HOURS_A_WEEK]).sum() / hours
    assert share_ahead(PROFILE, at, hours) == pytest.approx(expected, rel=1e-9)


def test_a_whole_week_is_an_ordinary_one_from_any_moment() -> None:
    for hours in (0, 13.5, 100):
        assert share_ahead(PROFILE, MONDAY + timedelta(hours=hours), HOURS_A_WEEK) == pytest.approx(1.0, abs=1e-4)


@cache
def at(moment: datetime, by_hour: bool = True) -> RequirementBatch:
    """A position of half a percent of a day's turnover, at this moment."""
    rules = replace(ruleset("standard"), liquidity_by_hour=by_hour)
    market = replace(snapshot(), as_of=moment, underlyings={
        coin: replace(item, observed_at=moment) for coin, item in snapshot().underlyings.items()
    })  # fmt: skip
    return requirements(RiskMatrices.build(market, rules, scenarios(), EARLY), book({"BTC-PERP": 700.0}))


def test_selling_into_a_weekend_costs_more_and_nothing_else_changes() -> None:
    friday, saturday = at(MONDAY + timedelta(days=4, hours=8)), at(MONDAY + timedelta(days=5, hours=18))
    plain = at(MONDAY + timedelta(days=5, hours=18), by_hour=False)
    assert saturday.liquidity[0] > 1.1 * plain.liquidity[0] > 1.1 * friday.liquidity[0]
    assert saturday.base[0] == friday.base[0] == plain.base[0]
    share = share_ahead(PROFILE, MONDAY + timedelta(days=5, hours=18), PACE_HOURS)
    assert saturday.matrices.adv_usd == pytest.approx(plain.matrices.adv_usd * share)


def test_the_worked_example_knows_no_hours() -> None:
    assert not ruleset("worked-example").liquidity_by_hour
