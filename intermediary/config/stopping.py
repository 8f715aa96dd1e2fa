"""How a process of ours that loops for ever ends: by SIGTERM, as an exit that runs every `finally`."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends what runs inside; only the main thread may ask for that. Once it is ending, a second one, as from a
    supervisor that stops a whole group, changes nothing: raised while the interpreter closes what is left it could only
    be printed as an exception that was ignored."""
    signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _exit(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)
