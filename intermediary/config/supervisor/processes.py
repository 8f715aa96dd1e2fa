"""Processes on this machine: who one is, whether it is still that one, how to end it. No policy.

A pid is reused by the kernel; a pid together with its start time is not. Every signal sent to a process that
this one did not just start goes through `Identity`, so that a stranger is never touched.
"""

import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from intermediary.config.supervisor.keeper import start_time_ticks

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Identity:
    """One process, for ever: its pid and when it started (clock ticks since boot)."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> "Identity | None":
        """Who runs under `pid` now; None when nobody does."""
        started = start_time_ticks(pid)
        return None if started is None else cls(pid, started)

    def alive(self) -> bool:
        """Whether this very process still runs; a zombie does not."""
        return start_time_ticks(self.pid) == self.started

    def send(self, number: signal.Signals, *, group: bool = False) -> None:
        """Signal the process (or the group it leads) if it is still the one we know."""
        if not self.alive():
            return
        try:
            os.killpg(self.pid, number) if group else os.kill(self.pid, number)
        except ProcessLookupError:
            return

    def end(self, *, seconds: float, group: bool = False) -> bool:
        """SIGTERM, wait up to `seconds`, then SIGKILL. True when it went by itself."""
        self.send(signal.SIGTERM, group=group)
        if wait_until(lambda: not self.alive(), seconds=seconds):
            return True
        self.send(signal.SIGKILL, group=group)
        wait_until(lambda: not self.alive(), seconds=5.0)  # the kernel needs only an instant, unless disks hang
        return False


def wait_until(condition: Callable[[], bool], *, seconds: float, poll_seconds: float = 0.05) -> bool:
    """Whether `condition()` became true within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(poll_seconds)
    return True


def port_is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen on `host:port` now (connections in TIME_WAIT do not matter)."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def choose_port(preferred: int | None = None, *, tries: int = 1, host: str = LOOPBACK) -> int:
    """The first free port of `preferred`, `preferred + 1`, ... (`tries` of them), else any free one."""
    if preferred is not None:
        for port in range(preferred, min(preferred + tries, 65536)):
            if port_is_free(port, host):
                return port
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def last_lines(path: Path, count: int = 12, *, begin: int = 0) -> list[str]:
    """The end of a log after byte `begin`, for telling why a process ended; empty when there is no log."""
    try:
        with path.open("rb") as log:
            log.seek(max(begin, path.stat().st_size - 16_384))  # a dozen long lines fit
            return log.read().decode(errors="replace").splitlines()[-count:]
    except OSError:
        return []
