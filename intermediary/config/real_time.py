"""Real time: the market as it is now drives the platform, one official valuation after the other.

The platform's clock is the wall clock and nobody waits for the market: every few seconds the exchanges are asked, and
the newest answer becomes official as soon as the requirements of the last one are renewed. While they are not, the
newest waits and what it overtakes is skipped, counted and never stored; so two ticks do not run at once, and what is
offered last is always what was seen last. Only a tick that does not get done in two minutes is waited for no longer:
the part that is missing is named and counted, and a later market does not wait for it. Where exchanges do not answer
nothing is offered: the last official market ages, which pages show and the gate refuses new risk on.

Everything needed to go on after a restart is in rows: the newest stored market is either done or asked for again.
"""

import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from uuid import UUID

from django.conf import settings

from intermediary import clock, queries
from intermediary.config import live_market
from intermediary.config.celery import app
from intermediary.config.operations.heartbeat import Reporter
from intermediary.config.replay import store_snapshot
from intermediary.errors import Refusal
from risk import measurements, surface_fits
from risk.market.feeds import Feed
from risk.market.feeds.books import Books
from risk.market.feeds.live import LiveFeed, LiveLimits
from risk.market.feeds.smiles import Smiles
from risk.market.feeds.turnovers import Turnovers
from risk.market.snapshot import MarketSnapshot
from risk.models import Snapshot, Tick

logger = logging.getLogger(__name__)
# A wake-up may be lost (the broker keeps nothing on disk) or have failed. A tick takes a second or two; a repeated
# wake-up for work that is done, or that another worker is at, costs nothing.
ASK_AGAIN_SECONDS = 20.0
# A market that no worker has even opened after this was refused or its workers are away: a newer one is worth more.
GIVE_UP_SECONDS = 60.0
# One that was opened is waited for through two hard time limits of a task: by then whoever hung at a part of it was
# killed, and another has tried. What is missing of it is named, and renewed in the next market.
STUCK_SECONDS = 120.0
POLL_SECONDS = 0.1  # a market waits no longer than this after the last tick is done
LONG_AGO = datetime(2009, 1, 3, tzinfo=UTC)  # before any market
MEASURE_SECONDS = 60.0  # layers, notes and stress are for people, who do not read faster
# For 10,000 relationships layers take half a minute and stress as long, one after the other, and on a busy machine
# several times that. Wake-ups of which nothing has come by then are lost, or were taken by workers that died.
MEASURE_AGAIN_SECONDS = 300.0


@dataclass
class Driver:
    """Asks `feed` every `every_s` seconds and offers what it says. Times are of this machine's monotonic clock."""

    feed: Feed
    every_s: float
    waiting: MarketSnapshot | None = None  # the newest, while the last tick is not done
    skipped: int = 0  # markets that were overtaken while they waited, since the start
    looked_at: float = -inf
    offered_at: float = -inf
    asked_at: float = -inf
    measured_at: float = -inf
    measuring: UUID | None = None  # the tick whose market was last asked to be measured
    seen_until: datetime = LONG_AGO  # the newest market seen

    def step(self) -> None:
        """Look at everything once: the exchanges when it is time, the last tick, and what waits for it."""
        if time.monotonic() - self.looked_at >= self.every_s:
            self.looked_at = time.monotonic()
            self._look()
        last = Snapshot.objects.defer("body").first()
        if last is not None and not _is_done(last):
            self._ask_again(last)
            if not self._is_given_up(last):
                return
        if self.waiting is not None:
            self._offer(self.waiting)
            self.waiting = None
        elif last is not None and _is_done(last):
            self._measure(last)

    def _look(self) -> None:
        """Take the market of now; it takes the place of one that still waits."""
        try:
            found = self._next()
        except Refusal as refusal:
            logger.warning("no market: %s %s", refusal, refusal.data)
            live_market.refused(refusal)
            return
        live_market.seen(self.skipped)
        if found is None:
            return
        self.seen_until = found.as_of
        if self.waiting is not None:
            self.skipped += 1
            logger.warning("the market of %s was overtaken, %d so far", self.waiting.as_of.isoformat(), self.skipped)
        self.waiting = found

    def _next(self) -> MarketSnapshot | None:
        """What the feed says now, if that is later than what is known. Refuses what the feed refuses, and
        `market.clock_backwards`."""
        official, now = _last_official(), clock.now()
        if official > now:
            raise Refusal(
                "market.clock_backwards",
                f"It is {now:%Y-%m-%d %H:%M:%S}, and the market of {official:%Y-%m-%d %H:%M:%S} is official.",
            )
        return self.feed.next_after(max(self.seen_until, official))

    def _offer(self, snapshot: MarketSnapshot) -> None:
        stored = store_snapshot(snapshot)
        self.offered_at = time.monotonic()
        self._ask(stored)
        logger.info("market of %s is offered", snapshot.as_of.isoformat())

    def _ask(self, snapshot_id: str) -> None:
        app.send_task("risk.open_tick", [snapshot_id], expires=ASK_AGAIN_SECONDS)
        self.asked_at = time.monotonic()

    def _ask_again(self, last: Snapshot) -> None:
        if time.monotonic() - self.asked_at >= ASK_AGAIN_SECONDS:
            logger.info("asking again for the requirements of %s", last.as_of.isoformat())
            if self.offered_at == -inf:
                self.offered_at = time.monotonic()  # of a process before this one
            self._ask(last.id)

    def _is_given_up(self, last: Snapshot) -> bool:
        """Whether a newer market, which is at hand, is worth more than to wait on: nobody has opened this one's tick in
        a long while, or some part of an opened one does not get done. Such a part may still be done later: what it
        would change by then is left as the later market made it."""
        tick = Tick.objects.filter(snapshot=last).first()
        waited = time.monotonic() - self.offered_at
        if self.waiting is None or waited < (GIVE_UP_SECONDS if tick is None else STUCK_SECONDS):
            return False
        logger.error("the market of %s is not worked through; a newer one takes its place", last.as_of.isoformat())
        live_market.gave_up(tick, last.as_of)
        if tick is not None:
            self._measure(last)  # for everybody else; while a part goes on missing no tick is ever done
        return True

    def _measure(self, last: Snapshot) -> None:
        """Have what people read measured in this market: the newest, done or given up. However long that takes, the
        next is asked for when it is done: what waits for its turn is not put behind new wishes for the same."""
        waited = time.monotonic() - self.measured_at
        if waited < MEASURE_SECONDS:
            return
        if self.measuring and waited < MEASURE_AGAIN_SECONDS and not measurements.all_reached(self.measuring):
            return
        self.measured_at = time.monotonic()
        self.measuring = Tick.objects.values_list("id", flat=True).get(snapshot=last)
        for name in ("risk.renew_layers", "risk.renew_stress", "bonds.remark"):
            app.send_task(name, [str(self.measuring)], expires=MEASURE_AGAIN_SECONDS)


def _is_done(last: Snapshot) -> bool:
    return Tick.objects.filter(snapshot=last, done_at__isnull=False).exists()


def _last_official() -> datetime:
    return Snapshot.objects.values_list("as_of", flat=True).first() or LONG_AGO


def live_feed() -> LiveFeed:
    """The exchanges, or the mirror in their place, asked by the platform's clock; it goes on from the market that was
    stored last, so that a coin nobody prices at this moment keeps its mark and that mark's time."""
    mirror, every_s = settings.MARKET_MIRROR, settings.MARKET_FEED_SECONDS
    limits = LiveLimits(step_s=min(every_s, LiveLimits.step_s), keep_rate_limits=not mirror)
    smiles = Smiles(mirror=mirror, told=surface_fits.keep)
    books, turnovers = Books(mirror=mirror), Turnovers(mirror=mirror)
    feed = LiveFeed(clock.now, limits=limits, mirror=mirror, smiles=smiles, books=books, turnovers=turnovers)
    last = Snapshot.objects.filter(source=LiveFeed.source).first()
    if last is not None:
        feed.resume(MarketSnapshot.from_json(last.body))
    return feed


def run() -> None:
    """Drive the platform until the process ends. Refuses `market_feed_of_a_replay`: its clock belongs to the bars."""
    if queries.platform_clock().mode != "live":
        raise Refusal("market_feed_of_a_replay", "This world's clock follows a replay, not the market of today.")
    feed = live_feed()
    driver, told = Driver(feed, settings.MARKET_FEED_SECONDS), Reporter("feed")
    try:
        while True:
            began = time.monotonic()
            driver.step()
            told(time.monotonic() - began)
            time.sleep(POLL_SECONDS)
    finally:
        feed.close()  # else the process ends only when every question that waits has been asked and answered
