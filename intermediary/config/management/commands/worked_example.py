"""`manage.py worked_example --json`: the documented example, computed by the whole platform on a world of its own.

PostgreSQL and anvil are started for it in a temporary directory and go with it; a platform that runs is not touched.
"""

import json
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from intermediary.config.demo import worked_example
from intermediary.config.scratch import scratch_services
from intermediary.errors import Refusal

COLUMNS = ("first_loss", "tail_bond", "senior_retention", "uncovered", "factor", "unlinked_lost")


class Command(BaseCommand):
    help = "Run the worked example end to end in a database and on a chain of its own, and print its layers."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else on stdout")

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.MODE == "production":
            raise CommandError("The worked example plays with demonstration keys: not for production.")
        self._say("PostgreSQL and anvil start")
        try:
            with scratch_services("anvil") as running:
                figures = worked_example.run(running, self._say)
        except Refusal as refusal:
            raise CommandError(f"The example stopped: {refusal} {refusal.data or ''}") from refusal
        self.stdout.write(json.dumps(figures, indent=2) if options["json"] else _table(figures))

    def _say(self, line: str) -> None:
        """Progress goes to stderr: stdout is the result's."""
        self.stderr.write(line, self.style.NOTICE)
        self.stderr.flush()


def _table(figures: dict[str, Any]) -> str:
    rows = [f"{'$m':<18}" + "".join(f"{name:>18}" for name in COLUMNS)]
    rows += [
        f"{key:<18}" + "".join(f"{row[name]:>18}" for name in COLUMNS)
        for key, row in figures.items()
        if key != "standard_ruleset_refuses"
    ]
    refusal = figures["standard_ruleset_refuses"]
    rows.append(f"\nThe standard ruleset refuses the trade: {json.dumps(refusal, indent=2)}")
    return "\n".join(rows)
