"""`manage.py screenshots`: pictures of every page, in a demo world that is played into the crash for them.

PostgreSQL and anvil are started for it in a temporary directory and go with it; a platform that runs is not touched.
"""

import time
from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError

from intermediary.config import requests, screens
from intermediary.config.demo.driver import Driver
from intermediary.config.demo.processes import platform_processes
from intermediary.config.scratch import OWNER, connected, migrated_database, scratch_services
from intermediary.config.services import Services
from intermediary.models import Cell, CommandRequest, DefaultCase
from risk import stress_reports
from risk.market.feeds import open_feed
from risk.models import Tick
from scripts.install import find_chromium
from settlement.chain import Chain

IN_THE_CRASH = datetime(2025, 10, 10, 21, 25, tzinfo=UTC)  # calls run, and one of them cannot be met
LOSS_KNOWN = (DefaultCase.State.ALLOCATED, DefaultCase.State.RECOVERY, DefaultCase.State.CLOSED)


class Command(BaseCommand):
    help = "Save every page at 1440 and 390 px, light and dark, from a demo world in the middle of the crash."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--only", default="", help="only pages whose name contains this, like client-overview")
        parser.add_argument("--out", type=Path, default=settings.VAR_DIR / "screenshots", help="directory of the files")

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.MODE == "production":
            raise CommandError("Screenshots play with demonstration keys: not for production.")
        browser = find_chromium()
        if browser is None:
            raise CommandError("There is no Chromium: name one by CHROMIUM_PATH, or run `make setup-tests`.")
        self.begun, self.browser, self.only, self.out = time.monotonic(), browser, options["only"], options["out"]
        self.troubled = 0
        feed = open_feed(settings.MARKET_HISTORY_DIR)
        self._say("PostgreSQL and anvil start")
        with scratch_services("anvil") as running:
            driver = Driver(Chain(running.anvil_url), feed, say=self._say)
            with migrated_database(running, "screenshots", clock_from=driver.starts_at) as databases:
                self._play(running, databases, driver)
        if self.troubled:
            raise CommandError(f"{self.troubled} pictures show something wrong; they are marked above.")

    def _play(self, running: Services, databases: dict[str, str], driver: Driver) -> None:
        with connected(databases, OWNER):
            driver.builder.people()
        driver.builder.build()
        with platform_processes(("web",), running.state, running.environment, databases) as address:
            for snapshot in driver.bars(IN_THE_CRASH):
                self._say(f"bar {snapshot.as_of:%H:%M}")
            stress_reports.renew(Tick.objects.values_list("id", flat=True)[0])
            _ask_what_if()
            self._shoot(address, screens.crash_screens())
            for snapshot in driver.bars():
                self._say(f"bar {snapshot.as_of:%H:%M}")
                if DefaultCase.objects.filter(state__in=LOSS_KNOWN).exists():
                    break
            self._shoot(address, screens.default_screens())

    def _shoot(self, address: str, wanted: list[screens.Screen]) -> None:
        wanted = [screen for screen in wanted if self.only in screen.name]
        if not wanted:
            return
        with screens.chromium(self.browser) as browser:
            for picture in screens.shoot(browser, address, wanted, self.out):
                self._say(str(picture.file))
                self.troubled += bool(picture.problems)
                for problem in picture.problems:
                    self._say(f"  ! {problem}")

    def _say(self, line: str) -> None:
        self.stdout.write(f"{time.monotonic() - self.begun:6.0f} s  {line}")
        self.stdout.flush()


def _ask_what_if() -> None:
    """A question of the client whose pages are shown, answered here."""
    cell = Cell.objects.get(code=screens.CLIENT)
    user = User.objects.get(username=screens.LOGIN_OF[screens.CLIENT])
    trades = [{"instrument": "BTC-PERP", "quantity": "-25"}, {"instrument": "ETH-PERP", "quantity": "400"}]
    CommandRequest.objects.create(command="what_if", cell=cell, user=user, body={"trades": trades})
    requests.run_pending()
