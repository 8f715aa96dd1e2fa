"""`manage.py watcher`: reads the chain, books what is final, reconciles. Role worker."""

from typing import Any

from intermediary.config import sight
from intermediary.config.chain_command import ChainCommand, reporter
from settlement import loops, watcher
from settlement.chain import all_chains


class Command(ChainCommand):
    help = "Watch the chain until stopped."

    def handle(self, *args: Any, **options: Any) -> None:
        chain, *witnesses = all_chains()
        self.stdout.write(f"watching {chain.name}, {len(witnesses)} witnesses")

        read = 0

        def step() -> bool:
            nonlocal read
            progress = watcher.step(chain, witnesses)
            sight.seen(progress.agreed_until)
            before, read = read, progress.head
            return read != before

        loops.run(step, listen=False, told=reporter("watcher"))
