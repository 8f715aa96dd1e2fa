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
from risk.market.parameters import load_parameters


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
        """Missing history and refusals become the command's error."""
        from risk.market.calibrate import calibrate, calibrate_surfaces
        from risk.market.chain import CHAIN_FILE

        history = options["history"] or Path(settings.MARKET_HISTORY_DIR)
        last_day = options["last_day"] or load_parameters().calibrated_to
        try:
            found = {
                "parameters": calibrate(history, last_day),
                "surfaces": calibrate_surfaces(options["chain"] or history / CHAIN_FILE),
            }
        except Refusal as refused:
            raise CommandError(f"{refused} {refused.data}") from refused
        except (OSError, ValueError) as absent:
            raise CommandError(f"cannot calibrate from {history}: {absent}") from absent
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
