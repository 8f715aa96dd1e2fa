"""A process of ours ends by the first SIGTERM, and a second one does not disturb it while it ends."""

import os
import signal

import pytest

from intermediary.config.stopping import ended_by_sigterm


def test_the_first_signal_ends_it_and_the_next_changes_nothing() -> None:
    before = signal.getsignal(signal.SIGTERM)
    closed = False
    try:
        with pytest.raises(SystemExit) as ended, ended_by_sigterm():
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                signal.sigtimedwait([signal.SIGTERM], 5)
            finally:
                closed = True
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert closed
    assert ended.value.code == 0
