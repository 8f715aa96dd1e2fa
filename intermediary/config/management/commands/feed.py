"""`manage.py feed`: the replay's feed, a process of its own. Standard library and rows only; no array code."""

import logging
import signal
import time
from decimal import Decimal
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import transaction

from intermediary import clock, events
from intermediary.config import clockwork, replay
from intermediary.config.celery import app
from intermediary.config.models import Replay
from risk.market.feeds import Feed, open_feed
from risk.models import Tick

logger = logging.getLogger(__name__)
POLL_SECONDS = 0.2  # well under the shortest pace, long enough to cost nothing


class Command(BaseCommand):
    help = "Offer the replay's bars one after the other, each when the last has been worked through."

    def handle(self, *args: Any, **options: Any) -> None:
        signal.signal(signal.SIGTERM, _stop)
        feed = open_feed(settings.MARKET_HISTORY_DIR)
        worked_through: set[str] = set()
        while True:
            control = Replay.objects.first()
            if control is None:
                time.sleep(1)  # the world is still being built
                continue
            step(feed, control, worked_through)
            time.sleep(POLL_SECONDS)


def step(feed: Feed, control: Replay, done: set[str]) -> None:
    """Look once: hold the clock, wait for the barrier, or offer the next bar."""
    if control.state == Replay.State.PAUSED:
        _hold_the_clock()
        return
    tick = Tick.objects.filter(valuation__as_of=control.bar_at, done_at__isnull=False).first()
    if tick is not None and str(tick.id) not in done:
        done.add(str(tick.id))
        app.send_task("risk.renew_layers", [str(tick.id)])
        app.send_task("bonds.remark", [str(tick.id)])
        clockwork.step()  # deadlines of this bar are met or missed before the next bar is known
    waiting = replay.barrier(control.bar_at)
    if waiting is not None:
        _say_why(control, waiting.reason)
        return
    upcoming = replay.next_bar(feed, control)
    if upcoming is None:
        _end(control)
        return
    snapshot, following = upcoming
    _let_the_clock_run(control, snapshot.as_of)
    if replay.clock_reached(snapshot.as_of):
        logger.info("bar %s (%s)", snapshot.as_of.isoformat(), snapshot.source)
        snapshot_id = replay.offer(snapshot, following, control.seconds_a_bar)
        app.send_task("risk.open_tick", [snapshot_id])


def _hold_the_clock() -> None:
    now = clock.now()
    with transaction.atomic(durable=True):
        clock.move_to(now, rate=Decimal(0), ceiling=now)


def _let_the_clock_run(control: Replay, until: Any) -> None:
    """After a pause, a restart or at the first bar the clock stands: set it going at the chosen pace."""
    now = clock.now()
    if now >= until or not clock.stands():
        return
    rate = Decimal((until - control.bar_at).total_seconds()) / max(control.seconds_a_bar, Decimal("0.1"))
    with transaction.atomic(durable=True):
        clock.move_to(now, rate=rate, ceiling=until)


def _say_why(control: Replay, reason: str) -> None:
    if control.waits_for != reason:
        Replay.objects.filter(pk=control.pk).update(waits_for=reason)


def _end(control: Replay) -> None:
    if control.state != Replay.State.ENDED:
        Replay.objects.filter(pk=control.pk).update(state=Replay.State.ENDED, next_bar_at=None, waits_for="")
        with transaction.atomic():
            events.notify(events.PAGES_CHANNEL, "replay")
        _hold_the_clock()


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)
