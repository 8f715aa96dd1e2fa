"""`manage.py bench tick --json`: measured figures of the running platform's own code, each with its unit.

Figures are medians over several runs on a world of its own. These machines differ and are shared: compare ratios of
one run, not figures of two days. Nothing here runs in the tests.
"""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from intermediary.config.benches import machine, risk, scale, tick
from intermediary.config.supervisor.table import ONE_THREAD

BENCHES = {"risk": risk.run, "scale": scale.run, "tick": tick.run}


class Command(BaseCommand):
    help = "Measure: " + ", ".join(BENCHES)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("what", choices=sorted(BENCHES))
        parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else on stdout")

    def handle(self, *args: Any, **options: Any) -> None:
        figures = BENCHES[options["what"]](self.stderr.write)
        found = machine.describe(ONE_THREAD) | {name: figure.as_dict() for name, figure in figures.items()}
        if options["json"]:
            self.stdout.write(json.dumps(found, indent=2))
            return
        for name, figure in figures.items():
            self.stdout.write(f"{name:<28}{figure.value:>12.3f} {figure.unit:<8} of {figure.of}")
