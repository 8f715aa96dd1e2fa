"""The overnight rates that a floating coupon earns: each day's own on that day's principal, ACT/360, not compounded.

That is what servicing pays (`bonds.servicing.overnight`): simple interest, none on interest inside a period. Of a day
gone it is the rate that is known of it, or the last one known before it (a weekend has none of its own); of a day to
come the one-day forward of the risk-free curve. `quantlib_notes` prices the same leg by QuantLib's own coupons, with
simple averaging. Pure numpy.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import lru_cache

import numpy as np

from bonds.pricing.cashflows import OvernightRates, Plan, factors_on
from bonds.pricing.coupons import DAYS_A_YEAR
from intermediary.errors import Refusal
from risk.market.curve import DiscountCurve

# A long weekend has four days, and a rate comes one business day late; what is older was not recorded.
FIXING_AGE_DAYS_MAX = 7


@dataclass(frozen=True, eq=False)
class Fixings:
    """Overnight rates known of days gone, fractions of one, ACT/360. Empty where nothing is known: those days then
    count at the curve's own first rate, which is said beside the price."""

    rates: Mapping[date, float] = field(default_factory=dict)

    def of(self, day: date) -> float:
        """The rate of a day, or the last one known within a week. Refuses a longer hole."""
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


@lru_cache(maxsize=256)  # classes of a series, and series of a season, share their days at every mark
def overnight_rates(plan: Plan, discount: DiscountCurve, fixings: Fixings = NOTHING_RECORDED) -> OvernightRates:
    """Of every day of the plan; the curve is dated as the plan is. Refuses `fixings.missing`."""
    gone = [
        sum(
            past_rate(period.accrual_start + timedelta(days=count), discount, fixings)
            for count in range(int(days_past))
        )
        for period, days_past in zip(plan.periods, plan.days_past, strict=True)
    ]
    factors = factors_on(np.append(plan.days, plan.days[-1] + 1), discount)
    rates = OvernightRates(np.array(gone, dtype=np.float64), (factors[:-1] / factors[1:] - 1) * DAYS_A_YEAR)
    rates.gone.flags.writeable = rates.to_come.flags.writeable = False
    return rates


def no_rates(plan: Plan) -> OvernightRates:
    """Of a fixed note."""
    return OvernightRates(np.zeros_like(plan.days_past), np.zeros_like(plan.days))


def past_rate(day: date, discount: DiscountCurve, fixings: Fixings) -> float:
    """The rate of a day gone; the curve's own first rate, simple ACT/360, where nothing is recorded."""
    if fixings.rates:
        return fixings.of(day)
    return (1 / discount.factor(discount.as_of + timedelta(days=1)) - 1) * DAYS_A_YEAR
