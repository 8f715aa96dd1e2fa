"""What is asked of exchanges beside their prices, in threads of its own, so that no market waits for it.

Each exchange is asked when it is time and has answered the last question; its last answer stays until a newer one comes
or it is too old. An exchange that gives nothing costs its own answer and is named in the log.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from math import inf
from threading import Event
from typing import Any, Generic, TypeVar

from risk.market.exchanges import TROUBLE, VENUES, Venue, client_of, reason_of

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")
# Of one exchange by its client, in a thread of its own and until the event; raises one of TROUBLE.
Read = Callable[[Any, Venue, Event], Answer]


class Beside(Generic[Answer]):
    """The last answers to one question, `named` in the log. `close` lets go."""

    def __init__(
        self, named: str, *, venues: Sequence[Venue] = VENUES, mirror: str, every_s: float, timeout_s: float
    ) -> None:
        self._named, self._every_s = named, every_s
        self._lines: list[_Line[Answer]] = [
            _Line(venue, client_of(venue.name, timeout_s=timeout_s, mirror=mirror, keep_rate_limit=not mirror))
            for venue in venues
        ]
        self._pool = ThreadPoolExecutor(max_workers=len(venues), thread_name_prefix=named)
        self._closed = Event()

    def answers(self, read: Read[Answer], age_limit_s: float) -> list[Answer]:
        """The last of each exchange that has one so young; asks again where it is time, and never waits."""
        now = time.monotonic()
        for line in self._lines:
            self._collect(line, now)
            if line.pending is None and now - line.asked_at >= self._every_s:
                line.asked_at = now
                line.pending = self._pool.submit(read, line.client, line.venue, self._closed)
        return [line.last for line in self._lines if line.last is not None and now - line.heard_at <= age_limit_s]

    def close(self) -> None:
        """Let the threads go: each ends with the request that it is waiting for, which times out by itself."""
        self._closed.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _collect(self, line: _Line[Answer], now: float) -> None:
        """Take the answer if there is one."""
        if line.pending is None or not line.pending.done():
            return
        answered, line.pending = line.pending, None
        try:
            line.last, line.heard_at = answered.result(), now
        except TROUBLE as error:
            logger.warning("no %s from %s: %s", self._named, line.venue.name, reason_of(error))


@dataclass
class _Line(Generic[Answer]):
    """One exchange: its client, what it is being asked, and what it last said."""

    venue: Venue
    client: Any
    pending: Future[Answer] | None = None
    asked_at: float = -inf
    heard_at: float = -inf
    last: Answer | None = None
