"""The endless loops of the chain's processes: one step, then wait for a notice or half a second.

A process ends by SIGTERM between two steps, and by any error it does not know how to outlive: the supervisor starts
it again, and everything it needs to go on is in the database.
"""

import gc
import logging
import signal
import time
from collections.abc import Callable
from types import FrameType

from django.db import connection

from intermediary import events
from intermediary.errors import Refusal

log = logging.getLogger(__name__)
Told = Callable[[float, Exception | None], object]
OUTLIVED = ("chain_unreachable", "chain_refused")  # a node's own troubles; whatever a contract refuses is held
FIRST_SECONDS = 0.02  # after a step that did something: what it waits for is perhaps there already
GROWTH = 1.25  # what it waits for is so seen a quarter of its time late at most, after a dozen looks
YOUNG_OBJECTS = 10_000  # before the collector looks at them; a few MB
POLL_SECONDS = 0.5  # of a loop that missed its notice; the chain itself makes a block a second at most


class Stopped:
    """Whether the process was asked to end."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True


def pause(seconds: float) -> None:
    """Wait for a block."""
    time.sleep(seconds)


def run(
    step: Callable[[], object], *, listen: bool, poll_seconds: float = POLL_SECONDS, told: Told = lambda *_: None
) -> None:
    """Repeat `step` until stopped, with a pause in between: short after a step that did something (its result is true),
    a quarter longer after each that did not, up to `poll_seconds`. A chain that is silent, or whose node cannot answer
    just now, is waited for. With `listen`, a notice of new instructions ends the pause early. `told` is called after
    each step with what it took and what it failed on."""
    stopped, pause = Stopped(), poll_seconds
    _collect_rarely()
    while not stopped.asked:
        began = time.monotonic()
        did = False
        try:
            did = bool(step())
        except Exception as error:
            told(time.monotonic() - began, error)
            if not isinstance(error, Refusal) or error.code not in OUTLIVED:
                raise
            log.warning("%s", error)
        else:
            told(time.monotonic() - began, None)
        pause = FIRST_SECONDS if did else min(GROWTH * pause, poll_seconds)
        _wait(listen, pause)


def _collect_rarely() -> None:
    """A step makes some thousand objects of a batch and drops them, hardly one in a cycle: no small part of its time
    went into looking for those, most of it through what was loaded at the start and stays."""
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])


def _wait(listen: bool, seconds: float) -> None:
    if not listen:
        time.sleep(seconds)
        return
    with connection.cursor() as cursor:
        cursor.execute(f"LISTEN {events.OUTBOX_CHANNEL}")
    raw = connection.connection
    for _ in raw.notifies(timeout=seconds, stop_after=1):
        pass
