"""`manage.py wallet`: the demo's wallets, a process of its own so that no other holds a client's key."""

import logging
import signal
import time
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand

from intermediary import clock
from intermediary.config.demo import wallet, world
from intermediary.config.models import Replay
from intermediary.errors import Refusal
from settlement.chain import default_chain

logger = logging.getLogger(__name__)
POLL_SECONDS = 0.25  # the replay waits for the wallets at every step of its clock


class Command(BaseCommand):
    help = "Play the demo's clients: answer margin calls from their own wallets."

    def handle(self, *args: Any, **options: Any) -> None:
        signal.signal(signal.SIGTERM, _stop)
        chain = default_chain()
        while True:
            try:
                looked_at = clock.now()
                wallet.step(chain, world.DEMO, mine=None)
                Replay.objects.update(wallets_looked_at=looked_at)
            except Refusal as refusal:
                logger.warning("will try again: %s", refusal)
            time.sleep(POLL_SECONDS)


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)
