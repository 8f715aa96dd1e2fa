"""`manage.py backfill --from-block N [--to-block M] [--chain NAME]`: read final blocks once more from every node, book
what was missing, compare, and say what was found as JSON. Role worker. Exit 1 when ledger and chain differ afterwards.
"""

import json
from typing import Any

from django.core.management.base import CommandError, CommandParser

from intermediary.config.chain_command import ChainCommand
from intermediary.errors import Refusal
from settlement import chains
from settlement.backfill import backfill
from settlement.chain import all_chains


class Command(ChainCommand):
    help = "Read final blocks of the chain again and book what was missing."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--from-block", type=int, required=True)
        parser.add_argument("--to-block", type=int)

    def handle(self, *args: Any, **options: Any) -> None:
        chain, *witnesses = all_chains()
        try:
            made = backfill(chain, witnesses, options["from_block"], options["to_block"])
        except Refusal as refused:
            raise CommandError(str(refused)) from refused
        assert made.run is not None, "a back-fill ends with a comparison"
        found = [
            {
                "block": row.block.number,
                "name": row.name,
                "address": row.address,
                "relationship": row.cell.code if row.cell else None,
                "transaction": row.transaction_hash,
                "booked": row.applied,
                "refusal": row.refusal,
            }
            for row in made.found
        ]
        said = {
            "chain": chains.here(),
            "from_block": made.first,
            "to_block": made.last,
            "logs_read": made.logs_read,
            "logs_found": found,
            "logs_of_other_blocks": made.not_on_chain,
            "comparisons": made.run.comparisons,
            "breaks": made.run.breaks,
        }
        self.stdout.write(json.dumps(said, indent=1))
        if made.run.breaks:
            raise CommandError(f"Ledger and chain differ in {made.run.breaks} places; see the open breaks.")
