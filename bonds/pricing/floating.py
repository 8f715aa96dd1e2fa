"""The floating rate of a period: SOFR of each business day, compounded in arrears, ACT/360.

One rate a period, known at its end, which every day of the period then earns on that day's principal. A day that is no
business day earns the rate of the business day before it, also where a period begins on one (notes settle on chain on
any day). Rates of days gone are the recorded fixings; a day's rate is published on the next business day, so the last
known one stands for those that are not out yet. Rates to come are the forwards of the risk-free curve. Loads QuantLib
for the calendar; `quantlib_notes` prices the same leg by QuantLib's own coupons.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import lru_cache

import numpy as np
import QuantLib as ql
from numpy.typing import NDArray

from bonds.pricing.coupons import DAYS_A_YEAR
from bonds.pricing.schedule import CouponPeriod
from intermediary.errors import Refusal
from risk.market.curve import DiscountCurve
from risk.market.quantlib import business_calendar, from_ql, to_ql

FloatArray = NDArray[np.float64]

# A long weekend has four days, and a rate comes one business day late; what is older was not recorded.
FIXING_AGE_DAYS_MAX = 7


@dataclass(frozen=True, eq=False)
class Fixings:
    """Published overnight rates by the business day that they hold for, fractions of one, ACT/360. Empty where nothing
    is recorded: days gone then count at the curve's own first rate, which is said beside the price."""

    rates: Mapping[date, float] = field(default_factory=dict)

    def of(self, day: date) -> float:
        """The rate of a business day, or the last one known within a week. Refuses a longer hole."""
        for age in range(FIXING_AGE_DAYS_MAX + 1):
            rate = self.rates.get(day - timedelta(days=age))
            if rate is not None:
                return rate
        raise Refusal(
            "fixings.missing",
            f"No overnight rate is recorded for {day}, nor for the {FIXING_AGE_DAYS_MAX} days before it.",
            day=day.isoformat(),
            recorded=len(self.rates),
        )


NOTHING_RECORDED = Fixings()


def floating_rates(
    periods: Sequence[CouponPeriod], as_of: date, discount: DiscountCurve, fixings: Fixings = NOTHING_RECORDED
) -> FloatArray:
    """(P,) annual rate of each period, in order; `periods` end after `as_of`, and the curve is dated `as_of`."""
    return _rates(tuple(periods), as_of, discount, fixings)


@lru_cache(maxsize=256)  # notes of a series, and series of a season, share their periods at every mark
def _rates(
    periods: tuple[CouponPeriod, ...], as_of: date, discount: DiscountCurve, fixings: Fixings
) -> NDArray[np.float64]:
    found = np.array([_rate(period, as_of, discount, fixings) for period in periods])
    found.flags.writeable = False
    return found


def _rate(period: CouponPeriod, as_of: date, discount: DiscountCurve, fixings: Fixings) -> float:
    """(product of 1 + r n / 360 - 1) over the period's year fraction."""
    gone = 1.0
    start = period.accrual_start
    if start < as_of:
        days = [day for day in fixing_days(start, period.accrual_end) if day < as_of]
        ends = [*days[1:], min(_next(days[-1]), period.accrual_end)]
        for day, end in zip(days, ends, strict=True):
            gone *= 1 + past_rate(day, discount, fixings) * (end - max(day, start)).days / DAYS_A_YEAR
        start = max(as_of, ends[-1])
    to_come = discount.factor(start) / discount.factor(period.accrual_end) if start < period.accrual_end else 1.0
    return (gone * to_come - 1) / period.year_fraction


@lru_cache(maxsize=1024)
def fixing_days(start: date, end: date) -> tuple[date, ...]:
    """Business days whose rates hold for the days start <= d < end: the first may lie before `start`."""
    calendar = business_calendar()
    first = from_ql(calendar.adjust(to_ql(start), ql.Preceding))
    return (
        first,
        *(from_ql(day) for day in calendar.businessDayList(to_ql(first), to_ql(end)) if first < from_ql(day) < end),
    )


def _next(day: date) -> date:
    return from_ql(business_calendar().advance(to_ql(day), 1, ql.Days))


def past_rate(day: date, discount: DiscountCurve, fixings: Fixings) -> float:
    """The fixing of a business day gone; the curve's own first rate, simple ACT/360, where nothing is recorded."""
    if fixings.rates:
        return fixings.of(day)
    return (1 / discount.factor(discount.as_of + timedelta(days=1)) - 1) * DAYS_A_YEAR
