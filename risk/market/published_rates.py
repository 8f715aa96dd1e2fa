"""Published dollar rates: SOFR and constant-maturity Treasury yields of one day, from their recorded tables.

Both are published on business days, in percent, and the newest row is often incomplete. A curve is made from one day's
rates only, the last day on which every series was published: rates of different days make forwards that nobody quoted.
A gap in the middle, a day that is no business day and a last day that is too long ago are refused by name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from intermediary.errors import BadInput, Refusal
from risk.market.curve import DiscountCurve, discount_curve
from risk.market.quantlib import business_days_between, is_business_day
from risk.market.yield_tables import PAR_FILE, PAR_MONTHS, SHORT_MONTHS, SOFR_FILE, yield_tables

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
    overnight, short = yield_tables(history_dir / SOFR_FILE, "DATE", {"SOFR": 0}, SHORT_MONTHS)
    (long,) = yield_tables(history_dir / PAR_FILE, "date", PAR_MONTHS)
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


def _stale(as_of: date, last: date | None, holes: list[date] | None = None) -> Refusal:
    return Refusal(
        "rates.stale",
        f"no complete rates of the {AGE_BUSINESS_DAYS_MAX} business days up to {as_of}; the last are of {last}",
        as_of=as_of.isoformat(),
        last=None if last is None else last.isoformat(),
        incomplete=[day.isoformat() for day in holes or []],
    )
