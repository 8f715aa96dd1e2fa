"""`manage.py bootstrap_world`: build the demonstration world in an empty database and on an empty chain."""

import os
import sys
import time
from typing import Any

import psycopg
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from intermediary.config.demo import bootstrap, welcome, world
from intermediary.config.scratch import OWNER, connected
from intermediary.errors import Refusal
from intermediary.models import Cell
from risk.market.feeds import open_feed
from settlement.chain import default_chain


class Command(BaseCommand):
    help = "Build the demonstration world (refused where a world stands already)."

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.MODE == "production":
            raise CommandError("The demonstration world is not for production.")
        if settings.MARKET_FEED != "replay":
            raise CommandError("The demonstration world lives in a replay: start it without MARKET_FEED.")
        if Cell.objects.exists():
            raise CommandError("A world stands in this database already.")
        started = time.monotonic()
        feed = open_feed(settings.MARKET_HISTORY_DIR)
        builder = bootstrap.Builder(cast=world.DEMO, chain=default_chain(), feed=feed, say=self._say)
        start_replay(os.environ["DATABASE_OWNER_URL"], builder)
        try:
            with connected(os.environ, OWNER):
                builder.people()
            builder.build()
        except Refusal as refusal:
            print(f"The world could not be built: {refusal} {refusal.data}", file=sys.stderr)
            raise SystemExit(1) from refusal
        welcome.write(settings.VAR_DIR, feed)
        self._say(f"world built in {time.monotonic() - started:.0f} s")

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


def start_replay(owner_url: str, builder: bootstrap.Builder) -> None:
    """Set the clock of a world without history; only the owner may."""
    with psycopg.connect(owner_url) as connection:
        connection.execute("SELECT platform_clock_start_replay(%s)", [builder.first_snapshot.as_of])
