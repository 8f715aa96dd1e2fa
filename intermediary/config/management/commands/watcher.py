"""`manage.py watcher`: reads the chain, books what is final, reconciles. Role worker."""

from typing import Any

from intermediary.alone import alone_on
from intermediary.config import sight
from intermediary.config.chain_command import ChainCommand, reporter
from settlement import chains, loops, watcher
from settlement.chain import all_chains


class Command(ChainCommand):
    help = "Watch the chain until stopped."

    def handle(self, *args: Any, **options: Any) -> None:
        chain, *witnesses = all_chains()
        self.stdout.write(f"watching {chain.name}, {len(witnesses)} witnesses")

        read = 0

        def step() -> bool:
            nonlocal read
            # A second watcher waits its turn: it would compare books that the first has brought halfway.
            with alone_on(f"watching {chains.here()}") as mine:
                if not mine:
                    return False
                progress = watcher.step(chain, witnesses)
            sight.seen(progress.agreed_until)
            before, read = read, progress.head
            return read != before

        loops.run(step, listen=False, told=reporter("watcher"))
