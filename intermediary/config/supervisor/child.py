"""One supervised process: started, watched, started again after a growing pause, stopped."""

import contextlib
import http.client
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from intermediary.config.supervisor.environment import MARKER
from intermediary.config.supervisor.keeper import die_with_parent
from intermediary.config.supervisor.processes import LOOPBACK, Identity, last_lines, wait_until
from intermediary.config.supervisor.progress import CHECKOUT, say, telling_lines
from intermediary.config.supervisor.state import StateDirectory
from intermediary.config.supervisor.table import AnswersHttp, LogSays, ProcessSpec, StaysUp

BACK_OFF_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)  # the longest pause: half a minute after a fault is gone, all runs
HEALTHY_SECONDS = 60.0  # a process that lived this long starts counting its failures anew
TOLD_LINES = 40  # a traceback's length; of it only the lines that say something to a person are shown


class Child:
    """The state of one row of the table."""

    def __init__(self, spec: ProcessSpec, state: StateDirectory, environment: Mapping[str, str]) -> None:
        self.spec = spec
        self.environment = {**environment, **spec.environment}
        self.log: Path = state.log_file(spec.name)
        self.process: subprocess.Popen[bytes] | None = None
        self.failures = 0
        self.is_ready = False
        self._started = 0.0
        self._start_again = 0.0
        self._log_begin = 0
        self._reason: list[str] = []

    def start(self) -> None:
        """Start it now, in a session of its own: a Ctrl-C of the terminal reaches the supervisor alone."""
        with self.log.open("ab") as log:
            self._log_begin = log.tell()
            self.process = subprocess.Popen(
                self.spec.argv,
                cwd=CHECKOUT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent(self.spec.death_signal),
            )
        self._started = time.monotonic()
        self.is_ready = False

    def check(self) -> bool:
        """Look once: notice readiness or an end, start again when its pause is over. True when it just became ready."""
        if self.process is None:
            if time.monotonic() >= self._start_again:
                self.start()
            return False
        status = self.process.poll()
        if status is not None:
            self._ended(status)
            return False
        if not self.is_ready and self._answers():
            self.is_ready = True
            return True
        return False

    def _ended(self, status: int) -> None:
        """Tell why, and set the time of the next start."""
        lived = time.monotonic() - self._started
        self.failures = 1 if lived > HEALTHY_SECONDS else self.failures + 1
        pause = BACK_OFF_SECONDS[min(self.failures, len(BACK_OFF_SECONDS)) - 1]
        self.process, self.is_ready, self._start_again = None, False, time.monotonic() + pause
        reason = telling_lines(last_lines(self.log, TOLD_LINES, begin=self._log_begin))
        known, self._reason = reason == self._reason, reason
        say(f"  ! {self.spec.name} ended ({describe(status)}{', as before' if known else ''}); again in {pause:.0f} s")
        if not known:
            for line in reason:
                say(f"      {line}")
            say(f"      The whole story: {self.log}")

    def _answers(self) -> bool:
        ready = self.spec.ready
        if isinstance(ready, AnswersHttp):
            return answers_http(ready.port, ready.path)
        if isinstance(ready, LogSays):
            with self.log.open("rb") as log:
                log.seek(self._log_begin)
                return ready.text.encode() in log.read()
        assert isinstance(ready, StaysUp)
        return time.monotonic() - self._started >= ready.seconds

    def ask_to_stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """Ask, wait as long as the table allows, then end its whole group."""
        if self.process is None:
            return
        self.ask_to_stop()
        try:
            self.process.wait(self.spec.stop_seconds)
        except subprocess.TimeoutExpired:
            say(f"  ! {self.spec.name} did not stop within {self.spec.stop_seconds:.0f} s and was killed")
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # helpers it may have left behind
        self.process.wait()
        self.process = None


def describe(status: int) -> str:
    """An exit status in words."""
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


def answers_http(port: int, path: str) -> bool:
    """Whether a web server on the loopback answers this path with anything but its own failure."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=5)
    try:
        connection.request("GET", path, headers={"Host": f"{LOOPBACK}:{port}"})
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def strays(state: StateDirectory) -> list[Identity]:
    """Processes of this installation that an earlier supervisor left behind, known by the mark in their environment."""
    mark = f"{MARKER}={state.name_hash}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
        except OSError:  # ended meanwhile, or another account's
            continue
        identity = Identity.of(int(folder.name))
        if mark in environment and identity is not None and identity.pid != os.getpid():
            found.append(identity)
    return found


def end_strays(state: StateDirectory) -> int:
    """End what an earlier supervisor left behind, and say how many there were."""
    left = strays(state)
    for identity in left:
        identity.send(signal.SIGTERM)
    wait_until(lambda: not any(identity.alive() for identity in left), seconds=5.0)
    for identity in left:
        identity.send(signal.SIGKILL)
    return len(left)
