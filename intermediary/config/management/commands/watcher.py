"""`manage.py watcher`: reads the chain, books what is final, reconciles. Role worker."""

from typing import Any

from django.core.management.base import BaseCommand

from intermediary.config import sight
from intermediary.config.operations.heartbeat import Reporter
from settlement import loops, watcher
from settlement.chain import all_chains


class Command(BaseCommand):
    help = "Watch the chain until stopped."
    requires_system_checks: list[str] = []  # they load every page; this process serves none

    def handle(self, *args: Any, **options: Any) -> None:
        chain, *witnesses = all_chains()
        self.stdout.write(f"watching {chain.url}, {len(witnesses)} witnesses")

        def step() -> None:
            sight.seen(watcher.step(chain, witnesses).agreed_until)

        loops.run(step, listen=False, told=Reporter("watcher"))
