"""`manage.py poster`: packs, asks for approval, sends. Role poster; holds the poster's and the operator's keys."""

from typing import Any

from django.core.management.base import BaseCommand

from intermediary.config.operations.heartbeat import Reporter
from settlement import loops, poster
from settlement.chain import default_chain
from settlement.signer import signer_for


class Command(BaseCommand):
    help = "Send batches and calls to the chain until stopped."
    requires_system_checks: list[str] = []  # they load every page; this process serves none

    def handle(self, *args: Any, **options: Any) -> None:
        chain = default_chain()
        signers = {role: signer_for(role) for role in ("poster", "operator")}
        self.stdout.write(f"poster {signers['poster'].address}, operator {signers['operator'].address}")
        loops.run(lambda: poster.step(chain, signers), listen=True, told=Reporter("poster"))
