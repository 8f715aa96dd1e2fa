"""`manage.py calibrate_pricing FILE [--json] [--resamples N]`: which pricing measure foretells the spreads of a file.

The file is CSV, one tranche a row: `issue_month` (2023-12), `Expected Loss`, `Probability of Attachment` (may be empty)
and `Coupon Rate`, fractions of one. Each year is predicted from the years before it. Needs no service and no database.
"""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from intermediary.errors import Refusal

RESAMPLES_MAX = 10_000  # some twenty minutes; a standard error of the standard error of under one percent


class Command(BaseCommand):
    """Read, calibrate, print."""

    help = "Fit the pricing measures to recorded cat bonds, and say their errors out of sample by year."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE")
        parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
        parser.add_argument("--resamples", type=int, default=200, metavar="N", help="for standard errors; default 200")

    def handle(self, *args: Any, **options: Any) -> None:
        """A refusal becomes the command's error, with its code and its numbers."""
        from bonds.pricing.calibration.records import read_issues
        from bonds.pricing.calibration.report import calibrate, table

        if not 2 <= options["resamples"] <= RESAMPLES_MAX:
            raise CommandError(f"--resamples is from 2 to {RESAMPLES_MAX}")
        try:
            found = calibrate(read_issues(options["file"]), options["resamples"])
        except Refusal as refused:
            raise CommandError(f"{refused.code}: {refused} {refused.data}") from refused
        except OSError as absent:
            raise CommandError(f"cannot read {options['file']}: {absent}") from absent
        self.stdout.write(json.dumps(found.as_data(), indent=1) if options["json"] else table(found))
