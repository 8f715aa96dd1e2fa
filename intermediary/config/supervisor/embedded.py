"""Embedded services: start one that is missing, join one that runs, let it go when the last user leaves.

A service tells how it is prepared and how it answers; `hold` does the rest and is the same for all three.
See `keeper.py` for who keeps it alive and why users cannot be miscounted.
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from intermediary.config.supervisor import keeper
from intermediary.config.supervisor.keeper import KeeperSpec
from intermediary.config.supervisor.processes import Identity, choose_port, last_lines, wait_until
from intermediary.config.supervisor.progress import full_disk_story, full_place
from intermediary.config.supervisor.state import CannotStart, StateDirectory, lock

START_SECONDS = 60.0  # PostgreSQL replaying its log after a power loss on a slow disk is the longest start
PORT_TRIES = 3  # a port found free can be taken by somebody else before the service listens on it


class Service(Protocol):
    """What `hold` needs to know of one service."""

    name: str

    def prepare(self, state: StateDirectory, port: int) -> KeeperSpec:
        """Make data and configuration (once), and say how the process is started on `port`."""

    def answers(self, state: StateDirectory, port: int) -> bool:
        """Whether the service serves requests now."""


@dataclasses.dataclass(frozen=True)
class Running:
    """A service that answers: on which port, and who its process is."""

    name: str
    port: int
    process: Identity

    def alive(self) -> bool:
        return self.process.alive()


@contextlib.contextmanager
def hold(service: Service, state: StateDirectory) -> Iterator[Running]:
    """Use `service` for the length of the block, starting it when nobody else has.

    Raises CannotStart, with the end of the service's log, when it does not answer in time.
    """
    users_fd = os.open(state.run / f"{service.name}.users", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        with lock(state.run / f"{service.name}.start"):
            fcntl.flock(users_fd, fcntl.LOCK_SH)  # waits for a keeper that is just stopping
            running = _running(service, state) or _start(service, state)
        yield running
    finally:
        fcntl.flock(users_fd, fcntl.LOCK_UN)
        _wait_if_last(service, state, users_fd)
        os.close(users_fd)


def is_running(state: StateDirectory, name: str) -> bool:
    """Whether the service's process lives, whoever uses it."""
    record = _record(state, name)
    return record is not None and Identity(record["service_pid"], record["service_started"]).alive()


def revive(service: Service, state: StateDirectory) -> Running:
    """Start a service that ended while this process holds it. Raises CannotStart."""
    with lock(state.run / f"{service.name}.start"):
        return _running(service, state) or _start(service, state)


def _record(state: StateDirectory, name: str) -> dict[str, int] | None:
    try:
        record: dict[str, int] = json.loads((state.run / f"{name}.json").read_text())
    except (OSError, ValueError):
        return None
    return record


def _running(service: Service, state: StateDirectory) -> Running | None:
    """The service when it runs under a live keeper. What is left of a dead keeper is ended first."""
    record = _record(state, service.name)
    if record is None:
        return None
    process = Identity(record["service_pid"], record["service_started"])
    kept = Identity(record["keeper_pid"], record["keeper_started"]).alive()
    if kept and process.alive() and _answers_soon(service, state, record["port"]):
        return Running(service.name, record["port"], process)
    process.end(seconds=10.0)  # the death signal of its keeper is already on its way; this is the slow disk's case
    return None


def _answers_soon(service: Service, state: StateDirectory, port: int) -> bool:
    return wait_until(lambda: service.answers(state, port), seconds=START_SECONDS)


def _start(service: Service, state: StateDirectory) -> Running:
    preferred = _preferred_port(state, service.name)
    for _attempt in range(PORT_TRIES):
        port = choose_port(preferred)
        preferred = None
        spec = service.prepare(state, port)
        running = _launch(service, state, spec)
        if running is not None:
            (state.run / f"{service.name}.port").write_text(str(port))
            return running
    lines = last_lines(Path(spec.log))
    if place := full_place(Path(spec.directory), told=lines):
        raise CannotStart("disk_has_room", full_disk_story(place))
    log = "\n".join("  " + line for line in lines)
    raise CannotStart(
        "service_answers", f"{service.name} did not start. The end of {spec.log}:\n{log}", service=service.name
    )


def _launch(service: Service, state: StateDirectory, spec: KeeperSpec) -> Running | None:
    """Start a keeper and wait until its service answers; None when either ended first."""
    Path(spec.record).unlink(missing_ok=True)
    with open(spec.log, "ab") as log:
        parent = subprocess.Popen(
            [sys.executable, "-I", keeper.__file__, json.dumps(dataclasses.asdict(spec))],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    _keepers.append(parent)

    def settled() -> bool:
        if parent.poll() is not None:
            return True
        return _record(state, spec.name) is not None and service.answers(state, spec.port)

    wait_until(settled, seconds=START_SECONDS)
    record = _record(state, spec.name)
    if parent.poll() is not None or record is None:
        return None
    return Running(spec.name, spec.port, Identity(record["service_pid"], record["service_started"]))


_keepers: list[subprocess.Popen[bytes]] = []  # they outlive their Popen objects on purpose; polled to be reaped


def _preferred_port(state: StateDirectory, name: str) -> int | None:
    """The port of the last start: addresses stay the same from one start to the next when they can."""
    try:
        return int((state.run / f"{name}.port").read_text())
    except (OSError, ValueError):
        return None


def _wait_if_last(service: Service, state: StateDirectory, users_fd: int) -> None:
    """After the last use, wait for the clean stop: what follows may remove files or end the machine."""

    def settled() -> bool:
        for parent in _keepers:
            parent.poll()
        record = _record(state, service.name)
        if record is None or not Identity(record["keeper_pid"], record["keeper_started"]).alive():
            return True
        if record["stopping"]:
            return False
        try:
            fcntl.flock(users_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            again = _record(state, service.name)
            return again is not None and not again["stopping"]  # somebody else uses it
        fcntl.flock(users_fd, fcntl.LOCK_UN)
        return False

    wait_until(settled, seconds=START_SECONDS, poll_seconds=0.1)
