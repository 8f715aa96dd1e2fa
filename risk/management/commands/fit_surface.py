"""`manage.py fit_surface [FILE] [--json] [--out DIR]`: fit volatility surfaces to an option chain and say how well.

Needs no service and no database. Without FILE it takes the recorded chain of MARKET_HISTORY_DIR. A chain of which
nothing can be fitted fails, and so does a file that cannot be trusted.
"""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from intermediary.errors import BadInput


class Command(BaseCommand):
    """Fit, print; write the report and the drawn smiles when asked."""

    help = "Fit arbitrage-free volatility surfaces to a CSV of one option chain."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", nargs="?", type=Path, metavar="FILE")
        parser.add_argument("--json", action="store_true", help="print the report as one JSON object on stdout")
        parser.add_argument("--out", type=Path, metavar="DIR", help="write surface.json and <coin>.svg there")

    def handle(self, *args: Any, **options: Any) -> None:
        """Refusals become the command's error, with their code and numbers."""
        from risk.market.chain import CHAIN_FILE
        from risk.market.smile_plots import smiles_plot
        from risk.market.surface_report import run

        path = options["file"] or Path(settings.MARKET_HISTORY_DIR) / CHAIN_FILE
        try:
            body, fits = run(path)
        except FileNotFoundError as missing:
            raise CommandError(f"there is no option chain {path}") from missing
        except BadInput as refused:
            raise CommandError(f"{refused} {refused.data}") from refused
        if options["out"]:
            options["out"].mkdir(parents=True, exist_ok=True)
            (options["out"] / "surface.json").write_text(json.dumps(body, indent=1) + "\n")
            for coin, fit in fits.items():
                (options["out"] / f"{coin.lower()}.svg").write_text(smiles_plot(fit))
        if options["json"]:
            self.stdout.write(json.dumps(body, indent=1))
        else:
            self._table(body)
        if not fits:
            raise CommandError(f"nothing in {path.name} can be fitted: {json.dumps(body['refused'])}")

    def _table(self, body: dict[str, Any]) -> None:
        for coin, report in body["underlyings"].items():
            self.stdout.write(
                f"\n{coin} {report['as_of']}: {report['inside_share']:.1%} of {report['quotes']} quotes hold the fit, "
                f"error {report['rmse_vol_points']:.2f} vol points"
            )
            self.stdout.write(
                "  expiry          days   quotes  at money    skew   error  inside  worst strike  enforced"
            )
            for row in report["expiries"]:
                self.stdout.write(
                    f"  {row['expiry'][:10]}{row['days']:>10.1f}{row['quotes']:>9}{row['atm_vol']:>10.1%}"
                    f"{row['skew']:>8.2f}{row['rmse_vol_points']:>8.2f}{row['inside_share']:>8.0%}"
                    f"{row['worst']['strike']:>9g} {row['worst']['kind']:<4}  {', '.join(row['enforced'])}"
                )
            for row in report["refused"]:
                self.stdout.write(f"  {row['expiry'][:10]}  refused: {row['code']}: {row['message']}")
        for coin, fault in body["refused"].items():
            self.stdout.write(f"\n{coin} refused: {fault['code']}: {fault['message']}")
