"""Coupons accrue on the daily outstanding principal and are rounded once, down."""

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bonds.pricing.coupons import DatedBalance, accrued_coupon, coupon_base_units_round_down

START = date(2025, 10, 1)


def day(offset: int) -> date:
    return START + timedelta(days=offset)


@pytest.mark.parametrize(
    ("end", "balances", "message"),
    [
        (day(-1), [DatedBalance(START, 1)], "before it starts"),
        (day(9), [], "first balance"),
        (day(9), [DatedBalance(day(1), 1)], "first balance"),
        (day(9), [DatedBalance(START, 1), DatedBalance(START, 2)], "strictly"),
    ],
)
def test_accrual_refuses_a_malformed_period(end: date, balances: list[DatedBalance], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        accrued_coupon(START, end, balances, Decimal("0.08"))


def test_a_full_quarter_on_constant_principal() -> None:
    coupon = coupon_base_units_round_down(START, day(90), [DatedBalance(START, 6 * 10**12)], Decimal("0.085"))
    assert coupon == 127_500 * 10**6


def test_a_write_down_counts_from_its_own_day_and_claws_nothing_back() -> None:
    balances = [DatedBalance(START, 360_000_000), DatedBalance(day(10), 0), DatedBalance(day(20), 36_000_000)]
    assert accrued_coupon(START, day(30), balances, Decimal("0.1")) == 10 * 100_000 + 10 * 10_000


def test_the_coupon_is_rounded_down_once() -> None:
    assert accrued_coupon(START, day(7), [DatedBalance(START, 1_000)], Decimal("0.05")) == Fraction(35, 36)
    assert coupon_base_units_round_down(START, day(7), [DatedBalance(START, 1_000)], Decimal("0.05")) == 0


steps = st.dictionaries(st.integers(-20, 120), st.integers(0, 10**15), max_size=8)
rates = st.decimals(0, 1, places=6)


def balances_from(first: int, changes: dict[int, int]) -> list[DatedBalance]:
    return [DatedBalance(day(-30), first), *(DatedBalance(day(d), changes[d]) for d in sorted(changes))]


@given(st.integers(0, 10**15), steps, st.integers(0, 100), rates)
def test_coupon_is_the_sum_over_days_of_outstanding_times_rate(
    first: int, changes: dict[int, int], days: int, rate: Decimal
) -> None:
    balances = balances_from(first, changes)
    by_day = sum(
        (
            [b for b in balances if b.effective <= day(d)][-1].outstanding_base_units * Fraction(rate) / 360
            for d in range(days)
        ),
        Fraction(0),
    )
    assert accrued_coupon(START, day(days), balances, rate) == by_day
    assert 0 <= by_day - coupon_base_units_round_down(START, day(days), balances, rate) < 1


@given(st.integers(0, 10**15), steps, st.integers(0, 100), st.integers(0, 100), rates)
def test_accrual_adds_up_over_split_periods(
    first: int, changes: dict[int, int], one: int, other: int, rate: Decimal
) -> None:
    balances = balances_from(first, changes)
    middle, end = sorted((one, other))
    whole = accrued_coupon(START, day(end), balances, rate)
    later = [b for b in balances if b.effective <= day(middle)][-1:]
    later += [b for b in balances if b.effective > day(middle)]
    assert whole == accrued_coupon(START, day(middle), balances, rate) + accrued_coupon(
        day(middle), day(end), later, rate
    )
