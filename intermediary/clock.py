"""Platform time: the only source of `now` for rules, deadlines and pages.

The database defines it (`platform_now()`), so that triggers and code agree. Outside demo mode it is the wall clock,
and the database refuses any other rate. In a replay it runs from bar to bar: `anchor + rate x elapsed`, never past
`ceiling`, the moment of the next bar; the feed moves the ceiling when the last bar has been fully worked through.
It never runs backwards.
"""

from datetime import datetime
from decimal import Decimal

from django.db import connection

NOW = "SELECT platform_now()"


def now() -> datetime:
    """Platform time in UTC."""
    with connection.cursor() as cursor:
        cursor.execute(NOW)
        moment: datetime = cursor.fetchone()[0]
    return moment


def move_to(moment: datetime, *, rate: Decimal, ceiling: datetime | None) -> None:
    """Re-anchor a replay's clock (demo and tests only; the database refuses it elsewhere and backwards)."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT platform_clock_set(%s, %s, %s)", [moment, rate, ceiling])


def hold() -> None:
    """Let a replay's clock stand still, a fifth of a real second from now: a running clock is past any moment read."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT platform_clock_set(moment, 0, moment) FROM ("
            " SELECT least(platform_now() + rate * interval '200 ms', coalesce(ceiling, 'infinity')) AS moment"
            " FROM platform_clock) AS soon"
        )


def start_replay(moment: datetime) -> None:
    """Put a fresh world's clock into replay mode, standing still at `moment`; refused once a world has history."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT platform_clock_start_replay(%s)", [moment])


def runs() -> bool:
    """Whether a replay's clock is moving: it has a rate and is below its ceiling."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT rate > 0 AND (ceiling IS NULL OR platform_now() < ceiling) FROM platform_clock")
        moving: bool = cursor.fetchone()[0]
    return moving
