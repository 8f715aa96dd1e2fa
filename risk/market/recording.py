"""How far a recording of prices reaches and what of it was left out, as it is said to people and at commit time.

A volatility forecast from a recording that ended stands still while the market does not, so that its age is judged
like that of a price. A bar that cannot be true is left out by name; nothing is put in its place.
Pure, and loads no numeric library: pages read it too.
"""

from dataclasses import dataclass
from datetime import date, datetime

# A day's scenarios follow from what closed before its 00:00. The shortest of the four averages (`realised`) has a
# half-life of about one day: after two days without a bar three quarters of it should have come from what is missing.
HISTORY_AGE_LIMIT_DAYS = 2
LIVE = "live"  # the source of a market of now: what is old in it is old, while a replay's past is its present
HOURLY_MOVE_MAX = 10.0  # no listed coin has moved tenfold within an hour; a misplaced decimal point has


@dataclass(frozen=True)
class LeftOut:
    """Bars of one coin that were not read, for one reason, with the close of the first of them."""

    coin: str
    why: str
    bars: int
    first: datetime

    def __str__(self) -> str:
        many = "bar" if self.bars == 1 else "bars"
        return f"{self.coin}: {self.bars} {many} {self.why}, first {self.first:%Y-%m-%d %H:%M}"


@dataclass(frozen=True)
class YieldsLeftOut:
    """Days whose yields were not read, for one reason, with the first of them as the table writes it."""

    why: str
    days: int
    first: str

    def __str__(self) -> str:
        many = "day" if self.days == 1 else "days"
        return f"dollar yields: {self.days} {many} {self.why}, first {self.first}"


def age_days(recorded_to: date, as_of: date) -> int:
    """Days between the 00:00 that the recording reaches and the one that scenarios of `as_of` begin at."""
    return (as_of - recorded_to).days


def is_too_old(recorded_to: date, as_of: date) -> bool:
    """Whether a forecast from it no longer is one of `as_of`."""
    return age_days(recorded_to, as_of) > HISTORY_AGE_LIMIT_DAYS


def source_of(recorded_to: date | None, as_of: date) -> str:
    """Where scenarios come from: `history`, `history until <day>` where that is too long ago, or `simulated`."""
    if recorded_to is None:
        return "simulated"
    return f"history until {recorded_to.isoformat()}" if is_too_old(recorded_to, as_of) else "history"
