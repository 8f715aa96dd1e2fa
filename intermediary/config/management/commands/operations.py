"""`manage.py operations`: what is wrong now, computed now: it needs the database and nothing else of the platform.

manage.py operations             every alarm that holds, the worst first, with what to do; exit 1 when one is critical
manage.py operations --figures   every figure, as /metrics tells it
manage.py operations --alerts    docs/alerts.yml, for Prometheus
"""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from intermediary.config.operations import alerts, rules
from intermediary.config.operations.collect import collect
from intermediary.config.operations.exposition import exposition
from intermediary.config.operations.figures import Figures
from intermediary.config.operations.findings import duration
from intermediary.config.operations.metrics import METRICS


class Command(BaseCommand):
    help = "Say what is wrong now, and what to do about it; or print all figures, or the alerts for Prometheus."
    requires_system_checks: list[str] = []  # they load every page; this command serves none

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--figures", action="store_true", help="print every figure instead")
        parser.add_argument("--alerts", action="store_true", help="print the alert rules for Prometheus instead")

    def handle(self, *_args: Any, **options: Any) -> None:
        if options["alerts"]:
            self.stdout.write(alerts.document(), ending="")
            return
        figures = collect()
        if options["figures"]:
            self.stdout.write(exposition(METRICS, figures).decode(), ending="")
            return
        if self._tell_alarms(figures):
            raise SystemExit(1)

    def _tell_alarms(self, figures: Figures) -> bool:
        """Whether one is critical. However short it has held: a person looks now."""
        found = sorted(rules.find_all(figures), key=lambda pair: pair[0].severity != rules.CRITICAL)
        for rule, finding in found:
            where = f" ({finding.subject})" if finding.subject else ""
            self.stdout.write(f"{rule.severity}  {rule.title}{where}: {finding.said}")
            self.stdout.write(f"    first: {rule.first}  {rules.RUNBOOK}#{rule.anchor}")
        if not found:
            self.stdout.write("Nothing is known to be wrong.")
        for process in figures.processes.values():
            self.stdout.write(
                f"  {process.name:<20} seen {duration(process.age_seconds)} ago, up {duration(process.lived_seconds)}, "
                f"{process.rss_bytes / 1e6:.0f} MB{', fails: ' + process.problem if process.problem else ''}"
            )
        looked = figures.round
        self.stdout.write(f"Alarms were evaluated {duration(looked.age_seconds) + ' ago' if looked else 'never'}.")
        return any(rule.severity == rules.CRITICAL for rule, _ in found)
