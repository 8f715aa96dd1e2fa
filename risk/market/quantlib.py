"""QuantLib's dates, its one evaluation date, and the business days of the dollar.

QuantLib keeps one evaluation date for the whole process and its objects observe it: nothing built inside
`evaluation_date` may leave it. Business days are those of the United States government bond market, on which SOFR and
Treasury yields are published. Loads QuantLib.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

import QuantLib as ql

# The evaluation date is global to the process: a second thread waits instead of pricing on the first one's date.
_ONE_EVALUATION_DATE = threading.RLock()


def to_ql(day: date) -> ql.Date:
    return ql.Date(day.day, day.month, day.year)


def from_ql(day: ql.Date) -> date:
    return date(day.year(), day.month(), day.dayOfMonth())


@contextmanager
def evaluation_date(as_of: date) -> Iterator[None]:
    """Pin QuantLib's evaluation date to `as_of`, and restore the one before on any way out. May be nested."""
    with _ONE_EVALUATION_DATE, ql.SavedSettings():
        ql.Settings.instance().evaluationDate = to_ql(as_of)
        yield


def business_calendar() -> ql.Calendar:
    return ql.UnitedStates(ql.UnitedStates.GovernmentBond)


def is_business_day(day: date) -> bool:
    return bool(business_calendar().isBusinessDay(to_ql(day)))


def business_days_between(first: date, last: date) -> int:
    """Business days after `first` up to and including `last`; 0 when `last` is not later."""
    return int(business_calendar().businessDaysBetween(to_ql(first), to_ql(last), False, True)) if first < last else 0
