"""Wake-ups at once: a thread of beat that sends a worker out as soon as somebody has asked for something on a page.

Beat sends the same task every second anyway, so a notice that is lost, with this thread, its connection or the broker,
costs a second and nothing else. The web needs no broker for it: its notice comes with the commit of what was asked.
"""

import logging
import time
from threading import Thread
from typing import Any

import psycopg
from celery.signals import beat_init
from kombu.exceptions import OperationalError

from intermediary.config.celery import app
from intermediary.config.live import listening_address

logger = logging.getLogger(__name__)
TASK = "risk.run_requests"
EXPIRES_S = 5  # as of the same wake-up by beat
AGAIN_S = 1.0  # before a lost database is tried again


def start(**_: Any) -> None:
    """Listen beside the schedule."""
    Thread(target=_listen_for_ever, name="wake-ups", daemon=True).start()


def _listen_for_ever() -> None:
    while True:
        try:
            listen()
        except (psycopg.Error, OperationalError) as error:
            logger.warning("wake-ups come every second only, until they are heard again: %s", error)
        time.sleep(AGAIN_S)


def listen() -> None:
    """Send a worker for each notice, until the connection is lost."""
    from intermediary.events import WISHES_CHANNEL

    with psycopg.connect(**listening_address("bulkhead-wakeups"), autocommit=True) as listener:
        listener.execute(f"LISTEN {WISHES_CHANNEL}")
        for _ in listener.notifies():
            app.send_task(TASK, expires=EXPIRES_S, retry=False)


beat_init.connect(start)
