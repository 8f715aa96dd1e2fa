"""When turnover comes: the share of an ordinary hour that each hour of the week has, and what lies ahead of a moment.

A day's turnover is no constant: on a Saturday night half of it is there, on a Friday afternoon one and a half times.
Who must sell now sells into the hours to come. Pure standard library: the profile is one of the calibrated figures.
"""

from collections.abc import Sequence
from datetime import datetime

HOURS_A_WEEK = 168


def share_ahead(profile: Sequence[float], moment: datetime, hours: float) -> float:
    """Mean of `profile` (168 shares, the first from Monday 00:00 UTC on, mean one) over the `hours` after `moment`,
    UTC; the hours at both ends count by their part. Continuous in the moment. `hours` is above zero."""
    begin = moment.weekday() * 24 + moment.hour + (moment.minute * 60 + moment.second) / 3600.0
    return (_until(profile, begin + hours) - _until(profile, begin)) / hours


def _until(profile: Sequence[float], hour: float) -> float:
    """Sum of the profile from Monday 00:00 to `hour`, weeks beyond the first included."""
    weeks, rest = divmod(hour, HOURS_A_WEEK)
    whole = int(rest)
    part = (rest - whole) * profile[whole % HOURS_A_WEEK]
    return weeks * sum(profile) + sum(profile[:whole]) + part
