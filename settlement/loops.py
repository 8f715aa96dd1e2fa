"""The endless loops of the chain's processes: one step, then wait for a notice or half a second.

A process ends by SIGTERM between two steps, and by any error it does not know how to outlive: the supervisor starts
it again, and everything it needs to go on is in the database.
"""

import logging
import signal
import time
from collections.abc import Callable
from types import FrameType

from django.db import connection

from intermediary import events
from intermediary.errors import Refusal

log = logging.getLogger(__name__)
POLL_SECONDS = 0.5  # of a loop that missed its notice; the chain itself makes a block a second at most


class Stopped:
    """Whether the process was asked to end."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True


def run(step: Callable[[], object], *, listen: bool) -> None:
    """Repeat `step` until stopped. A silent chain is waited for. With `listen`, a notice of new instructions ends the
    wait early."""
    stopped = Stopped()
    while not stopped.asked:
        try:
            step()
        except Refusal as error:
            if error.code != "chain_unreachable":
                raise
            log.warning("%s", error)
        _wait(listen)


def _wait(listen: bool) -> None:
    if not listen:
        time.sleep(POLL_SECONDS)
        return
    with connection.cursor() as cursor:
        cursor.execute(f"LISTEN {events.OUTBOX_CHANNEL}")
    raw = connection.connection
    for _ in raw.notifies(timeout=POLL_SECONDS, stop_after=1):
        pass
