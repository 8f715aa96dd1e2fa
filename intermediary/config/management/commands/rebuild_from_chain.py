"""`manage.py rebuild_from_chain [--chain NAME]`: after a restore from an older backup, read back from the chain what
the database has lost, compare, and take the fence down if everything agrees. Role worker; says what it did as JSON.
Exit 1 while the fence stays up: what differs is said, an officer books it, and the command is run again.
"""

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError

from intermediary.config.chain_command import ChainCommand
from intermediary.errors import Refusal
from settlement import fence
from settlement.chain import all_chains
from settlement.rebuild import rebuild


class Command(ChainCommand):
    help = "Read back from the chain what a restored database has lost; the poster waits behind its fence until then."

    def handle(self, *args: Any, **options: Any) -> None:
        chain, *witnesses = all_chains()  # the others too: a step without them takes their word as agreement
        try:
            fence.check(chain)
            made = rebuild(chain, witnesses)
        except Refusal as refused:
            raise CommandError(str(refused)) from refused
        self.stdout.write(json.dumps(asdict(made), indent=1))
        if fence.is_up():
            raise CommandError("The fence stays up: chain and database differ.")
