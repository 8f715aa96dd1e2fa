"""`manage.py mine`: the demonstration chain's miner. Blocks carry platform time."""

from typing import Any

from django.core.management.base import BaseCommand

from intermediary.config.operations.heartbeat import Reporter
from settlement import loops
from settlement.chain import default_chain
from settlement.demo_chain import Miner

LOOK_SECONDS = 0.2  # a fifth of the shortest wait of a replay; one small request to a process on this machine


class Command(BaseCommand):
    help = "Mine the demonstration chain until stopped."
    requires_system_checks: list[str] = []  # they load every page; this process serves none

    def handle(self, *args: Any, **options: Any) -> None:
        loops.run(Miner(default_chain()).step, listen=False, poll_seconds=LOOK_SECONDS, told=Reporter("miner"))
