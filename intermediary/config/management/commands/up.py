"""`manage.py up`: run the platform on this machine until Ctrl-C."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from intermediary.config.supervisor.__main__ import main


class Command(BaseCommand):
    help = "Start every part of the platform under one supervisor, and stop all of it with Ctrl-C."
    requires_system_checks: list[str] = []  # they need the database that this command starts

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--fresh", action="store_true", help="start over: new database, new chain")

    def handle(self, *_args: Any, fresh: bool, **_options: Any) -> None:
        sys.exit(main(fresh=fresh))
