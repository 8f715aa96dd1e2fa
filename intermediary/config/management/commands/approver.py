"""`manage.py approver`: the second key. Role approver; reads the ledger, signs what it shows, refuses the rest."""

from typing import Any

from intermediary.config.chain_command import ChainCommand, name_of, reporter
from settlement import approver, chains, loops
from settlement.signer import signer_for


class Command(ChainCommand):
    help = "Approve batches and claims until stopped."

    def handle(self, *args: Any, **options: Any) -> None:
        chain_id, signer = chains.configured().chain_id, signer_for("approver")  # it asks no node for anything
        self.stdout.write(f"approver {name_of(signer)}")
        loops.run(lambda: approver.step(signer, chain_id), listen=True, told=reporter("approver"))
