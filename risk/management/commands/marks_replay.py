"""`manage.py marks_replay COIN [--from HH:MM] [--to HH:MM] [--file FILE]`: the marks of a recorded day by minutes.

Shows what each source said, who was left out and why, and how sure the mark was. Needs no service and no database.
"""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from intermediary.errors import Refusal


class Command(BaseCommand):
    """Print one line a minute."""

    help = "Replay the marks of one coin over a recorded day of several exchanges."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("coin")
        parser.add_argument("--from", dest="start", default="00:00", metavar="HH:MM", help="first minute to print, UTC")
        parser.add_argument("--to", dest="end", default="23:59", metavar="HH:MM", help="last minute to print, UTC")
        parser.add_argument("--file", type=Path, metavar="FILE", help="minute bars of several exchanges, Parquet")

    def handle(self, *args: Any, **options: Any) -> None:
        """A file that is not there or lacks the coin becomes the command's error."""
        from risk.market.marks_replay import MULTIVENUE_FILE, marked_minutes

        path = options["file"] or Path(settings.MARKET_HISTORY_DIR) / MULTIVENUE_FILE
        if not path.is_file():
            raise CommandError(f"There is no recording of several exchanges at {path}.")
        try:
            for minute in marked_minutes(path, options["coin"]):
                if options["start"] <= f"{minute.at:%H:%M}" <= options["end"]:
                    self.stdout.write(_line(minute))
        except Refusal as refusal:
            raise CommandError(str(refusal)) from refusal


def _line(minute: Any) -> str:
    if minute.mark is None:
        return f"{minute.at:%H:%M}  {minute.refused}"
    quality = minute.mark.quality
    seen = ", ".join(
        f"{one.source} {one.price_usd} ({one.left_out or f'{one.share_bps / 100:.0f}%'})" for one in quality.sources
    )
    return f"{minute.at:%H:%M}  {minute.mark.price:<12}±{quality.uncertainty_bps:>5} bps  {quality.state:<14}{seen}"
