"""`manage.py calibrate_pricing FILE [--json] [--resamples N] [--store --maker OFFICER --reason TEXT]`: which pricing
measure foretells the spreads of a file.

The file is CSV, one tranche a row: `issue_month` (2023-12), `Expected Loss`, `Probability of Attachment` (may be empty)
and `Coupon Rate`, fractions of one. Each year is predicted from the years before it. Needs no service and no database,
but to store: then what is found is proposed in an officer's name, and prices follow it once a second one approves.
"""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

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
        parser.add_argument("--store", action="store_true", help="propose what is found as the next pricing ruleset")
        parser.add_argument("--maker", metavar="OFFICER", help="user name of who proposes it")
        parser.add_argument("--reason", metavar="TEXT", help="why, for the second officer")

    def handle(self, *args: Any, **options: Any) -> None:
        """A refusal becomes the command's error, with its code and its numbers."""
        from bonds.pricing.calibration.records import read_issues
        from bonds.pricing.calibration.report import calibrate, table

        if options["store"] and not (options["maker"] and options["reason"]):
            raise CommandError("--store needs --maker and --reason: a ruleset is proposed by a person, who says why")
        if not 2 <= options["resamples"] <= RESAMPLES_MAX:
            raise CommandError(f"--resamples is from 2 to {RESAMPLES_MAX}")
        try:
            found = calibrate(read_issues(options["file"]), options["resamples"])
        except Refusal as refused:
            raise CommandError(f"{refused.code}: {refused} {refused.data}") from refused
        except OSError as absent:
            raise CommandError(f"cannot read {options['file']}: {absent}") from absent
        body = found.as_data()
        self.stdout.write(json.dumps(body, indent=1) if options["json"] else table(found))
        if options["store"]:
            self._propose(body, options["maker"], options["reason"])

    def _propose(self, body: dict[str, Any], maker: str, reason: str) -> None:
        from bonds.marking.rulesets import propose_calibration

        officer = User.objects.filter(username=maker).first()
        if officer is None:
            raise CommandError(f"there is no user {maker!r}")
        try:
            with transaction.atomic(durable=True):
                proposal = propose_calibration(maker=officer, calibration=body, reason=reason)
        except Refusal as refused:
            raise CommandError(f"{refused.code}: {refused} {refused.data}") from refused
        self.stderr.write(f"proposed with the hash {proposal.hash}: it waits for a second officer under Approvals")
