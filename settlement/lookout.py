"""Whether deposits can be seen: the watcher notes each time that it has read the chain to its head, and how far it is.

A chain that does not answer, a chain that makes no blocks, and a watcher that is gone, look the same from here: the
note grows old. Who decides what that means (`intermediary.config.sight`) is another process than the watcher, since a
stopped process says nothing.

How far is the time of the last block that every node knows: what was sent until then is in the blocks that were read.
"""

from datetime import datetime

from django.db import connection

from settlement import chains

CHAIN_SILENT_SECONDS = 120.0  # ten blocks of a slow chain: whoever sends tokens to a chain that stands is not seen


def note(read_until: datetime | None = None) -> None:
    """The chain has just been read to its head, and as far as all nodes agree to the block of this time; None where
    they do not, which leaves it as it was."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO settlement_lookout AS known (chain, seen_at, at, read_until, moved_at) "
            "VALUES (%s, clock_timestamp(), platform_now(), %s::timestamptz, clock_timestamp()) "
            "ON CONFLICT (chain) DO UPDATE SET seen_at = excluded.seen_at, at = excluded.at, "
            "read_until = coalesce(excluded.read_until, known.read_until), "
            "moved_at = CASE WHEN excluded.read_until IS DISTINCT FROM known.read_until AND excluded.read_until "
            "IS NOT NULL THEN excluded.moved_at ELSE known.moved_at END",
            [chains.here(), read_until],
        )


def back_to(read_until: datetime | None) -> None:
    """Blocks after this time are not part of the chain until they are read again. In the transaction that says so."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE settlement_lookout SET read_until = %(to)s::timestamptz "
            "WHERE chain = %(chain)s AND read_until > coalesce(%(to)s::timestamptz, '-infinity')",
            {"to": read_until, "chain": chains.here()},
        )


def unseen_since(real_seconds: float) -> datetime | None:
    """The platform time at which the chain was last read, when that is more than `real_seconds` ago; and that of its
    last block, when two minutes have passed since by the wall and by the platform, and no other came. Of several
    chains the earliest: a client may deposit on any.

    None while it is being read, and where no watcher has ever run: there nothing was seen that could be missed.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT min(CASE WHEN clock_timestamp() > seen_at + make_interval(secs => %(silent)s) THEN at "
            "WHEN least(clock_timestamp() - moved_at, platform_now() - read_until) > make_interval(secs => %(still)s) "
            "THEN read_until END) FROM settlement_lookout WHERE chain = ANY(%(chains)s)",
            {"silent": real_seconds, "still": CHAIN_SILENT_SECONDS, "chains": chains.names()},
        )
        found = cursor.fetchone()
    return found[0] if found else None
