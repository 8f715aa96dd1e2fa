"""The platform's real processes under a test's control: started, killed where it hurts, started again."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from tests.conftest import TestDatabase
from tests.settlement.faults.proxy import Proxy

ROLES = {"poster": "poster", "approver": "approver", "watcher": "worker", "acts": "worker"}
COMMANDS = {"acts": "chain_acts --follow"}  # where it is not the process's own name
PATIENCE_SECONDS = 60.0  # of a machine that is busy with other tests
LOOK_SECONDS = 0.05


def until(
    condition: Callable[[], Any],
    what: str,
    seconds: float = PATIENCE_SECONDS,
    said: Callable[[], str] = lambda: "",
) -> None:
    """Wait for it; `what`, and what the processes said, is told when it does not happen."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not in {seconds:.0f} s: {what}\n{said()}"
        time.sleep(LOOK_SECONDS)


class Launcher:
    """Forks of one warm interpreter (`tests.settlement.faults.launcher`)."""

    def __init__(self) -> None:
        script = Path(__file__).with_name("launcher.py")
        self._process = subprocess.Popen(
            [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def order(self, **what: Any) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        return int(json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=10)


@dataclass
class Platform:
    """Some of poster, approver, watcher and acts, on one database, each with its own path through the proxy."""

    launcher: Launcher
    proxy: Proxy
    database: TestDatabase
    log: Path
    running: dict[str, int] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)  # of their environment, besides
    witness: bool = False  # a second way to the node, by which the watcher checks the first

    def start(self, *names: str) -> None:
        """Start these; a second one of a kind is "poster 2"."""
        for name in names:
            kind = name.split()[0]
            urls = [self.proxy.url(name.replace(" ", ""))] + [self.proxy.url("witness")] * self.witness
            environment = {
                "DATABASE_ROLE": ROLES[kind],
                "CHAIN_RPC_URLS": ",".join(urls),
                "BULKHEAD_MODE": "test",
                "DJANGO_SETTINGS_MODULE": "tests.settings",
                **self.database.urls,
                **self.settings,
            }
            command = COMMANDS.get(kind, kind)
            self.running[name] = self.launcher.order(command=command, environment=environment, log=str(self.log))

    def kill(self, *names: str) -> None:
        """SIGKILL: nothing of it runs any more, and the database has ended what it was at."""
        for name in names:
            pid = self.running.pop(name)
            os.kill(pid, signal.SIGKILL)
            assert self.launcher.order(wait=pid) == -signal.SIGKILL, f"it had ended before:\n{self.said()}"

    def stop(self) -> None:
        """SIGTERM to all, when each has come so far that it listens to it; every one ends well."""
        until(lambda: all(listens(pid) or not rss_mb(pid) for pid in self.running.values()), "started", said=self.said)
        for pid in self.running.values():
            os.kill(pid, signal.SIGTERM)
        codes = {name: self.launcher.order(wait=pid) for name, pid in self.running.items()}
        self.running.clear()
        assert set(codes.values()) <= {0}, f"{codes}\n{self.said()}"

    def revive(self) -> list[str]:
        """Start again what ended by itself, as the supervisor does; their names."""
        ended = [name for name, pid in self.running.items() if not rss_mb(pid)]
        for name in ended:
            self.launcher.order(wait=self.running.pop(name))
            self.start(name)
        return ended

    def end(self) -> None:
        """Whatever still runs, after a test that failed."""
        for pid in self.running.values():
            os.kill(pid, signal.SIGKILL)
            self.launcher.order(wait=pid)
        self.running.clear()

    def said(self) -> str:
        """The last lines of their output."""
        return self.log.read_text()[-4000:] if self.log.exists() else ""

    @contextlib.contextmanager
    def stuck_at(self, table: str) -> Iterator[None]:
        """Nobody can write into this table meanwhile; entered when somebody waits to. A process killed inside has done
        everything before that line, and nothing after it."""
        with psycopg.connect(self.database.url_of("owner")) as owner:
            owner.execute(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")
            yield
            owner.rollback()

    def waits_for(self, table: str) -> bool:
        """Whether a process waits to write into that table."""
        with psycopg.connect(self.database.url_of("owner")) as owner:
            found = owner.execute(
                "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = to_regclass(%s) AND NOT granted)", [table]
            ).fetchone()
        return bool(found and found[0])


def rss_mb(pid: int) -> float:
    """Resident memory of a process, as the kernel counts it; nothing of one that has ended."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), 0.0)


def listens(pid: int) -> bool:
    """Whether a process has a handler of its own for SIGTERM, as the kernel counts it: it has begun its loop."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    caught = next(int(line.split()[1], 16) for line in lines if line.startswith("SigCgt"))
    return bool(caught >> (signal.SIGTERM - 1) & 1)
