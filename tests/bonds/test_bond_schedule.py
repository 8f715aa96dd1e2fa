"""Coupon dates: business days, contiguous, and holders of record who can exist."""

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bonds.pricing.schedule import coupon_schedule
from risk.market.quantlib import is_business_day


def test_a_note_that_matures_at_issue_is_refused() -> None:
    with pytest.raises(ValueError, match="mature after"):
        coupon_schedule(date(2025, 10, 6), date(2025, 10, 6))


@pytest.mark.parametrize(("months", "record_days"), [(0, 1), (3, -1)])
def test_impossible_frequencies_and_record_dates_are_refused(months: int, record_days: int) -> None:
    with pytest.raises(ValueError, match="coupons come"):
        coupon_schedule(date(2025, 10, 6), date(2026, 10, 6), months, record_days)


def test_quarterly_dates_of_one_year_by_the_calendar() -> None:
    periods = coupon_schedule(date(2025, 10, 6), date(2026, 10, 6))
    assert [p.payment_date for p in periods] == [
        date(2026, 1, 6),
        date(2026, 4, 6),
        date(2026, 7, 6),
        date(2026, 10, 6),
    ]
    assert [p.days for p in periods] == [92, 90, 91, 92]
    assert periods[2].record_date == date(2026, 7, 2)  # 3 July 2026 is the observed holiday, then a weekend
    assert periods[0].year_fraction == 92 / 360


def test_month_end_is_kept_within_its_month() -> None:
    periods = coupon_schedule(date(2025, 8, 29), date(2026, 2, 28), months_between_coupons=1)
    assert periods[-1].payment_date == date(2026, 2, 27)


def test_a_stub_of_days_joins_the_next_period() -> None:
    periods = coupon_schedule(date(2025, 10, 4), date(2026, 1, 6))
    assert [(p.accrual_start, p.accrual_end) for p in periods] == [(date(2025, 10, 4), date(2026, 1, 6))]


def test_a_note_without_any_payment_day_is_refused() -> None:
    with pytest.raises(ValueError, match="no business day"):
        coupon_schedule(date(2025, 5, 30), date(2025, 5, 31))


@settings(deadline=None)
@given(
    st.dates(date(2020, 1, 1), date(2035, 1, 1)),
    st.integers(5, 2000),
    st.sampled_from([1, 3, 6, 12]),
    st.integers(0, 5),
)
def test_periods_tile_the_life_of_the_note(issue: date, days: int, months: int, record_days: int) -> None:
    periods = coupon_schedule(issue, issue + timedelta(days=days), months, record_days)
    assert periods[0].accrual_start == issue
    for earlier, later in pairwise(periods):
        assert later.accrual_start == earlier.accrual_end
    assert abs((periods[-1].accrual_end - issue).days - days) <= 4
    for period in periods:
        assert period.days > 0
        assert is_business_day(period.payment_date)
        assert issue <= period.record_date <= period.payment_date == period.accrual_end
