"""The processes of the platform, as data: what runs, under which database role, when it counts as started.

Adding a process is adding a row. The order is the order of starting; stopping goes backwards.
"""

import os
import signal
import sys
from dataclasses import dataclass, field

DJANGO = (sys.executable, "manage.py")
CELERY = (sys.executable, "-m", "celery", "-A", "intermediary.config.celery")
# One thread a process: workers are processes, and threads of BLAS or numba would fight for the same cores.
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}


@dataclass(frozen=True)
class StaysUp:
    """Ready when it has lived this long: for loops that have nothing to be asked."""

    seconds: float = 2.0


@dataclass(frozen=True)
class LogSays:
    """Ready when its log, since this start, contains the text."""

    text: str


@dataclass(frozen=True)
class AnswersHttp:
    """Ready when GET on this port of the loopback gets any answer below 500."""

    port: int
    path: str = "/"


@dataclass(frozen=True)
class ProcessSpec:
    """One row: a process that the supervisor keeps running."""

    name: str
    argv: tuple[str, ...]
    database_role: str
    ready: StaysUp | LogSays | AnswersHttp = field(default_factory=StaysUp)
    environment: dict[str, str] = field(default_factory=dict)
    demo_only: bool = False
    stop_seconds: float = 15.0  # longer than any statement or chain call may take once a stop was asked for
    # What the kernel sends it when the supervisor is killed.
    death_signal: signal.Signals = signal.SIGTERM


def process_table(*, web_host: str, web_port: int, mode: str, beat_file: str) -> list[ProcessSpec]:
    """Every process of this mode, the web first: a person waits for it."""
    shards = str(max(2, min(os.cpu_count() or 2, 8)))  # one risk worker a core; a gigabyte of memory for every three
    rows = [
        ProcessSpec("web", _web(web_host, web_port), "web", AnswersHttp(web_port)),
        _worker("worker-risk", "risk,bonds", shards, ONE_THREAD),
        _worker("worker-settlement", "default,settlement", "1", ONE_THREAD),
        ProcessSpec("beat", (*CELERY, "beat", "-s", beat_file, "--pidfile=", "-l", "INFO"), "worker"),
        ProcessSpec("miner", (*DJANGO, "mine"), "worker", demo_only=True),
        ProcessSpec("watcher", (*DJANGO, "watcher"), "worker"),
        ProcessSpec("poster", (*DJANGO, "poster"), "poster"),
        ProcessSpec("approver", (*DJANGO, "approver"), "approver"),
        ProcessSpec("wallet", (*DJANGO, "wallet"), "worker", demo_only=True),
        ProcessSpec("feed", (*DJANGO, "feed"), "worker"),
    ]
    return [row for row in rows if mode == "demo" or not row.demo_only]


def _web(host: str, port: int) -> tuple[str, ...]:
    return (
        *(sys.executable, "-m", "granian", "--interface", "asgi", "--host", host, "--port", str(port)),
        *("--workers", "1", "--no-ws", "--backlog", "1024", "--log-level", "info"),
        # Live streams never end by themselves; they are cut two seconds after a stop was asked for.
        *("--workers-kill-timeout", "2"),
        "intermediary.config.asgi:application",
    )


def _worker(name: str, queues: str, concurrency: str, environment: dict[str, str]) -> ProcessSpec:
    options: tuple[str, ...] = ("-n", f"{name}@%h", "-Q", queues, "-c", concurrency, "-l", "INFO")
    options += ("--without-gossip", "--without-mingle")  # workers have nothing to tell each other
    # SIGQUIT ends a worker at once: its unacknowledged tasks go to another, and tasks may run twice by design.
    return ProcessSpec(
        name, (*CELERY, "worker", *options), "worker", LogSays(" ready."), environment, death_signal=signal.SIGQUIT
    )
