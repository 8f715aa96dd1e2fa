"""The risk-free curve: discount factors bootstrapped from SOFR and Treasury par yields, log-linear between nodes.

A curve is immutable plain data, dated, and becomes a QuantLib object only inside `evaluation_date`. Conventions:
- SOFR is a deposit from one business day to the next, ACT/360: from Friday over the weekend, three days.
- A constant-maturity yield of six months or less is a simple yield ACT/365, a longer one the coupon of a semi-annual
  bond at par, ACT/ACT. Its dates are not moved to business days: the Treasury reads these yields off its own fitted
  curve at exact maturities, and no traded bond with a calendar stands behind them.
Zero and forward rates are continuously compounded, ACT/365. Reading what is published is `published_rates`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from math import isfinite, log

import numpy as np
import QuantLib as ql

from intermediary.errors import BadInput
from risk.market.quantlib import business_calendar, evaluation_date, from_ql, to_ql
from risk.market.snapshot import RATE_LIMITS

# Treasury par yields of six months and less are simple bill yields; longer ones are yields of semi-annual par bonds.
BILL_MONTHS_MAX = 6
RATE_DIGITS = Decimal("0.000001")


def years_between(as_of: date, day: date) -> float:
    """ACT/365 fixed: the time of curves, yields and loss models (coupons accrue ACT/360)."""
    return (day - as_of).days / 365


@dataclass(frozen=True)
class DiscountCurve:
    """Risk-free discount factors at dated nodes, log-linear between them. The first node is `as_of`, at 1."""

    as_of: date
    dates: tuple[date, ...]
    factors: tuple[float, ...]

    def __post_init__(self) -> None:
        check_nodes(self.as_of, self.dates, self.factors)
        if not all(0 < factor < float("inf") for factor in self.factors):
            raise ValueError("discount factors are positive")

    def handle(self) -> ql.YieldTermStructureHandle:
        """The curve for QuantLib; call inside `evaluation_date` only. Asked beyond its last node, it raises."""
        curve = ql.DiscountCurve([to_ql(d) for d in self.dates], list(self.factors), ql.Actual365Fixed())
        return ql.YieldTermStructureHandle(curve)

    def factor(self, day: date) -> float:
        """Discount factor from `day` to `as_of`. Raises ValueError outside the nodes: rates are not invented."""
        check_covered(day, self.as_of, self.dates[-1])
        times = [years_between(self.as_of, d) for d in self.dates]
        return float(np.exp(np.interp(years_between(self.as_of, day), times, np.log(self.factors))))

    def zero_rate(self, day: date) -> float:
        """Rate from `as_of` to a later `day`."""
        return self.forward_rate(self.as_of, day)

    def forward_rate(self, start: date, end: date) -> float:
        """Rate from `start` to a later `end`, as the curve implies it."""
        if end <= start:
            raise ValueError(f"a rate runs from an earlier to a later day, not from {start} to {end}")
        return log(self.factor(start) / self.factor(end)) / years_between(start, end)

    def rolled(self, as_of: date) -> "DiscountCurve":
        """The curve of a later day if rates come as this one implies: for a weekend, on which none are published."""
        if as_of == self.as_of:
            return self
        check_covered(as_of, self.as_of, self.dates[-2])
        base = self.factor(as_of)
        left = [(day, factor / base) for day, factor in zip(self.dates, self.factors, strict=True) if day > as_of]
        return DiscountCurve(as_of, (as_of, *(day for day, _ in left)), (1.0, *(factor for _, factor in left)))

    def points(self, days: Sequence[int]) -> tuple[tuple[int, Decimal], ...]:
        """(days, zero rate) as a market snapshot carries them, six decimals."""
        return tuple(
            (count, Decimal(repr(self.zero_rate(self.as_of + timedelta(days=count)))).quantize(RATE_DIGITS))
            for count in days
        )


def discount_curve(as_of: date, par_yields: Mapping[int, float], overnight: float | None = None) -> DiscountCurve:
    """Bootstrap discount factors from par yields by tenor in months, as fractions of one ({12: 0.0360, ...}), and the
    overnight rate where there is one; `as_of` is then a business day. Refuses rates that are none.
    """
    if not par_yields:
        raise ValueError("a discount curve needs at least one par yield")
    _check_rates(as_of, par_yields, overnight)
    with evaluation_date(as_of):
        helpers = rate_helpers(as_of, par_yields, overnight)
        curve = ql.PiecewiseLogLinearDiscount(to_ql(as_of), helpers, ql.Actual365Fixed())
        nodes = list(curve.dates())
        return DiscountCurve(
            as_of=as_of,
            dates=tuple(from_ql(node) for node in nodes),
            factors=tuple(float(curve.discount(node)) for node in nodes),
        )


def rate_helpers(as_of: date, par_yields: Mapping[int, float], overnight: float | None) -> list[ql.RateHelper]:
    """What the curve is bootstrapped from, for QuantLib, ascending; call inside `evaluation_date(as_of)` only."""
    helpers = [_par_helper(as_of, months, par_yields[months]) for months in sorted(par_yields)]
    if overnight is None:
        return helpers
    day, calendar = ql.Period(1, ql.Days), business_calendar()
    return [ql.DepositRateHelper(overnight, day, 0, calendar, ql.Following, False, ql.Actual360()), *helpers]


def _par_helper(as_of: date, months: int, par_yield: float) -> ql.RateHelper:
    calendar, tenor = ql.NullCalendar(), ql.Period(months, ql.Months)
    if months <= BILL_MONTHS_MAX:
        return ql.DepositRateHelper(par_yield, tenor, 0, calendar, ql.Unadjusted, False, ql.Actual365Fixed())
    schedule = ql.Schedule(
        to_ql(as_of),
        calendar.advance(to_ql(as_of), tenor),
        ql.Period(ql.Semiannual),
        calendar,
        ql.Unadjusted,
        ql.Unadjusted,
        ql.DateGeneration.Backward,
        False,
    )
    day_count = ql.ActualActual(ql.ActualActual.Bond, schedule)
    price = ql.QuoteHandle(ql.SimpleQuote(100.0))
    return ql.FixedRateBondHelper(price, 0, 100.0, schedule, [par_yield], day_count, ql.Unadjusted)


def _check_rates(as_of: date, par_yields: Mapping[int, float], overnight: float | None) -> None:
    named = {f"{months} months": rate for months, rate in par_yields.items()}
    if overnight is not None:
        named["overnight"] = overnight
    low, high = RATE_LIMITS
    absurd = {name: rate for name, rate in named.items() if not (isfinite(rate) and low <= rate <= high)}
    if absurd:
        raise BadInput("rates.absurd", f"no dollar rates of {as_of}: {absurd}", as_of=as_of.isoformat(), rates=absurd)


def check_nodes(as_of: date, dates: tuple[date, ...], values: tuple[float, ...]) -> None:
    """Raises ValueError unless a curve has two rising dates or more, one value each, the first at `as_of` with 1."""
    if len(dates) != len(values) or len(dates) < 2 or dates[0] != as_of or values[0] != 1.0:
        raise ValueError("a curve has two nodes or more, one value each, the first at as_of with value 1")
    if any(later <= earlier for earlier, later in pairwise(dates)):
        raise ValueError("nodes of a curve rise strictly in date")


def check_covered(day: date, first: date, last: date) -> None:
    """Raises ValueError for a day that a curve does not reach."""
    if not first <= day <= last:
        raise ValueError(f"{day} is outside the curve {first} .. {last}")
