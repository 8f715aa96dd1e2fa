"""`manage.py fetch_history`: download the price history that replay, scenarios and backtest read, by public endpoints.

Without options it fetches three files into MARKET_HISTORY_DIR (default var/history): five-minute bars of ten
perpetuals, July to December 2025, hourly bars of six coins since 2018, and the daily index of implied volatility of BTC
since April 2021, which calibration and the backtest of options read; a few thousand requests. It may be stopped and
started again at any time. Needs no service and no database, and no account anywhere.
"""

from argparse import ArgumentParser, ArgumentTypeError
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from intermediary.errors import Refusal


class Command(BaseCommand):
    """Fetch, report, say what is missing."""

    help = "Download recorded prices from public endpoints of exchanges into MARKET_HISTORY_DIR."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--only", choices=("five-minute", "hourly", "vol-index"), help="one of the three files")
        parser.add_argument("--coins", nargs="+", metavar="COIN", help="fewer coins than the file has")
        parser.add_argument("--since", type=_utc_day, metavar="YYYY-MM-DD", help="another first day (UTC)")
        parser.add_argument("--until", type=_utc_day, metavar="YYYY-MM-DD", help="another end (UTC), excluded")
        parser.add_argument("--to", type=Path, metavar="DIR", help="another directory than MARKET_HISTORY_DIR")
        parser.add_argument("--mirror", default="", metavar="URL", help="ask <URL>/<exchange>/... in their place")
        parser.add_argument("--replace", action="store_true", help="replace a file that was not downloaded here")

    def handle(self, *args: Any, **options: Any) -> None:
        """Refusals become the command's error, with their code."""
        from risk.market.download import TARGETS, Download
        from risk.market.index_download import VOL_INDEX, fetch_vol_index

        directory = options["to"] or Path(settings.MARKET_HISTORY_DIR)
        download = Download(directory, datetime.now(UTC), mirror=options["mirror"], progress=self._progress)
        for name, target in TARGETS.items():
            if options["only"] in (None, name):
                asked = target.narrowed(options["coins"], options["since"], options["until"])
                try:
                    found = download.fetch(asked, replace_foreign=options["replace"])
                except Refusal as refusal:
                    raise CommandError(str(refusal)) from refusal
                self.stdout.write(
                    f"{found.path}: {found.rows} bars; {found.requested_parts} of {found.parts} pieces were new, "
                    f"{found.missing} bars are missing, {found.left_out} could not be true"
                )

        if options["only"] in (None, "vol-index") and (not options["coins"] or VOL_INDEX.coin in options["coins"]):
            since, until = options["since"] or VOL_INDEX.since, options["until"] or VOL_INDEX.until
            try:
                index = fetch_vol_index(
                    download, replace(VOL_INDEX, since=since, until=until), replace_foreign=options["replace"]
                )
            except Refusal as refusal:
                raise CommandError(str(refusal)) from refusal
            self.stdout.write(
                f"{index.path}: {index.days} days; {index.requested_parts} of {index.parts} pieces were new, "
                f"{index.missing} days are missing, {index.left_out} could not be true"
            )

    def _progress(self, name: str, coin: str, done: int, of: int) -> None:
        self.stderr.write(f"{name}  {coin:<5} {done:>4} of {of}")


def _utc_day(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise ArgumentTypeError(f"{text} is no date") from error
