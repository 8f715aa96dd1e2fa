"""The yield that a series promises on its collateral, day by day: fixed by its terms, or the overnight rate.

The overnight rate of a day is the shortest rate of the last official valuation up to the end of that day, as simple
interest on ACT/360. A day before the first valuation has no rate, and then no coupon is paid on a guess. Marks take the
rates of days gone from here too, so that a price knows what will be paid. Loads no numeric library.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from functools import lru_cache
from math import expm1

from django.db import connection

from bonds.models import Series
from bonds.offering.terms import terms_from
from bonds.pricing.coupons import DAYS_A_YEAR
from intermediary.errors import Refusal
from risk.market.snapshot import MarketSnapshot
from risk.models import Snapshot

RATE_PLACES = 7  # of a fraction of one: a thousandth of a basis point, more than is published
LAST_OF_EACH_DAY = """
    SELECT day::date, (
        SELECT s.id FROM risk_snapshot s JOIN risk_tick t ON t.snapshot_id = s.id
        WHERE s.as_of < day + interval '1 day' ORDER BY s.as_of DESC LIMIT 1)
    FROM generate_series(%s::timestamptz, %s::timestamptz, interval '1 day') AS day"""


@dataclass(frozen=True)
class RateStep:
    """One annual rate over the days start <= d < end, a fraction of one."""

    start: date
    end: date
    rate_annual: Fraction


def steps(series: Series, start: date, end: date) -> list[RateStep]:
    """The promised yield over these days. Raises `no_overnight_rate` where a day of a floater has none."""
    if not floats(series):
        return [RateStep(start, end, Fraction(series.collateral_yield_annual))]
    return list(_daily(start, end))


def floats(series: Series) -> bool:
    """Whether its coupon follows the overnight rate."""
    return terms_from(series.terms).coupon_kind == "SOFR"


def rates_of_days(start: date, end: date) -> dict[date, Fraction]:
    """The overnight rate of each day start <= d < end that has one, a fraction of one."""
    if start >= end:
        return {}
    first, last = (datetime.combine(day, time(), UTC) for day in (start, end - timedelta(days=1)))
    with connection.cursor() as cursor:
        cursor.execute(LAST_OF_EACH_DAY, [first, last])
        found = list(cursor.fetchall())
    return {day: _rate(snapshot_id) for day, snapshot_id in found if snapshot_id is not None}


def _daily(start: date, end: date) -> Iterator[RateStep]:
    known = rates_of_days(start, end)
    for number in range((end - start).days):
        day = start + timedelta(days=number)
        if day not in known:
            raise Refusal(
                "no_overnight_rate", "There is no official valuation to take this day's rate from.", day=str(day)
            )
        yield RateStep(day, day + timedelta(days=1), known[day])


@lru_cache(maxsize=4096)  # a snapshot is immutable and named by its content; each day of each floater asks for its own
def _rate(snapshot_id: str) -> Fraction:
    body = Snapshot.objects.values_list("body", flat=True).get(id=snapshot_id)
    rate = MarketSnapshot.from_json(body).rate(1)  # continuously compounded, ACT/365
    return Fraction(round(expm1(rate / 365) * DAYS_A_YEAR, RATE_PLACES)).limit_denominator(10**RATE_PLACES)
