"""`manage.py up`: run the platform on this machine until Ctrl-C."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from intermediary.config.services import default_state
from intermediary.config.supervisor.run import run
from intermediary.config.supervisor.state import CannotStart


class Command(BaseCommand):
    help = "Start every part of the platform under one supervisor, and stop all of it with Ctrl-C."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--fresh", action="store_true", help="start over: new database, new chain")

    def handle(self, *_args: Any, fresh: bool, **_options: Any) -> None:
        try:
            state = default_state()
        except CannotStart as refusal:
            self.stderr.write(f"Bulkhead cannot start: {refusal.message}")
            sys.exit(1)
        sys.exit(run(state, fresh=fresh))
