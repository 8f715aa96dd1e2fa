"""Clocks of margin calls stand still while the platform cannot see deposits, be the chain or its watcher silent, and a
deposit that was on chain in time is waited for: no call lapses before the chain was read past its deadline (D7).

The watcher notes that it sees; whoever looks at the clock stops the clocks when the note is old, before anything may
lapse; the watcher lets them run again once it has read what it missed. A stop begins at the moment of the last look.
"""

from datetime import datetime

from django.db import connection, transaction
from django.db.models import QuerySet

from intermediary import calls, clock, margining
from intermediary.models import ClockStop
from settlement import lookout, queries
from settlement.any_of import AnyOf

BLIND_SECONDS = 30.0  # two missed blocks of a slow chain; a deposit may lie there unseen after that
REASON = "deposits could not be seen: the chain or its watcher did not answer"
_LOCK = 7_301_977  # any number of our own: a stop is made by one process at a time


def stop_clocks_unless_seen() -> None:
    """Stop the clocks when the last look at the chain is more than half a minute old. For whoever lets calls lapse."""
    since = lookout.unseen_since(BLIND_SECONDS)
    if since is None or _STANDING.exists():
        return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        margining.stop_clocks(REASON, since=since)


def seen(read_until: datetime | None = None) -> None:
    """The chain has just been read to its head, up to a block of this time that all nodes know: note it, and let the
    clocks run that stood still for this reason. A chain that makes no blocks, or shows each node others, is not seen.
    """
    lookout.note(read_until)
    if _STANDING.exists() and lookout.unseen_since(BLIND_SECONDS) is None:
        margining.resume_clocks()


def lapse_due() -> None:
    """Lapse the calls that were not met in time, as far as can be known: a deposit counts by the time of its block,
    though the ledger books it when that block is final, and the watcher may read it a while after the deadline."""
    calls.lapse_due(clock.now(), deposits=queries.deposits_seen)


def _standing() -> QuerySet[ClockStop]:
    return ClockStop.objects.filter(ended_at=None, reason=REASON)


_STANDING = AnyOf(_standing)
