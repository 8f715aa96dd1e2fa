"""`manage.py approver`: the second key. Role approver; reads the ledger, signs what it shows, refuses the rest."""

from typing import Any

from django.core.management.base import BaseCommand

from intermediary.config.operations.heartbeat import Reporter
from settlement import approver, loops
from settlement.chain import default_chain
from settlement.signer import signer_for


class Command(BaseCommand):
    help = "Approve batches and claims until stopped."
    requires_system_checks: list[str] = []  # they load every page; this process serves none

    def handle(self, *args: Any, **options: Any) -> None:
        chain, signer = default_chain(), signer_for("approver")
        self.stdout.write(f"approver {signer.address}")
        loops.run(
            lambda: approver.step(signer, int(chain.call("eth_chainId"), 16)), listen=True, told=Reporter("approver")
        )
