"""The feed of a replay: it offers the next bar when the last one has been fully worked through (the barrier).

Fully worked through means: every requirement renewed, every event delivered, every movement final on chain, and the
clock at the bar's time. Then the clock is let run to the bar after it. Between bars the clock runs at the pace that
the officers chose; if work takes longer than the pace, the clock waits at its ceiling. Nothing is skipped.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import connection, transaction

from intermediary import calls, clock, events, trading
from intermediary.config import clockwork, deliveries, requests
from intermediary.config.demo.world import DEMO, Cast
from intermediary.config.models import Replay
from intermediary.models import (
    AuditRecord,
    CallEvent,
    ChainInstruction,
    CommandRequest,
    DefaultCase,
    DefaultEvent,
    Delivery,
    Event,
    JournalEntry,
    MarginCall,
)
from risk.market.feeds import Feed
from risk.market.snapshot import MarketSnapshot
from risk.models import Snapshot, Tick
from settlement import cycle
from settlement.models import HouseReceipt

STEP_BETWEEN_BARS = timedelta(minutes=5)  # the shortest time in which anyone in the cast does anything
# Shorter than any time to deliver: a call that is made meanwhile is seen by its client before it is due.
STEP_WHEN_QUIET = timedelta(minutes=10)
EVENTS = "events are being delivered"
ROUNDS_MAX = 30  # a default needs about six: notice, cure, seizure, slices, determination, layers


@dataclass(frozen=True)
class Waiting:
    """Why the next bar is not offered yet."""

    reason: str


def store_snapshot(snapshot: MarketSnapshot) -> str:
    """Keep the snapshot under its own hash; the same market is the same row."""
    Snapshot.objects.get_or_create(
        id=snapshot.id,
        defaults={"as_of": snapshot.as_of, "source": snapshot.source, "body": snapshot.to_json()},
    )
    return snapshot.id


def barrier(bar_at: datetime) -> Waiting | None:
    """What of this bar is still being worked on, if anything."""
    tick = Tick.objects.filter(valuation__as_of=bar_at).first()
    if tick is None or tick.done_at is None:
        return Waiting("requirements are being renewed")
    if Delivery.objects.filter(state=Delivery.State.PENDING).exists():
        return Waiting(EVENTS)
    if Delivery.objects.filter(state=Delivery.State.FAILED).exists():
        return Waiting("an event could not be delivered; an officer must look at it")
    if CommandRequest.objects.filter(state=CommandRequest.State.PENDING).exists():
        return Waiting("requests are being carried out")
    if pending := cycle.unfinished():
        return Waiting(f"{pending} movements are not final on chain")
    return None


def somebody_acts() -> bool:
    """Whether deadlines run: a call is open or overdue, or a default is on its way to its determination."""
    if MarginCall.objects.filter(state__in=calls.PENDING_STATES).exists():
        return True
    settled = [DefaultCase.State.CURED, DefaultCase.State.ALLOCATED, DefaultCase.State.RECOVERY]
    return DefaultCase.objects.exclude(state__in=[*settled, DefaultCase.State.CLOSED]).exists()


def deliver_all() -> None:
    """Hand out events until none waits: handlers may emit more."""
    while deliveries.deliver_pending():
        pass


def footprint() -> tuple[int, ...]:
    """How much has been written: unchanged after a round of work means that there is nothing left to do."""
    tables = (AuditRecord, JournalEntry, ChainInstruction, Event, CallEvent, DefaultEvent, HouseReceipt)
    counts = ", ".join(f"(SELECT count(*) FROM {table._meta.db_table})" for table in tables)  # noqa: S608 - our tables
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {counts}")
        return tuple(cursor.fetchone())


def work_through(settle: Callable[[], object], act: Callable[[], object], cast: Cast = DEMO) -> None:
    """Bring everything that a bar set off to rest: time's own work, events, requests, the wallets, the chain.

    `settle` makes what is instructed final on chain; `act` lets the demo's wallets do what they want to do now.
    Raises RuntimeError when it does not come to rest.
    """
    for _ in range(ROUNDS_MAX):
        before = footprint()
        clockwork.step(cast)
        deliver_all()
        requests.run_pending()
        act()
        settle()
        deliver_all()
        if footprint() == before and not cycle.unfinished():
            return
    raise RuntimeError("the bar does not come to rest")


def pass_time(until: datetime, settle: Callable[[], object], act: Callable[[], object], cast: Cast = DEMO) -> None:
    """Let a standing clock go to just before `until` in small steps, so that people act between two bars as they do
    when the clock runs: calls are answered, cure periods end."""
    moment = clock.now() + STEP_BETWEEN_BARS
    while moment < until:
        with transaction.atomic(durable=True):
            clock.move_to(moment, rate=Decimal(0), ceiling=moment)
        before = footprint()
        clockwork.step(cast)
        act()
        if footprint() != before or cycle.unfinished():
            work_through(settle, act, cast)
        moment += STEP_BETWEEN_BARS


def offer(snapshot: MarketSnapshot, following: MarketSnapshot | None = None) -> str:
    """Stand the clock at this bar and store the snapshot; returns its id. Whoever drives lets time pass after it."""
    with transaction.atomic(durable=True):
        clock.move_to(snapshot.as_of, rate=Decimal(0), ceiling=snapshot.as_of)
        snapshot_id = store_snapshot(snapshot)
        Replay.objects.update(bar_at=snapshot.as_of, next_bar_at=following.as_of if following else None, waits_for="")
        events.notify(events.PAGES_CHANNEL, "replay")
    return snapshot_id


def next_bar(feed: Feed, control: Replay) -> tuple[MarketSnapshot, MarketSnapshot | None] | None:
    """The bar to offer next and the one after it; None at the end."""
    upcoming = feed.next_after(control.bar_at)
    if upcoming is None or upcoming.as_of > control.ends_at:
        return None
    following = feed.next_after(upcoming.as_of)
    if following is not None and following.as_of > control.ends_at:
        following = None
    return upcoming, following


def expected_nets_to_zero() -> None:
    """D6: over all cells every instrument nets to zero; raises AssertionError with the offenders."""
    off = {code: net for code, net in trading.position_nets().items() if net}
    assert not off, f"instruments do not net to zero: {off}"
