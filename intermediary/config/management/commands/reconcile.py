"""`manage.py reconcile [--chain NAME] [--json]`: compare books and chain at the last final block; exit 1 on a break."""

import json
import time
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from intermediary.config.chain_command import ChainCommand
from settlement import reconcile
from settlement.chain import default_chain
from settlement.models import ReconciliationRun
from settlement.queries import open_breaks

TRIES, PAUSE_SECONDS = 5, 0.3  # a watcher that books the next block at this very moment is done in that time


def _settled_run() -> ReconciliationRun:
    chain = default_chain()
    for _ in range(TRIES - 1):
        found = reconcile.run(chain, reconcile.latest_final())
        if not found.breaks:
            return found
        time.sleep(PAUSE_SECONDS)
    return reconcile.run(chain, reconcile.latest_final())


class Command(ChainCommand):
    help = "Compare the ledger with the chain."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--json", action="store_true", help="print machine-readable results")

    def handle(self, *args: Any, **options: Any) -> None:
        found = _settled_run()
        rows = [
            {
                "kind": row.kind,
                "place": row.place,
                "ledger": row.ledger_value,
                "chain": row.chain_value,
                "owner": row.owner,
                "age_seconds": int((timezone.now() - row.recorded_at).total_seconds()),
            }
            for row in open_breaks()
        ]
        result = {"block": found.block_number, "comparisons": found.comparisons, "breaks": rows}
        if options["json"]:
            self.stdout.write(json.dumps(result))
        else:
            self.stdout.write(f"block {found.block_number}: {found.comparisons} comparisons, {len(rows)} breaks")
            for row in rows:
                self.stdout.write("  {kind} {place}: ledger {ledger}, chain {chain} ({owner})".format(**row))
        if rows:
            raise SystemExit(1)
