"""`manage.py feed`: the market's feed, a process of its own: the replay's, or with `MARKET_FEED=live` the exchanges'.

The replay's needs the standard library and rows only; no array code.
"""

import logging
import time
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from math import ceil, inf
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from intermediary import clock, events
from intermediary.config import clockwork, replay
from intermediary.config.celery import app
from intermediary.config.models import Replay
from intermediary.config.operations.heartbeat import Reporter
from intermediary.config.stopping import ended_by_sigterm
from intermediary.config.supervisor.world import WISH
from intermediary.errors import Refusal
from risk.market.feeds import Feed, open_feed
from risk.models import Snapshot, Tick
from settlement import lookout

logger = logging.getLogger(__name__)
SHORTEST_STEP_SECONDS = 0.1  # a rate needs a divisor
DELIVER_SECONDS = 0.3  # handing out a round of events takes about a tenth of a second
POLL_SECONDS = 0.1  # well under the shortest pace, long enough to cost nothing
# A wake-up may be lost (the broker keeps nothing on disk) or have failed. A tick takes a second or two; a repeated
# wake-up for work that is done, or that another worker is at, costs nothing.
ASK_AGAIN_SECONDS = 20.0
WATCHER_SECONDS = 5.0  # it looks twice a second; time does not pass while a deposit might lie unseen


@dataclass
class Memory:
    """What this process has done already. Nothing of it is needed to go on after a restart."""

    marked: set[str] = field(default_factory=set)  # ticks after which layers and notes were renewed
    asked_at: float = -inf  # when a tick was last asked for, by this machine's monotonic clock, as the others
    delivery_at: float = -inf  # when the delivery of events was last asked for
    offered_at: float = field(default_factory=time.monotonic)  # when the standing bar was offered


class Command(BaseCommand):
    help = "Offer one market after the other: the bars of a replay, or with MARKET_FEED=live the exchanges' own."

    def handle(self, *args: Any, **options: Any) -> None:
        with ended_by_sigterm():
            if settings.MARKET_FEED == "live":
                _run_live()
            if settings.MARKET_FEED != "replay":
                raise CommandError(f"MARKET_FEED is replay or live, not {settings.MARKET_FEED}.")
            _replay()


def _replay() -> None:
    feed = open_feed(settings.MARKET_HISTORY_DIR)
    memory, told = Memory(), Reporter("feed")
    while True:
        control = Replay.objects.first()
        if control is None:
            time.sleep(1)  # the world is still being built
            continue
        began = time.monotonic()
        step(feed, control, memory)
        told(time.monotonic() - began)
        time.sleep(POLL_SECONDS)


def _run_live() -> None:
    from intermediary.config import real_time  # it loads the clients of the exchanges, a second and 80 MB

    try:
        real_time.run()
    except Refusal as refusal:
        raise CommandError(str(refusal)) from refusal


def step(feed: Feed, control: Replay, memory: Memory) -> None:
    """Look once: hold the clock, wait for the barrier, let some time pass, or offer the next bar."""
    if control.fresh_world_wanted:
        _ask_for_a_fresh_world(control)
        return
    if clock.runs():
        if control.state == Replay.State.PAUSED:
            _hold_the_clock()
        return
    if control.state == Replay.State.PAUSED:
        return
    _mark_layers_and_notes(control, memory)
    _ask_again(control, memory)
    upcoming = replay.next_bar(feed, control)
    if upcoming is None and replay.barrier(control.bar_at) is None:
        _end(control)
        return
    now = clock.now()
    waiting = _waits_for(control, now, memory)
    if waiting is not None:
        _say_why(control, waiting)
    elif upcoming is not None and now < upcoming[0].as_of:
        _let_time_pass(control, now, upcoming[0].as_of, memory)
    elif upcoming is not None:
        snapshot, following = upcoming
        logger.info("bar %s (%s)", snapshot.as_of.isoformat(), snapshot.source)
        snapshot_id = replay.offer(snapshot, following)
        memory.offered_at = time.monotonic()
        _ask_for_tick(snapshot_id, memory)


def _ask_for_tick(snapshot_id: str, memory: Memory) -> None:
    app.send_task("risk.open_tick", [snapshot_id], expires=ASK_AGAIN_SECONDS)
    memory.asked_at = time.monotonic()


def _ask_again(control: Replay, memory: Memory) -> None:
    """Ask once more for a tick that is not done in time: the replay would wait for a lost wake-up for ever."""
    if time.monotonic() - memory.asked_at < ASK_AGAIN_SECONDS:
        return
    undone = Snapshot.objects.filter(as_of=control.bar_at, tick__done_at=None).first()
    if undone is not None:
        logger.info("asking again for the requirements of %s", control.bar_at.isoformat())
        _ask_for_tick(undone.id, memory)


def _mark_layers_and_notes(control: Replay, memory: Memory) -> None:
    tick = Tick.objects.filter(valuation__as_of=control.bar_at, done_at__isnull=False).first()
    if tick is not None and str(tick.id) not in memory.marked:
        memory.marked.add(str(tick.id))
        app.send_task("risk.renew_layers", [str(tick.id)])
        app.send_task("risk.renew_stress", [str(tick.id)])
        app.send_task("bonds.remark", [str(tick.id)])


def _waits_for(control: Replay, now: datetime, memory: Memory) -> str | None:
    """Why time may not pass yet: what is due at this moment is done first, by us and by the clients."""
    waiting = replay.barrier(control.bar_at)
    if waiting is not None:
        if waiting.reason == replay.EVENTS:
            _hurry(memory)
        return waiting.reason
    if lookout.unseen_since(WATCHER_SECONDS) is not None:
        return "the chain is read"
    if control.wallets_looked_at is None or control.wallets_looked_at < now:
        return "clients look at their calls"
    before = replay.footprint()
    clockwork.step()
    return "deadlines are worked through" if replay.footprint() != before else None


def _hurry(memory: Memory) -> None:
    """Have events handed out now: beat would do it within a second, and a bar may wait for several in a row."""
    if time.monotonic() - memory.delivery_at > DELIVER_SECONDS:
        memory.delivery_at = time.monotonic()
        app.send_task("default.deliver", expires=10 * DELIVER_SECONDS)


def _let_time_pass(control: Replay, now: datetime, next_bar_at: datetime, memory: Memory) -> None:
    """Let the clock run a few minutes, never past the next bar, at the rate that brings the next bar at its time.

    The pace counts from bar to bar, so what this bar's work has taken is taken off. Deadlines are minutes away: people
    get their chance to act in between, however fast the replay runs.
    """
    left = float(control.seconds_a_bar) - (time.monotonic() - memory.offered_at)
    span = replay.STEP_BETWEEN_BARS if replay.somebody_acts() else replay.STEP_WHEN_QUIET
    steps = ceil((next_bar_at - now) / span)
    ceiling = min(now + span, next_bar_at)
    rate = (ceiling - now).total_seconds() / max(left / steps, SHORTEST_STEP_SECONDS)
    with transaction.atomic(durable=True):
        clock.move_to(now, rate=Decimal(rate), ceiling=ceiling)


def _ask_for_a_fresh_world(control: Replay) -> None:
    """The supervisor builds worlds; it finds the wish in its state directory."""
    (settings.VAR_DIR / "run" / WISH).touch()
    Replay.objects.filter(pk=control.pk).update(fresh_world_wanted=False)


def _hold_the_clock() -> None:
    with transaction.atomic(durable=True):
        clock.hold()


def _say_why(control: Replay, reason: str) -> None:
    if control.waits_for != reason:
        Replay.objects.filter(pk=control.pk).update(waits_for=reason)


def _end(control: Replay) -> None:
    if control.state != Replay.State.ENDED:
        Replay.objects.filter(pk=control.pk).update(state=Replay.State.ENDED, next_bar_at=None, waits_for="")
        with transaction.atomic():
            events.notify(events.PAGES_CHANNEL, "replay")
        _hold_the_clock()
