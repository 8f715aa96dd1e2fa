"""Cash flows of a note per 100 of its current principal: what is promised, and what a measure expects.

A *plan* is what is left of a schedule on a day: it depends on dates only, so thousands of notes of a few schedules
share it. Amounts follow from it by two rules for a period in which a loss falls:
- "daily", our terms: a day's coupon accrues on that day's principal and is not clawed back;
- "at_payment", the market's simplification: the whole coupon is scaled by the principal at its payment date.
The redemption is ours and paid once, on the last payment date. Coupons ACT/360, times ACT/365. Pure numpy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bonds.pricing.coupons import DAYS_A_YEAR
from bonds.pricing.curves import OutstandingCurve
from bonds.pricing.schedule import CouponPeriod, coupon_schedule
from risk.market.curve import DiscountCurve, check_covered, years_between

FloatArray = NDArray[np.float64]
PAR = 100.0
Accrual = Literal["daily", "at_payment"]


@dataclass(frozen=True, eq=False)
class Plan:
    """The periods of a note still to be paid after `as_of`. Arrays (P,) a period: `times` of payment in years, its
    ordinal `payment`, `days_past` accrued before `as_of` and `days_left` from then on; `days` (D,) the ordinals of each
    day still to accrue, and `starts` (P,) where each period begins among them."""

    as_of: date
    periods: tuple[CouponPeriod, ...]
    times: FloatArray
    payment: FloatArray
    days_past: FloatArray
    days_left: FloatArray
    days: FloatArray
    starts: NDArray[np.int64]

    @property
    def final(self) -> date:
        """Day of the redemption."""
        return self.periods[-1].payment_date


@dataclass(frozen=True, eq=False)
class OvernightRates:
    """What the days of a plan earn beside a spread (`floating`; zero of a fixed note), annual rates: `gone` (P,) summed
    over the days of each period before `as_of`, `to_come` (D,) of each day from then on."""

    gone: FloatArray
    to_come: FloatArray


@lru_cache(maxsize=4096)  # a live price asks for the same few schedules at every tick
def plan_of(issue: date, maturity: date, months_between_coupons: int, as_of: date) -> Plan:
    """What is left on `as_of`, when a coupon due is paid already. Raises ValueError before issue and from maturity."""
    schedule = coupon_schedule(issue, maturity, months_between_coupons)
    periods = tuple(period for period in schedule if period.payment_date > as_of)
    if as_of < issue or not periods:
        raise ValueError(f"a note is valued between issue and maturity: {as_of} for {issue} to {maturity}")
    begins = [max(period.accrual_start, as_of) for period in periods]
    left = np.array([(period.accrual_end - start).days for period, start in zip(periods, begins, strict=True)])
    first = begins[0].toordinal()
    return Plan(
        as_of=as_of,
        periods=periods,
        times=np.array([years_between(as_of, period.payment_date) for period in periods]),
        payment=np.array([period.payment_date.toordinal() for period in periods], dtype=np.float64),
        days_past=np.array(
            [(start - p.accrual_start).days for p, start in zip(periods, begins, strict=True)], dtype=float
        ),
        days_left=left.astype(np.float64),
        days=np.arange(first, first + int(left.sum()), dtype=np.float64),
        starts=np.concatenate([[0], np.cumsum(left)[:-1]]),
    )


def discount_factors(plan: Plan, discount: DiscountCurve) -> FloatArray:
    """(P,) from each payment to `as_of`. Raises ValueError where the curve does not reach."""
    check_covered(plan.final, discount.as_of, discount.dates[-1])
    return factors_on(plan.payment, discount)


def factors_on(days: FloatArray, discount: DiscountCurve) -> FloatArray:
    """From days, given by their ordinals, to `as_of`; flat in the factor beyond the curve's last node."""
    nodes, logs = _nodes(discount)
    return np.exp(np.interp(days, nodes, logs))


@lru_cache(maxsize=64)  # every note of a snapshot asks for the same curve
def _nodes(discount: DiscountCurve) -> tuple[FloatArray, FloatArray]:
    return np.array([day.toordinal() for day in discount.dates], dtype=np.float64), np.log(discount.factors)


def accrual_days(plan: Plan, outstanding: OutstandingCurve, accrual: Accrual, *, fresh: bool = False) -> FloatArray:
    """(P,) expected days of accrual on today's principal. Days before `as_of` count at 1, or not at all if `fresh`."""
    past = np.zeros_like(plan.days_past) if fresh else plan.days_past
    return _on_principal(plan, outstanding, accrual, past, np.ones_like(plan.days))


def overnight_days(
    plan: Plan, rates: OvernightRates, outstanding: OutstandingCurve, accrual: Accrual, *, fresh: bool = False
) -> FloatArray:
    """(P,) the same with each day counted at its overnight rate, a fraction a year."""
    past = np.zeros_like(rates.gone) if fresh else rates.gone
    return _on_principal(plan, outstanding, accrual, past, rates.to_come)


def final_share(plan: Plan, outstanding: OutstandingCurve) -> float:
    """Expected share of today's principal that is redeemed."""
    return float(_shares(outstanding, plan.payment[-1:], plan.final)[0])


def amounts(rate_days: FloatArray, redeemed: float) -> FloatArray:
    """(P,) paid on each payment date per 100 of today's principal, with the redemption of this share on the last.
    `rate_days`: the annual rate of each day times that day's principal, summed over each period."""
    paid = PAR * rate_days / DAYS_A_YEAR
    paid[-1] += PAR * redeemed
    return paid


def _on_principal(
    plan: Plan, outstanding: OutstandingCurve, accrual: Accrual, past: FloatArray, to_come: FloatArray
) -> FloatArray:
    """(P,) what days gone and (D,) days to come weigh, on the principal that they accrue on."""
    if accrual == "daily":
        return past + np.add.reduceat(to_come * _shares(outstanding, plan.days, plan.final), plan.starts)
    return (past + np.add.reduceat(to_come, plan.starts)) * _shares(outstanding, plan.payment, plan.final)


def _shares(outstanding: OutstandingCurve, days: FloatArray, last: date) -> FloatArray:
    check_covered(last, outstanding.as_of, outstanding.dates[-1])
    nodes: Sequence[int] = [day.toordinal() for day in outstanding.dates]
    return np.interp(days, nodes, outstanding.shares)
