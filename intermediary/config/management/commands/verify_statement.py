"""`manage.py verify_statement FILE [--rpc URL]`: whether a downloaded margin statement is what the chain holds.

Needs no database and no platform: the file, and a node where the chain is to be asked. Exit 0 when everything holds,
1 when something does not, 3 when what was checked holds and something was not checked.
"""

from contextlib import closing
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from intermediary.canonical import read_json
from settlement.chain import Chain
from settlement.proving import check, is_proved

LARGEST_BYTES = 1_000_000  # a statement has two thousand
DOES_NOT_HOLD, NOT_ALL_CHECKED = 1, 3


class Command(BaseCommand):
    help = "Check a margin statement: leaf, root, and the root on chain."
    requires_system_checks: list[str] = []  # they load every page and ask the database

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="the statement as it was downloaded")
        parser.add_argument("--rpc", help="URL of an Ethereum node; without it only the file itself is checked")

    def handle(self, *args: Any, **options: Any) -> None:
        document = _read(options["file"])
        if options["rpc"]:
            with closing(Chain(options["rpc"])) as chain:
                checks = check(document, chain)
        else:
            checks = check(document)
        for one in checks:
            self.stdout.write(str(one))
        if any(one.holds is False for one in checks):
            raise SystemExit(DOES_NOT_HOLD)
        if not is_proved(checks):
            raise SystemExit(NOT_ALL_CHECKED)


def _read(path: Path) -> Any:
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise CommandError(f"{path} is larger than any statement.")
        return read_json(path.read_text())
    except (OSError, ValueError) as error:
        raise CommandError(f"{path} cannot be read: {error}") from error
