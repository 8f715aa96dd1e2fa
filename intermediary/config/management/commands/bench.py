"""`manage.py bench tick --json`: measured figures of the running platform's own code, each with its unit.

Figures are medians over several runs on a world of its own. These machines differ and are shared: compare ratios of
one run, not figures of two days. What each figure is stands in docs/benchmarks.md. Nothing here runs in the tests.
"""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from intermediary.config.benches import bonds, kernels, machine, risk, scale, settlement, tick
from intermediary.config.benches.names import NAMES
from intermediary.config.supervisor.table import ONE_THREAD

BENCHES = {
    "bonds": bonds.run,
    "kernels": kernels.run,
    "risk": risk.run,
    "scale": scale.run,
    "settlement": settlement.run,
    "tick": tick.run,
}


class Command(BaseCommand):
    help = "Measure: " + ", ".join(BENCHES)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("what", choices=sorted(BENCHES))
        parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else on stdout")

    def handle(self, *args: Any, **options: Any) -> None:
        what = options["what"]
        figures = BENCHES[what](self.stderr.write)
        found = machine.describe(ONE_THREAD)
        if options["json"]:
            named = {name: figure.as_dict() for name, figure in figures.items()}
            self.stdout.write(json.dumps(found | named, indent=2))
        else:
            for name, figure in figures.items():
                # An error of single precision is a millionth: significant digits, not decimals.
                self.stdout.write(f"{name:<32}{figure.value:>12.6g} {figure.unit:<8} of {figure.of}")
            for line in machine.in_words(found):
                self.stdout.write(line)
        if odd := set(figures) ^ set(NAMES[what]):
            raise CommandError(f"not as promised in docs/benchmarks.md: {', '.join(sorted(odd))}")
