"""The processes of the platform, as data: what runs, under which database role, when it counts as started.

Adding a process is adding a row. The order is the order of starting; stopping goes backwards.
"""

import os
import signal
import sys
from dataclasses import dataclass, field

from intermediary.config.supervisor.processes import LOOPBACK

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


def process_table(*, web_host: str, web_port: int, wallet_port: int, mode: str, beat_file: str) -> list[ProcessSpec]:
    """Every process of this mode, the web first: a person waits for it. `wallet_port` is the demo wallet's own."""
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
        _wallet(wallet_port, web_host, web_port),
        ProcessSpec("feed", (*DJANGO, "feed"), "worker"),
    ]
    return [row for row in rows if mode == "demo" or not row.demo_only]


def _web(host: str, port: int) -> tuple[str, ...]:
    return (
        *(sys.executable, "-m", "granian", "--interface", "asginl", "--host", host, "--port", str(port)),
        *("--workers", "1", "--no-ws", "--backlog", "1024", "--log-level", "info"),
        # Live streams never end by themselves; they are cut two seconds after a stop was asked for.
        *("--workers-kill-timeout", "2"),
        "intermediary.config.asgi:application",
    )


def _wallet(port: int, web_host: str, web_port: int) -> ProcessSpec:
    """It signs, so it answers the pages of this portal only: under the names that a browser on this machine uses."""
    names = {LOOPBACK, "localhost"} | ({web_host} - {"0.0.0.0", "::"})  # noqa: S104 - nothing is bound here
    origins = [part for name in sorted(names) for part in ("--origin", web_origin(name, web_port))]
    argv = (*DJANGO, "wallet", "--port", str(port), *origins)
    return ProcessSpec("wallet", argv, "worker", AnswersHttp(port), demo_only=True)


def web_origin(host: str, port: int) -> str:
    """The origin of a page as a browser states it."""
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}" if port == 80 else f"http://{shown}:{port}"


def _worker(name: str, queues: str, concurrency: str, environment: dict[str, str]) -> ProcessSpec:
    options: tuple[str, ...] = ("-n", f"{name}@%h", "-Q", queues, "-c", concurrency, "-l", "INFO")
    options += ("--without-gossip", "--without-mingle")  # workers have nothing to tell each other
    # SIGQUIT ends a worker at once: its unacknowledged tasks go to another, and tasks may run twice by design.
    return ProcessSpec(
        name, (*CELERY, "worker", *options), "worker", LogSays(" ready."), environment, death_signal=signal.SIGQUIT
    )
