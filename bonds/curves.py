"""What a price is conditional on: the evaluation date, the discount curve, the expected outstanding principal.

Curves are immutable plain data, dated, and become QuantLib objects only inside `evaluation_date`. QuantLib keeps one
evaluation date for the whole process and its objects observe it: nothing built inside that context may leave it.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

import numpy as np
import QuantLib as ql
from numpy.typing import NDArray

from bonds.schedule import from_ql, to_ql

FloatArray = NDArray[np.float64]

# The evaluation date is global to the process: a second thread waits instead of pricing on the first one's date.
_ONE_EVALUATION_DATE = threading.RLock()
# Treasury par yields of six months and less are simple bill yields; longer ones are yields of semi-annual par bonds.
BILL_MONTHS_MAX = 6


@contextmanager
def evaluation_date(as_of: date) -> Iterator[None]:
    """Pin QuantLib's evaluation date to `as_of`, and restore the one before on any way out. May be nested."""
    with _ONE_EVALUATION_DATE, ql.SavedSettings():
        ql.Settings.instance().evaluationDate = to_ql(as_of)
        yield


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
        _check_nodes(self.as_of, self.dates, self.factors)

    def handle(self) -> ql.YieldTermStructureHandle:
        """The curve for QuantLib; call inside `evaluation_date` only. Asked beyond its last node, it raises."""
        curve = ql.DiscountCurve([to_ql(d) for d in self.dates], list(self.factors), ql.Actual365Fixed())
        return ql.YieldTermStructureHandle(curve)

    def factor(self, day: date) -> float:
        """Discount factor from `day` to `as_of`."""
        _check_covered(day, self.as_of, self.dates[-1])
        times = [years_between(self.as_of, d) for d in self.dates]
        return float(np.exp(np.interp(years_between(self.as_of, day), times, np.log(self.factors))))


@dataclass(frozen=True)
class OutstandingCurve:
    """Expected outstanding principal as a share of today's, linear between dated nodes, under one measure."""

    as_of: date
    dates: tuple[date, ...]
    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        _check_nodes(self.as_of, self.dates, self.shares)
        if any(later > earlier for earlier, later in pairwise(self.shares)) or self.shares[-1] < 0:
            raise ValueError("expected principal falls in time and never below zero")

    def handle(self) -> ql.DefaultProbabilityTermStructureHandle:
        """The same as a survival probability; call inside `evaluation_date` only."""
        # QuantLib refuses a survival of zero: a note that is certain to be lost keeps 1e-10 of its 100.
        shares = [max(share, 1e-12) for share in self.shares]
        curve = ql.SurvivalProbabilityCurve([to_ql(d) for d in self.dates], shares, ql.Actual365Fixed())
        return ql.DefaultProbabilityTermStructureHandle(curve)

    def daily_shares(self, start: date, end: date) -> FloatArray:
        """The share on each day start <= d < end; `start` not before `as_of`."""
        _check_covered(end, self.as_of, self.dates[-1])
        _check_covered(start, self.as_of, self.dates[-1])
        nodes = [d.toordinal() for d in self.dates]
        return np.interp(np.arange(start.toordinal(), end.toordinal()), nodes, self.shares)

    def share(self, day: date) -> float:
        _check_covered(day, self.as_of, self.dates[-1])
        return float(np.interp(day.toordinal(), [d.toordinal() for d in self.dates], self.shares))


def discount_curve(as_of: date, par_yields: Mapping[int, float]) -> DiscountCurve:
    """Bootstrap discount factors from par yields by tenor in months, as fractions of one ({12: 0.0360, ...}).

    Tenors up to six months are simple yields, longer ones yields of semi-annual bonds at par, ACT/ACT.
    """
    if not par_yields:
        raise ValueError("a discount curve needs at least one par yield")
    with evaluation_date(as_of):
        helpers = [_rate_helper(as_of, months, par_yields[months]) for months in sorted(par_yields)]
        curve = ql.PiecewiseLogLinearDiscount(to_ql(as_of), helpers, ql.Actual365Fixed())
        nodes = list(curve.dates())
        return DiscountCurve(
            as_of=as_of,
            dates=tuple(from_ql(node) for node in nodes),
            factors=tuple(float(curve.discount(node)) for node in nodes),
        )


def _rate_helper(as_of: date, months: int, par_yield: float) -> ql.RateHelper:
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


def _check_nodes(as_of: date, dates: tuple[date, ...], values: tuple[float, ...]) -> None:
    if len(dates) != len(values) or len(dates) < 2 or dates[0] != as_of or values[0] != 1.0:
        raise ValueError("a curve has two nodes or more, one value each, the first at as_of with value 1")
    if any(later <= earlier for earlier, later in pairwise(dates)):
        raise ValueError("nodes of a curve rise strictly in date")


def _check_covered(day: date, first: date, last: date) -> None:
    if not first <= day <= last:
        raise ValueError(f"{day} is outside the curve {first} .. {last}")
