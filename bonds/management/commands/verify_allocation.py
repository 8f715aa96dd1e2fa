"""`manage.py verify_allocation FILE`: whether a downloaded allocation report is what its own bids make of it.

Needs no database and no platform. Every opening is hashed against its commitment, every time held against the close,
and every class cleared again by the published rules; each difference is named. The hash printed must be the one on the
public timeline of the series. Exit 0 when everything holds, 1 when something does not.
"""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from bonds.offering import report
from intermediary.canonical import sha256_hex

LARGEST_BYTES = 50_000_000  # ten thousand ladders of twenty steps take half of it
DOES_NOT_HOLD = 1


class Command(BaseCommand):
    help = "Replay the clearing of an allocation report from the file alone."
    requires_system_checks: list[str] = []  # they load every page and ask the database

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="the report as it was downloaded")

    def handle(self, *args: Any, **options: Any) -> None:
        text = _read(options["file"])
        found = report.differences(text)
        for one in found:
            self.stdout.write(f"differs: {one}")
        self.stdout.write(f"hash of the report: {sha256_hex(text)}")
        if found:
            raise SystemExit(DOES_NOT_HOLD)
        for note, result in report.results(text).items():
            filled = sum(1 for fill in result.fills_base_units.values() if fill)
            outcome = (
                f"{result.spread_bps} basis points, {result.size_base_units} base units to {filled} of "
                f"{len(result.fills_base_units)} bids"
                if result.spread_bps is not None
                else "not covered"
            )
            self.stdout.write(f"{note}: holds; {outcome}")


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise CommandError(f"{path} is larger than any report.")
        return path.read_text().strip()
    except (OSError, ValueError) as error:
        raise CommandError(f"{path} cannot be read: {error}") from error
