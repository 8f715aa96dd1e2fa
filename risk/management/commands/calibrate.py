"""`manage.py calibrate [--history DIR] [--last-day DAY] [--chain FILE] [--out DIR]`: recorded history to parameters.

Prints one JSON object with the parameters, the surfaces and the version of each; with --out writes parameters.json and
surfaces.json, each replaced as a whole. Needs no service and no database.
"""

import json
from argparse import ArgumentParser
from datetime import date
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from intermediary.errors import Refusal
from risk.market.parameters import PARAMETERS_FILE, SURFACES_FILE, load_parameters


class Command(BaseCommand):
    """Compute, then print or write."""

    help = "Compute the market's calibrated parameters and volatility surfaces from recorded history."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--history", type=Path, metavar="DIR", help="default: MARKET_HISTORY_DIR")
        parser.add_argument(
            "--last-day",
            type=date.fromisoformat,
            metavar="DAY",
            help="last one included; default: that of the kept figures",
        )
        parser.add_argument("--chain", type=Path, metavar="FILE", help="option chain; default: the recorded one")
        parser.add_argument("--out", type=Path, metavar="DIR", help="write parameters.json and surfaces.json there")

    def handle(self, *args: Any, **options: Any) -> None:
        """Refusals become the command's error; what is kept for want of a recording is said."""
        from risk.market.calibrate import calibrate, calibrate_surfaces
        from risk.market.chain import CHAIN_FILE

        history = options["history"] or Path(settings.MARKET_HISTORY_DIR)
        last_day = options["last_day"] or load_parameters().calibrated_to
        chain = options["chain"] or history / CHAIN_FILE
        try:
            found = {"parameters": calibrate(history, last_day, json.loads(PARAMETERS_FILE.read_text()))}
            # Where no chain is named and none is recorded, the surfaces in force stay.
            if options["chain"] or chain.is_file():
                found["surfaces"] = calibrate_surfaces(chain)
            else:
                found["surfaces"] = json.loads(SURFACES_FILE.read_text())
                self.stderr.write(f"kept surfaces: no option chain, there is no {chain}")
        except Refusal as refused:
            raise CommandError(f"{refused} {refused.data}") from refused
        except OSError as absent:
            raise CommandError(f"cannot calibrate from {history}: {absent}") from absent
        for name, why in found["parameters"].get("kept", {}).items():
            self.stderr.write(f"kept {name}, {why}")
        if options["out"] is None:
            self.stdout.write(json.dumps(found, indent=1))
            return
        options["out"].mkdir(parents=True, exist_ok=True)
        for name, body in found.items():
            target = options["out"] / f"{name}.json"
            partial = target.with_suffix(".partial")
            partial.write_text(json.dumps(body, indent=1) + "\n")
            partial.replace(target)
            self.stdout.write(f"{target}: version {body['version']}")
