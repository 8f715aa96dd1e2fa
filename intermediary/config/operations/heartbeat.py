"""How a process says that it lives: a row under its name, renewed after a step, at most every five seconds.

It is written by the process itself under its own login, so no agent runs beside it, and read by whoever asks how the
platform is (`figures`). What a step failed on is kept with it, across restarts, until a step succeeds: a process that
dies of the same thing again and again says so although it never lives long. A report that cannot be written, since the
database is away, is no reason to fail: the step that needs the database does that.
"""

import logging
import os
import resource
import socket
import time
from math import inf

from django.db import DatabaseError, connection

from intermediary.errors import Refusal

logger = logging.getLogger(__name__)
EVERY_SECONDS = 5.0  # a small write each; a process counts as away after many of them
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

_WRITE = """
    INSERT INTO config_processreport AS known (name, host, pid, started_at, seen_at, steps, step_seconds, rss_bytes,
        peak_rss_bytes, problem, said, problem_since)
    VALUES (%(name)s, %(host)s, %(pid)s, clock_timestamp() - make_interval(secs => %(lived)s), clock_timestamp(),
        %(steps)s, %(seconds)s, %(rss)s, %(peak)s, %(problem)s, %(said)s,
        CASE WHEN %(problem)s <> '' THEN clock_timestamp() END)
    ON CONFLICT (name) DO UPDATE SET host = excluded.host, pid = excluded.pid, started_at = excluded.started_at,
        seen_at = excluded.seen_at, steps = excluded.steps, step_seconds = excluded.step_seconds,
        rss_bytes = excluded.rss_bytes, peak_rss_bytes = excluded.peak_rss_bytes, problem = excluded.problem,
        said = excluded.said,
        problem_since = CASE WHEN excluded.problem <> '' THEN coalesce(known.problem_since, excluded.problem_since) END
"""


class Reporter:
    """The reports of this process. Call it after each step, outside of any transaction."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._began = time.monotonic()
        self._written_at = -inf
        self._problem = ""
        self._steps = 0

    def __call__(self, seconds: float, failure: BaseException | None = None) -> None:
        """A step took so long and succeeded, or failed on this."""
        self._steps += 1
        problem = _name_of(failure)
        if problem == self._problem and time.monotonic() - self._written_at < EVERY_SECONDS:
            return
        try:
            self._write(seconds, problem, _words_of(failure))
        except DatabaseError as error:
            logger.warning("%s could not say that it lives: %s", self.name, error)
            return
        self._written_at, self._problem = time.monotonic(), problem

    def _write(self, seconds: float, problem: str, said: str) -> None:
        rss = resident_bytes()
        with connection.cursor() as cursor:
            cursor.execute(
                _WRITE,
                {
                    "name": self.name,
                    "host": socket.gethostname()[:120],
                    "pid": os.getpid(),
                    "lived": time.monotonic() - self._began,
                    "steps": self._steps,
                    "seconds": seconds,
                    "rss": rss,
                    # The kernel writes its maximum down a little later than the size itself.
                    "peak": max(rss, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024),
                    "problem": problem,
                    "said": said[:300],
                },
            )


def resident_bytes() -> int:
    """Memory that this process holds now, as the kernel counts it."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * PAGE_BYTES


def _name_of(failure: BaseException | None) -> str:
    if failure is None:
        return ""
    return (failure.code if isinstance(failure, Refusal) else type(failure).__name__)[:60]


def _words_of(failure: BaseException | None) -> str:
    return failure.message if isinstance(failure, Refusal) else str(failure or "")


class WorkerReporter:
    """The reports of a Celery worker's child, one of several under the worker's name; made after the fork."""

    def __init__(self) -> None:
        self._reporter: Reporter | None = None
        self._began = time.monotonic()

    def begins(self) -> None:
        """A task begins."""
        self._began = time.monotonic()

    def ended(self, hostname: str) -> None:
        """It ended, however: a task that failed says nothing against the worker. `hostname` is `name@host`."""
        name = hostname.partition("@")[0]
        if self._reporter is None or self._reporter.name != name:
            self._reporter = Reporter(name)
        self._reporter(time.monotonic() - self._began)
