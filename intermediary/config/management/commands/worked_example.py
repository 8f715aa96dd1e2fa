"""`manage.py worked_example --json`: the documented example, computed by the whole platform on a world of its own."""

import json
import sys
from argparse import ArgumentParser
from decimal import Decimal
from typing import Any

import psycopg
from django.core.management.base import BaseCommand

from intermediary.config.demo import worked_example
from intermediary.config.scratch import migrated_database, scratch_services
from settlement.chain import default_chain


class Command(BaseCommand):
    help = "Run the worked example end to end in a database and on a chain of its own, and print its layers."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else on stdout")

    def handle(self, *args: Any, **options: Any) -> None:
        first = _play(Decimal(78_000), in_full=True)
        second = _play(Decimal(60_000), in_full=False)
        figures = {
            "at_78000": first["determined"],
            "after_recovery": first["recovered"],
            "at_60000": second["determined"],
            "standard_ruleset_refuses": first["standard_ruleset_refuses"],
        }
        self.stdout.write(json.dumps(figures, indent=2) if options["json"] else _table(figures))


def _play(gap: Decimal, *, in_full: bool) -> dict[str, Any]:
    _say(f"path to {gap}: starting PostgreSQL and anvil")
    with scratch_services("anvil") as running, migrated_database(running, "worked_example") as urls:
        with psycopg.connect(urls["DATABASE_OWNER_URL"]) as connection:
            connection.execute("SELECT platform_clock_start_replay(%s)", [worked_example.START])
        return worked_example.run(default_chain(), gap, _say, in_full=in_full)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _table(figures: dict[str, Any]) -> str:
    names = ("first_loss", "tail_bond", "senior_retention", "uncovered", "factor", "unlinked_lost")
    rows = [f"{'$m':<18}" + "".join(f"{name:>18}" for name in names)]
    rows += [
        f"{key:<18}" + "".join(f"{figures[key][name]:>18}" for name in names)
        for key in ("at_78000", "after_recovery", "at_60000")
    ]
    refusal = figures["standard_ruleset_refuses"]
    rows.append(f"\nThe standard ruleset refuses the trade: {json.dumps(refusal, indent=2)}")
    return "\n".join(rows)
