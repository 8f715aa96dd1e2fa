"""`manage.py replay [--cell CODE] [--kept N]`: compute stored requirements again and say which come out otherwise.

Those in force of all relationships, or of one, and the last N that were kept because they moved a call. Needs the
recording that the scenarios were drawn from: other inputs than the stored hash names are named as such.
"""

from argparse import ArgumentParser
from collections.abc import Callable, Iterable
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from intermediary.errors import Refusal
from intermediary.models import MarginState
from intermediary.money import from_base_units

KEPT = 20  # of the last ones: a few ticks' worth, each of which may need its own day's scenarios


class Command(BaseCommand):
    """Replay and compare, to the cent."""

    help = "Compute stored requirements again from snapshot, book and ruleset, and compare."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--cell", metavar="CODE", help="of this relationship alone")
        parser.add_argument("--kept", type=int, default=KEPT, metavar="N", help="how many of the kept ones")

    def handle(self, *args: Any, **options: Any) -> None:
        """Prints one line a requirement; fails when one is not reproduced."""
        from risk import replay
        from risk.models import RequirementRecord

        states = MarginState.objects.select_related("cell", "valuation").order_by("cell__code")
        records = RequirementRecord.objects.select_related("cell", "tick").order_by("-id")
        if options["cell"]:
            states = states.filter(cell__code=options["cell"])
            records = records.filter(cell__code=options["cell"])
        failed = self._all("in force", states, replay.of_state)
        failed += self._all("kept", records[: options["kept"]], replay.of_record)
        if failed:
            raise CommandError(f"{failed} not reproduced")

    def _all(self, what: str, rows: Iterable[Any], again: Callable[[Any], Any]) -> int:
        failed = 0
        for row in rows:
            try:
                found = again(row)
            except Refusal as refused:
                failed += 1
                self.stdout.write(f"{row.cell.code:<12}{what:<10}{refused.code}: {refused}")
                continue
            verdict = f"differs in {', '.join(found.differs)}" if found.differs else "the same"
            failed += bool(found.differs)
            self.stdout.write(f"{found.cell:<12}{what:<10}{from_base_units(found.stored, 6):>20,.2f} USD  {verdict}")
        return failed
