"""`manage.py mine`: the demonstration chain's miner, a block a second at platform time."""

import time
from typing import Any

from django.core.management.base import BaseCommand

from settlement import demo_chain, loops
from settlement.chain import default_chain

BLOCK_SECONDS = 1.0


class Command(BaseCommand):
    help = "Mine the demonstration chain until stopped."
    requires_system_checks: list[str] = []  # they load every page; this process serves none

    def handle(self, *args: Any, **options: Any) -> None:
        chain = default_chain()

        def step() -> None:
            demo_chain.mine(chain)
            time.sleep(BLOCK_SECONDS - loops.POLL_SECONDS)

        loops.run(step, listen=False)
