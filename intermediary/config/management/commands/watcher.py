"""`manage.py watcher`: reads the chain, books what is final, reconciles. Role worker.

While the chain cannot be seen for more than half a minute, a deposit may be there unseen: clocks of calls stop.
"""

from typing import Any

from django.core.management.base import BaseCommand
from django.db import transaction

from intermediary import margining
from intermediary.models import ClockStop
from settlement import loops, watcher
from settlement.chain import all_chains


class Command(BaseCommand):
    help = "Watch the chain until stopped."
    requires_system_checks: list[str] = []  # they load every page; this process serves none

    def handle(self, *args: Any, **options: Any) -> None:
        chain, *witnesses = all_chains()
        self.stdout.write(f"watching {chain.url}, {len(witnesses)} witnesses")
        loops.run(lambda: watcher.step(chain, witnesses), listen=False, on_blind=stop_or_resume_clocks)


REASON = "the chain could not be seen"


def stop_or_resume_clocks(blind_seconds: float) -> None:
    """Stop the clocks of calls after 30 s without the chain; let them run once it was read again."""
    stopped = ClockStop.objects.filter(ended_at=None, reason=REASON).exists()
    with transaction.atomic():
        if blind_seconds > loops.BLIND_SECONDS and not stopped:
            margining.stop_clocks(REASON)
        elif blind_seconds <= 1 and stopped:
            margining.resume_clocks()
