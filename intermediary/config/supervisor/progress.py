"""One line a step, for installer, checks and supervisor: what is done, how long it took, why it failed.

The full output of a step goes to its log; a person sees the end of it only when the step fails.
Standard library only: the installer uses it before anything is installed.
"""

import contextlib
import errno
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from intermediary.config.supervisor.keeper import die_with_parent

CHECKOUT = Path(__file__).resolve().parents[3]
FULL_DISK = os.strerror(errno.ENOSPC)
FULL_MB = 8  # with less than this left nothing that matters can be written
REPORT_SECONDS = 15.0  # a pipe gets a sign of life this often; a terminal counts every second
FAILURE_LINES = 30


def full_place(*places: Path, told: Sequence[str] = ()) -> Path | None:
    """The directory whose disk is full, of `places` and the checkout; None when none is.

    `told` is what a program said that failed: it may have met a full disk, of caches or temporary files too, and have
    tidied up after itself.
    """
    candidates = [place for place in (*places, CHECKOUT) if place.exists()]
    fullest = min(candidates, key=free_mb)
    if free_mb(fullest) < FULL_MB:
        return fullest
    if any(FULL_DISK in line for line in told):
        return min([*candidates, Path(tempfile.gettempdir()), Path.home()], key=free_mb)
    return None


def free_mb(place: Path) -> int:
    """Room left on the disk of a directory, in megabytes."""
    return shutil.disk_usage(place).free // 1_000_000


def full_disk_story(place: Path) -> str:
    """What a person has to know and to do when a disk is full."""
    return (
        f"the disk of {place} is full ({free_mb(place)} MB left). Make room there and run the same command again; "
        "finished steps are not repeated."
    )


class StepFailed(Exception):
    """A step ended with an error; its story has been printed."""


def say(text: str) -> None:
    """Print a line at once. A reader that went away, or a terminal that cannot show a sign, stops nothing."""
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except UnicodeEncodeError:
        sys.stdout.write(text.encode("ascii", "replace").decode() + "\n")
    except OSError:  # a closed pipe or terminal: what follows is said to nobody
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Ticker:
    """Says every so often that a step is still at work; on a terminal the line is rewritten."""

    def __init__(self, title: str, *, silent: bool = False) -> None:
        self.title, self._silent = title, silent
        self._started = time.monotonic()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> "Ticker":
        if not self._silent:
            self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._done.set()
        if not self._silent:
            self._thread.join()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def _tick(self) -> None:
        terminal = sys.stdout.isatty()
        while not self._done.wait(1.0 if terminal else REPORT_SECONDS):
            if terminal:
                sys.stdout.write(f"\r  … {self.title} ({self.seconds:.0f} s) ")
                sys.stdout.flush()
            else:
                say(f"  … {self.title} ({self.seconds:.0f} s)")
        if terminal:
            sys.stdout.write("\r\033[K")


def run_step(
    title: str,
    command: Sequence[str | Path],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    directory: Path = CHECKOUT,
    must_succeed: bool = True,
    show_output: bool = False,
    reasons_only: bool = False,
    tell: Callable[[str], object] = say,
) -> bool:
    """Run one command under a title; True when it succeeded. Raises StepFailed otherwise, if it must succeed or the
    disk is full, which no other way of doing it can help.

    `environment` is added to this process's own; with `show_output` the command's lines are shown as they come;
    with `reasons_only` a failure is told without stack frames, for people who did not write the code. With another
    `tell` than the console, for a step that runs beside others, the result is all that is said.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("ab", buffering=0) as output,
        Ticker(title, silent=tell is not say) as ticker,
    ):  # in order with what the command writes
        begin = output.tell()
        with contextlib.suppress(OSError):  # a full disk: the command itself will say it better
            output.write(f"\n== {title}: {' '.join(map(str, command))}\n".encode())
        status = _run(command, directory, {**os.environ, **(environment or {})}, output, show=show_output)
    if status == 0:
        tell(f"  ✓ {title} ({ticker.seconds:.1f} s)")
        return True
    if must_succeed or full_place(log.parent, told=_written(log, begin)):
        tell_failure(title, log, begin, reasons_only=reasons_only, tell=tell)
        raise StepFailed(title)
    return False


def _run(
    command: Sequence[str | Path], directory: Path, environment: Mapping[str, str], output: BinaryIO, *, show: bool
) -> int:
    """The exit status of one command whose output goes to `output`, and to the console when `show`."""
    try:
        with subprocess.Popen(
            list(map(str, command)),
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if show else output,
            stderr=output,
            preexec_fn=die_with_parent(signal.SIGTERM),
        ) as process:
            try:
                for line in process.stdout or ():
                    with contextlib.suppress(OSError):
                        output.write(line)
                    say("    " + line.decode(errors="replace").rstrip())
                process.wait()
            except BaseException:  # asked to stop: the command must not outlive the step
                process.terminate()
                raise
        return process.returncode
    except OSError as error:
        with contextlib.suppress(OSError):
            output.write(f"{error}\n".encode())
        return 127


def tell_failure(
    title: str, log: Path, begin: int = 0, *, reasons_only: bool = False, tell: Callable[[str], object] = say
) -> None:
    """Print the end of what was written to `log` since byte `begin`, and what a person can do about it."""
    lines = _written(log, begin)
    if place := full_place(log.parent, told=lines):
        tell(f"  ✗ {title} failed: {full_disk_story(place)}")
        return
    tell(f"  ✗ {title} failed. The end of {log}:")
    for line in telling_lines(lines) if reasons_only else lines[-FAILURE_LINES:]:
        tell(f"      {line}")


def _written(log: Path, begin: int) -> list[str]:
    with log.open("rb") as output:
        output.seek(begin)
        return output.read().decode(errors="replace").splitlines()


def telling_lines(lines: list[str]) -> list[str]:
    """The last three lines that speak to a person: no stack frames, which stay in the log."""
    silent = (" ", "\t", "Traceback ", "During handling", "== ")
    return [line for line in lines if line and not line.startswith(silent)][-3:]
