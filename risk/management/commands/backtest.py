"""`manage.py backtest [FILE] [--json] [--out DIR]`: test the margin model on recorded hours, any file of the schema.

Needs no service and no database. Without FILE it takes the hourly recording of MARKET_HISTORY_DIR. Progress goes to
stderr, so that `--json` leaves one JSON object on stdout.
"""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from intermediary.errors import BadInput
from risk.margin.ruleset import ruleset


class Command(BaseCommand):
    """Walk, judge, print; write charts and series when asked."""

    help = (
        "Backtest the margin model on a Parquet file of hourly prices (ts_utc, symbol, open, high, low, close, volume)."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", nargs="?", type=Path, metavar="FILE")
        parser.add_argument("--json", action="store_true", help="print the report as one JSON object on stdout")
        parser.add_argument("--out", type=Path, metavar="DIR", help="write report.json, series/ and plots/ there")
        parser.add_argument(
            "--figures", type=Path, metavar="FILE", help="write the figures to keep beside the code there"
        )
        parser.add_argument(
            "--vol-index", type=Path, metavar="FILE", help="gzipped CSV (date, dvol in percent) that option books need"
        )
        parser.add_argument("--ruleset", default="standard", help="one that filters by realised covariance")

    def handle(self, *args: Any, **options: Any) -> None:
        """Refusals become the command's error, with their code and numbers."""
        from risk.backtest.report import Beside, figures, run, write
        from risk.market.history import HOURLY_FILE
        from risk.market.vol_index import VOL_INDEX_FILE

        recorded = Path(settings.MARKET_HISTORY_DIR)
        path = options["file"] or recorded / HOURLY_FILE
        index = options["vol_index"] or (None if options["file"] else recorded / VOL_INDEX_FILE)
        if index and not index.is_file():
            if options["vol_index"]:
                raise CommandError(f"there is no file {index}")
            self.stderr.write(f"no option books: there is no {index}")
            index = None
        beside = Beside(index, None if options["file"] else recorded)
        try:
            report = run(path, ruleset(options["ruleset"]), self._progress, beside)
        except BadInput as refused:
            numbers = ", ".join(f"{name}={value}" for name, value in refused.data.items())
            raise CommandError(f"{refused} ({numbers})") from refused
        if options["out"]:
            written = write(report, options["out"])
            self.stderr.write(f"{len(written)} files in {options['out']}")
        if options["figures"]:
            options["figures"].write_text(json.dumps(figures(report.body), indent=1) + "\n")
        if options["json"]:
            self.stdout.write(json.dumps(report.body, indent=1))
        else:
            self._table(report.body)

    def _progress(self, stage: str, done: int, of: int) -> None:
        if done == of or done % max(of // 10, 1) == 0:
            self.stderr.write(f"{stage:<12}{done:>6} of {of}")

    def _table(self, body: dict[str, Any]) -> None:
        for stretch, margin in zip(body["conditional"], body["margin"], strict=True):
            self.stdout.write(
                f"\n{stretch['stretch']}: {stretch['first']} to {stretch['last']}, {stretch['series']} series; "
                f"margin {margin['size_against_conditional']:.2f} of conditional VaR 99.7%, "
                f"{margin['exceptions']} losses beyond it ({margin['expected']:.0f} allowed for)"
            )
            of_tail, of_margin = stretch["tail"], stretch["beyond_margin"]
            self.stdout.write(
                f"  tail: {of_tail['exceedances']} losses beyond the threshold ({of_tail['expected']:.0f} expected), "
                f"mean residual {of_tail['mean_residual']:.2f} (1 if right); beyond margin {of_margin['observed']} "
                f"where the conditional model expects {of_margin['expected']:.0f}, in size "
                f"{of_margin['total_size']:.2f} where {of_margin['expected_total_size']:.2f}"
            )
            for row in body["verdicts"]:
                if row["stretch"] == stretch["stretch"]:
                    mark = "holds" if row["holds"] else "FAILS"
                    self.stdout.write(f"  {row['claim']:<34}{row['figure']:>9.4g}  at most {row['limit']:<6g} {mark}")
            for label, level in stretch["levels"].items():
                for name, against in level["against"].items():
                    self.stdout.write(
                        f"  pinball {label}% against {name:<12}{against['pinball_ratio']:>8.3f}, sharper on "
                        f"{against['books_sharper']}, Diebold-Mariano {against['diebold_mariano']:+.2f}"
                    )
        for row in body["basis"]["books"]:
            self.stdout.write(
                f"{row['book']:<18}{row['windows']:>5} windows from {row['first']}: premium moves "
                f"{row['deviation']:.3%} a day ({row['deviation_modelled']:.3%} in scenarios), worst loss "
                f"{row['worst_loss_over_margin']:.2f} of margin, worst hour {row['worst_hour_over_margin']:.2f}"
            )
