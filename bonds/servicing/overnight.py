"""The yield that a series promises on its collateral, day by day: fixed by its terms, or the overnight rate.

The overnight rate of a day is the shortest rate of the last official valuation up to the end of that day, as simple
interest on ACT/360. A day before the first valuation has no rate, and then no coupon is paid on a guess.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from math import expm1

from bonds.models import Series
from bonds.offering.terms import terms_from
from bonds.pricing.coupons import DAYS_A_YEAR
from intermediary.errors import Refusal
from risk.market.snapshot import MarketSnapshot
from risk.models import Snapshot, Tick

RATE_PLACES = 7  # of a fraction of one: a thousandth of a basis point, more than is published


@dataclass(frozen=True)
class RateStep:
    """One annual rate over the days start <= d < end, a fraction of one."""

    start: date
    end: date
    rate_annual: Fraction


def steps(series: Series, start: date, end: date) -> list[RateStep]:
    """The promised yield over these days. Raises `no_overnight_rate` where a day of a floater has none."""
    if terms_from(series.terms).coupon_kind == "FIXED":
        return [RateStep(start, end, Fraction(series.collateral_yield_annual))]
    return list(_daily(start, end))


def _daily(start: date, end: date) -> Iterator[RateStep]:
    for number in range((end - start).days):
        day = start + timedelta(days=number)
        yield RateStep(day, day + timedelta(days=1), _overnight(day))


def _overnight(day: date) -> Fraction:
    until = datetime.combine(day, time(), UTC) + timedelta(days=1)
    official = Tick.objects.values("snapshot_id")
    found = Snapshot.objects.filter(as_of__lt=until, id__in=official).order_by("-as_of").first()
    if found is None:
        raise Refusal("no_overnight_rate", "There is no official valuation to take this day's rate from.", day=str(day))
    rate = MarketSnapshot.from_json(found.body).rate(1)  # continuously compounded, ACT/365
    return Fraction(round(expm1(rate / 365) * DAYS_A_YEAR, RATE_PLACES)).limit_denominator(10**RATE_PLACES)
