"""Published dollar rates: SOFR and constant-maturity Treasury yields, read from their recorded tables.

Both are published on business days, in percent, and the newest row is often incomplete. A curve is made from one day's
rates only, the last day on which every series was published: rates of different days make forwards that nobody quoted.
A gap in the middle, a day that is no business day and a last day that is too long ago are refused by name.
"""

import csv
import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from math import isfinite
from pathlib import Path

from intermediary.errors import BadInput, Refusal
from risk.market.curve import DiscountCurve, discount_curve
from risk.market.quantlib import business_days_between, is_business_day

SOFR_FILE = "sofr_and_bills_daily_202108_202608.csv.gz"
PAR_FILE = "ust_par_curve_daily_2005_2026.csv.gz"
PAR_MONTHS: Mapping[str, int] = {
    "DGS1MO": 1,
    "DGS3MO": 3,
    "DGS6MO": 6,
    "DGS1": 12,
    "DGS2": 24,
    "DGS5": 60,
    "DGS10": 120,
    "DGS20": 240,
    "DGS30": 360,
}
# The same yields beside SOFR, for the months after the full table ends.
SHORT_MONTHS: Mapping[str, int] = {"US_BILL_3M": 3, "US_BILL_6M": 6, "US_BILL_1Y": 12, "US_BILL_2Y": 24}
# Rates come a business day late, and a holiday may hold one more back; what is older was not updated.
AGE_BUSINESS_DAYS_MAX = 3


@dataclass(frozen=True)
class PublishedRates:
    """Rates of one business day as fractions of one: `overnight` SOFR (ACT/360), par yields by tenor in months."""

    quoted_on: date
    overnight: float
    par_yields: Mapping[int, float]

    def __post_init__(self) -> None:
        if not is_business_day(self.quoted_on):
            raise BadInput(
                "rates.not_published", f"{self.quoted_on} is no business day", quoted_on=self.quoted_on.isoformat()
            )

    def curve(self, as_of: date | None = None) -> DiscountCurve:
        """The curve of the day of the rates, or rolled to a later `as_of` within the age limit."""
        curve = discount_curve(self.quoted_on, self.par_yields, self.overnight)
        if as_of is None:
            return curve
        age = business_days_between(self.quoted_on, as_of)
        if as_of < self.quoted_on or age > AGE_BUSINESS_DAYS_MAX:
            raise _stale(as_of, self.quoted_on)
        return curve.rolled(as_of)


def rates_of(history_dir: Path, as_of: date) -> PublishedRates:
    """The rates known at the end of `as_of`: of the last day on which all series were published.

    Refuses `rates.stale` when that is more than `AGE_BUSINESS_DAYS_MAX` business days ago, naming the days with holes.
    """
    overnight, short = _tables(history_dir / SOFR_FILE, "DATE", {"SOFR": 0}, SHORT_MONTHS)
    (long,) = _tables(history_dir / PAR_FILE, "date", PAR_MONTHS)
    holes: list[date] = []
    for day in sorted({*overnight, *short, *long}, reverse=True):
        if day > as_of:
            continue
        if business_days_between(day, as_of) > AGE_BUSINESS_DAYS_MAX:
            raise _stale(as_of, day, holes)
        yields = long.get(day) or short.get(day)
        if day in overnight and yields:
            return PublishedRates(day, overnight[day][0], yields)
        holes.append(day)
    raise _stale(as_of, None, holes)


def _tables(path: Path, key: str, *columns: Mapping[str, int]) -> list[dict[date, dict[int, float]]]:
    """For each set of columns the days on which all its series stand, as fractions by tenor."""
    found: list[dict[date, dict[int, float]]] = [{} for _ in columns]
    with gzip.open(path, "rt") as stream:
        for row in csv.DictReader(stream):
            for table, names in zip(found, columns, strict=True):
                if all(row[name] for name in names):
                    table[date.fromisoformat(row[key])] = {
                        months: _fraction(path, row[key], name, row[name]) for name, months in names.items()
                    }
    return found


def _fraction(path: Path, day: str, column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        raise BadInput("rates.malformed", f"{path.name} {day}: {column} is {text!r}", day=day, column=column, text=text)
    return value / 100.0


def _stale(as_of: date, last: date | None, holes: list[date] | None = None) -> Refusal:
    return Refusal(
        "rates.stale",
        f"no complete rates of the {AGE_BUSINESS_DAYS_MAX} business days up to {as_of}; the last are of {last}",
        as_of=as_of.isoformat(),
        last=None if last is None else last.isoformat(),
        incomplete=[day.isoformat() for day in holes or []],
    )
