"""Whether deposits can be seen: the watcher notes each time that it has read the chain to its head.

A chain that does not answer, and a watcher that is gone, look the same from here: the note grows old. Who decides what
that means (`intermediary.config.sight`) is another process than the watcher, since a stopped process says nothing.
"""

from datetime import datetime

from django.db import connection


def note() -> None:
    """The chain has just been read to its head."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO settlement_lookout (only_row, seen_at, at) VALUES (true, clock_timestamp(), platform_now()) "
            "ON CONFLICT (only_row) DO UPDATE SET seen_at = excluded.seen_at, at = excluded.at"
        )


def unseen_since(real_seconds: float) -> datetime | None:
    """The platform time at which the chain was last read, when that is more than `real_seconds` ago.

    None while it is being read, and where no watcher has ever run: there nothing was seen that could be missed.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT at FROM settlement_lookout WHERE clock_timestamp() > seen_at + make_interval(secs => %s)",
            [real_seconds],
        )
        found = cursor.fetchone()
    return found[0] if found else None
