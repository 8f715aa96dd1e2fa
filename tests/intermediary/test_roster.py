"""A roster that changed is the roster of those who are in it now."""

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intermediary import exact_sums
from intermediary.allowance import Allowance
from intermediary.books import HeldBook
from intermediary.margin_columns import MarginColumns
from intermediary.roster import Roster
from intermediary.standings import Member, Standing, StandingCall
from tests.intermediary.test_margin_columns import ASSETS, standings

NOW = datetime(2025, 10, 10, 21, tzinfo=UTC)


@st.composite
def members(draw: st.DrawFn) -> Member:
    """Any state of a relationship, and any book."""
    line = Allowance(draw(st.integers(0, 10**13)), Decimal(0), NOW + timedelta(hours=draw(st.integers(-1, 1))))
    standing = replace(
        draw(standings()),
        state=draw(st.sampled_from(["OPEN", "NO_NEW_RISK", "DEFAULTED"])),
        allowance=draw(st.sampled_from([None, line])),
        calls=draw(st.sampled_from([{}, {"MARGIN": StandingCall("ISSUED", 5)}])),
        has_lapsed=draw(st.booleans()),
        in_default=draw(st.booleans()),
        is_gross=draw(st.booleans()),
    )
    held = draw(st.dictionaries(st.integers(0, 5), st.integers(-(10**27), 10**27), max_size=4))
    book = HeldBook(("", ""), tuple(held), tuple(held.values()), draw(st.integers(-(10**33), 10**33)))
    return Member(UUID(int=draw(st.integers(0, 2**128 - 1))), standing, book)


@given(st.lists(members(), min_size=2, max_size=4), members())
def test_changed_members_are_written_anew(before: list[Member], now: Member) -> None:
    roster, seen = Roster.of(before, ASSETS), Roster.of(before, ASSETS)
    after = [before[0], now._replace(standing=replace(now.standing, key=before[1].standing.key)), *before[2:]]
    assert_same(roster.with_changes({1: after[1]}), Roster.of(after, ASSETS))
    assert_same(roster, seen)


def assert_same(one: Roster, other: Roster) -> None:
    """Column by column."""
    assert list(one.members) == list(other.members)
    assert list(one.cells) == list(other.cells)
    for name in ("indptr", "numbers", "digits"):
        assert np.array_equal(getattr(one.books, name), getattr(other.books, name)), name
    for flags, others in zip(one.flags, other.flags, strict=True):
        assert np.array_equal(flags, others)
    assert np.array_equal(one.thresholds(NOW), other.thresholds(NOW))
    assert np.array_equal(one.thresholds(NOW + timedelta(hours=2)), np.zeros(len(one.members)))
    for column in fields(MarginColumns):
        mine, yours = getattr(one.margin, column.name), getattr(other.margin, column.name)
        if isinstance(mine, np.ndarray):
            assert np.array_equal(mine, yours, equal_nan=mine.dtype == float), column.name
        else:
            assert mine == yours, column.name


def test_a_threshold_is_that_of_the_line_while_it_lasts() -> None:
    def of(allowance: Allowance | None) -> int:
        base = Standing("OPEN", None, allowance, {}, (), {}, False, False, False, (), (), "")
        found = Roster.of([Member(UUID(int=1), base, HeldBook(("", ""), (), (), 0))], ASSETS)
        return int(found.thresholds(NOW)[0])

    line = Allowance(7, Decimal(0), NOW + timedelta(seconds=1))
    assert [of(None), of(line), of(replace(line, ends_at=NOW))] == [0, 7, 0]


def test_a_quantity_that_has_no_digits_is_refused() -> None:
    huge = HeldBook(("", ""), (0,), (2**120,), 0)
    standing = Standing("OPEN", None, None, {}, (), {}, False, False, False, (), (), "")
    with pytest.raises(OverflowError):
        Roster.of([Member(UUID(int=1), standing, huge)], ASSETS)
    assert exact_sums.DIGITS * exact_sums.BYTES * 8 == 120
