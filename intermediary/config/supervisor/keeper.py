"""A keeper: the small parent of one embedded service, alive for exactly as long as somebody uses it.

Every user of a service holds a shared lock on its `users` file; the kernel drops the lock when the user ends,
however it ends. The keeper asks for the exclusive lock twice a second: the moment it gets it nobody is left,
so it stops the service cleanly and goes. A user that comes meanwhile waits for the lock and starts afresh.
Counting users this way cannot leak, and a killed user costs the service nothing but half a second.

It runs as a script (`python -I keeper.py SPEC`) and so imports the standard library only.
"""

import ctypes
import dataclasses
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

PR_SET_PDEATHSIG = 1
POLL_SECONDS = 0.5  # how long a service outlives its last user; two wake-ups a second cost nothing
_libc = ctypes.CDLL(None, use_errno=True)


@dataclasses.dataclass(frozen=True)
class KeeperSpec:
    """What one keeper keeps. Everything is readable in `ps`: secrets belong in files the argv names."""

    name: str
    argv: list[str]
    directory: str  # the service's working directory
    log: str
    users: str  # the lock file of the users
    record: str  # where pids and port are written for those who come later
    port: int
    stop_signal: int
    stop_seconds: float  # after this a stop becomes a kill
    uid: int | None = None
    gid: int | None = None
    clean_mark: str = ""  # exists only while the last stop was clean
    saved: str = ""  # the JSON file that a clean stop leaves whole; on a full disk it is cut short without a word
    remove: tuple[str, ...] = ()  # directories of an ephemeral service, removed with it


def die_with_parent(death_signal: int = signal.SIGKILL) -> Callable[[], None]:
    """A `preexec_fn`: the child gets `death_signal` when the thread that starts it ends, even by SIGKILL."""
    parent_pid = os.getpid()

    def prepare() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent_pid:  # the parent died before the request was made
            os._exit(1)

    return prepare


def start_time_ticks(pid: int) -> int | None:
    """When process `pid` started, in clock ticks since boot; None when there is none (or only a zombie)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, IndexError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def _start(spec: KeeperSpec) -> subprocess.Popen[bytes]:
    with open(spec.log, "ab") as log:
        return subprocess.Popen(
            spec.argv,
            cwd=spec.directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            user=spec.uid,
            group=spec.gid,
            extra_groups=None if spec.uid is None else [],
            start_new_session=True,
            preexec_fn=die_with_parent(spec.stop_signal),
        )


def _write_record(spec: KeeperSpec, service_pid: int, *, stopping: bool) -> None:
    record = {
        "keeper_pid": os.getpid(),
        "keeper_started": start_time_ticks(os.getpid()),
        "service_pid": service_pid,
        "service_started": start_time_ticks(service_pid),
        "port": spec.port,
        "stopping": stopping,
    }
    scratch = Path(f"{spec.record}.{os.getpid()}")
    scratch.write_text(json.dumps(record))
    scratch.replace(spec.record)


def _stop(spec: KeeperSpec, service: subprocess.Popen[bytes]) -> bool:
    """Ask, wait, then insist. True when the service went by itself."""
    service.send_signal(spec.stop_signal)
    try:
        service.wait(spec.stop_seconds)
        return True
    except subprocess.TimeoutExpired:
        service.kill()
        service.wait()
        return False


def _is_whole(saved: str) -> bool:
    if not saved:
        return True
    if not Path(saved).is_file():  # a device would be read without end
        return False
    try:
        json.loads(Path(saved).read_bytes())
    except (OSError, ValueError):
        return False
    return True


def _nobody_uses(users_fd: int) -> bool:
    try:
        fcntl.flock(users_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def keep(spec: KeeperSpec) -> int:
    """Run the service until its last user is gone. Returns the exit status: 0 after a clean stop."""
    asked_to_stop = False

    def on_signal(_signal: int, _frame: FrameType | None) -> None:
        nonlocal asked_to_stop
        asked_to_stop = True

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, on_signal)
    users_fd = os.open(spec.users, os.O_RDWR | os.O_CREAT, 0o600)
    service = _start(spec)
    if spec.clean_mark:
        Path(spec.clean_mark).unlink(missing_ok=True)
    _write_record(spec, service.pid, stopping=False)
    while service.poll() is None and not asked_to_stop and not _nobody_uses(users_fd):
        time.sleep(POLL_SECONDS)
    clean = False
    if service.poll() is None:
        _write_record(spec, service.pid, stopping=True)
        clean = _stop(spec, service) and _is_whole(spec.saved)
    if clean and spec.clean_mark:
        Path(spec.clean_mark).touch()
    for directory in spec.remove:
        shutil.rmtree(directory, ignore_errors=True)
    Path(spec.record).unlink(missing_ok=True)
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(keep(KeeperSpec(**json.loads(sys.argv[1]))))
