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
BLIND_SECONDS = 30.0  # without the chain, after which deposits may have been missed and clocks stand still


class Stopped:
    """Whether the process was asked to end."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True


def run(step: Callable[[], object], *, listen: bool, on_blind: Callable[[float], None] | None = None) -> None:
    """Repeat `step` until stopped. A silent chain is waited for; `on_blind` is told for how many seconds (0: it is
    back). With `listen`, a notice of new instructions ends the wait early."""
    stopped, seen = Stopped(), time.monotonic()
    while not stopped.asked:
        try:
            step()
            seen = time.monotonic()
        except Refusal as error:
            if error.code != "chain_unreachable":
                raise
            log.warning("%s", error)
        if on_blind is not None:
            on_blind(time.monotonic() - seen)
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
