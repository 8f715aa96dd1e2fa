"""Coupon dates of a note: accrual periods, record dates and payment dates.

Dates follow the United States government bond calendar, modified following, generated backwards from maturity, as for
the Treasury bills that collateralise the note. Accrual dates are adjusted with the payment dates, so each coupon is
paid on the day its period ends. Amounts are in `coupons`, values in `pricing`. Loads QuantLib.
"""

from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from itertools import pairwise

import QuantLib as ql

from bonds.pricing.coupons import DAYS_A_YEAR
from risk.market.quantlib import business_calendar, from_ql, to_ql

SHORT_STUB_DAYS = 14  # below it a record date could fall before the notes are allotted


@dataclass(frozen=True)
class CouponPeriod:
    """Interest accrues over accrual_start <= day < accrual_end to whoever holds the note at the end of record_date."""

    accrual_start: date
    accrual_end: date
    record_date: date
    payment_date: date

    @property
    def days(self) -> int:
        return (self.accrual_end - self.accrual_start).days

    @property
    def year_fraction(self) -> float:
        """ACT/360."""
        return self.days / DAYS_A_YEAR


@lru_cache(maxsize=1024)  # a live price asks for the same few schedules at every tick
def coupon_schedule(
    issue: date, maturity: date, months_between_coupons: int = 3, record_business_days: int = 1
) -> tuple[CouponPeriod, ...]:
    """All coupon periods from issue to maturity, in order; a first stub of under two weeks joins the next period.

    The record date lies `record_business_days` business days before payment, never before issue. The issue date is
    kept as it is (notes settle on chain on any day); every later date is a business day.
    """
    if not issue < maturity:
        raise ValueError(f"a note must mature after its issue: {issue} .. {maturity}")
    if months_between_coupons < 1 or record_business_days < 0:
        raise ValueError("coupons come every month or more rarely, and records are not taken after payment")
    dates = _accrual_dates(issue, maturity, months_between_coupons)
    calendar = business_calendar()
    return tuple(
        CouponPeriod(
            accrual_start=start,
            accrual_end=end,
            record_date=max(issue, from_ql(calendar.advance(to_ql(end), -record_business_days, ql.Days))),
            payment_date=end,
        )
        for start, end in pairwise(dates)
    )


def _accrual_dates(issue: date, maturity: date, months_between_coupons: int) -> list[date]:
    """Issue, then each end of a period, adjusted. Strictly rising."""
    unadjusted = list(
        ql.Schedule(
            to_ql(issue),
            to_ql(maturity),
            ql.Period(months_between_coupons, ql.Months),
            ql.NullCalendar(),
            ql.Unadjusted,
            ql.Unadjusted,
            ql.DateGeneration.Backward,
            False,
        )
    )
    ends = [from_ql(business_calendar().adjust(d, ql.ModifiedFollowing)) for d in unadjusted[1:]]
    if len(ends) > 1 and (ends[0] - issue).days < SHORT_STUB_DAYS:
        ends = ends[1:]
    if ends[0] <= issue:
        raise ValueError(f"no business day of payment between {issue} and {maturity}")
    return [issue, *ends]
