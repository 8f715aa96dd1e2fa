"""`manage.py poster`: packs, asks for approval, sends. Role poster; holds the poster's and the operator's keys."""

from typing import Any

from intermediary.config.chain_command import ChainCommand, name_of, reporter
from settlement import fence, loops, poster
from settlement.chain import default_chain
from settlement.signer import signer_for


class Command(ChainCommand):
    help = "Send batches and calls to the chain until stopped."

    def handle(self, *args: Any, **options: Any) -> None:
        chain = default_chain()
        signers = {role: signer_for(role) for role in ("poster", "operator")}
        self.stdout.write(", ".join(f"{role} {name_of(signer)}" for role, signer in signers.items()))
        sentry = fence.Sentry([signer.address for signer in signers.values()])

        def step() -> int:
            sentry.step(chain)
            return poster.step(chain, signers)

        loops.run(step, listen=True, told=reporter("poster"))
