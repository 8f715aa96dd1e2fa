"""The replay's feed, looked at step by step: its pace, its pauses, and what it asks for twice."""

import time
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

import psycopg
import pytest
import redis
from django.db import connection, transaction
from django.db.models import F

from intermediary import clock
from intermediary.config import replay
from intermediary.config.celery import app
from intermediary.config.management.commands import feed
from intermediary.config.models import Replay
from risk import engine
from risk.market.feeds import open_feed
from settlement import lookout
from settlement.models import Lookout
from tests.conftest import TestDatabase
from tests.intermediary import margin_world

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
MARKET = open_feed(None)
MOMENT = MARKET.first
QUEUE = "risk"


@pytest.fixture
def control(committing_db: TestDatabase) -> Replay:
    """A replay that stands at its first bar, without a tick yet."""
    with psycopg.connect(committing_db.url_of("owner")) as owner:
        owner.execute("SELECT platform_clock_start_replay(%s)", [MOMENT])
    replay.store_snapshot(next(MARKET.bars(MOMENT, MOMENT)))
    return Replay.objects.create(
        seconds_a_bar=Decimal(8),
        source="recording",
        started_at=MOMENT,
        bar_at=MOMENT,
        ends_at=MOMENT + 5 * HOUR,
        autopilot=False,
    )


@pytest.fixture
def queue(valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator["redis.Redis"]:
    """The broker's queue of the risk workers, of which none runs."""
    monkeypatch.setattr(app.conf, "broker_url", valkey_url)
    connection = redis.Redis.from_url(valkey_url)
    connection.delete(QUEUE)
    yield connection
    connection.delete(QUEUE)


def run_clock(rate: int) -> None:
    clock.move_to(clock.now(), rate=Decimal(rate), ceiling=clock.now() + HOUR)


@pytest.mark.parametrize("rate", [0, 1, 450])
def test_a_clock_is_held_at_once_however_fast_it_runs(control: Replay, rate: int) -> None:
    run_clock(rate)
    clock.hold()
    time.sleep(0.3)
    held = clock.now()
    time.sleep(0.1)
    assert clock.now() == held
    assert held <= MOMENT + rate * timedelta(seconds=5)


def test_a_pause_holds_a_running_clock_and_nothing_is_offered_meanwhile(control: Replay, queue: "redis.Redis") -> None:
    run_clock(100)
    control.state = Replay.State.PAUSED
    memory = feed.Memory()
    for _ in range(4):
        feed.step(MARKET, control, memory)
        time.sleep(0.1)
    held = clock.now()
    time.sleep(0.1)
    assert (clock.now(), clock.runs()) == (held, False)
    assert queue.llen(QUEUE) == 0
    control.state = Replay.State.RUNNING
    feed.step(MARKET, control, memory)
    assert queue.llen(QUEUE) == 1, "and after it the replay goes on where it was"


def test_a_tick_whose_wake_up_was_lost_is_asked_for_again(control: Replay, queue: "redis.Redis") -> None:
    memory = feed.Memory()
    for _ in range(3):
        feed.step(MARKET, control, memory)
    assert queue.llen(QUEUE) == 1, "a feed that starts asks once for what is not done"
    queue.delete(QUEUE)
    memory.asked_at -= feed.ASK_AGAIN_SECONDS
    feed.step(MARKET, control, memory)
    assert queue.llen(QUEUE) == 1


@pytest.mark.parametrize(
    ("work_seconds", "rate"), [(0, 3600 / 8), (4, 3600 / 4), (20, 600 / feed.SHORTEST_STEP_SECONDS)]
)
def test_the_pace_counts_from_bar_to_bar_with_the_work_in_between(
    control: Replay, work_seconds: int, rate: float
) -> None:
    feed._let_time_pass(control, MOMENT, MOMENT + HOUR, feed.Memory(offered_at=time.monotonic() - work_seconds))
    with connection.cursor() as cursor:
        cursor.execute("SELECT rate, ceiling FROM platform_clock")
        chosen, ceiling = cursor.fetchone()
    assert abs(float(chosen) / rate - 1) < 0.1
    assert ceiling == MOMENT + 10 * MINUTE, "nobody has anything to do before it"


def test_time_passes_in_small_steps_while_a_call_is_open(control: Replay) -> None:
    with transaction.atomic():
        client = margin_world.client("D")
        margin_world.assess(client, margin_world.value(50_000), 2 * margin_world.MILLION)
    assert replay.somebody_acts()
    feed._let_time_pass(control, MOMENT, MOMENT + HOUR, feed.Memory())
    with connection.cursor() as cursor:
        cursor.execute("SELECT ceiling FROM platform_clock")
        assert cursor.fetchone() == (MOMENT + 5 * MINUTE,)


def test_time_does_not_pass_while_nobody_reads_the_chain(control: Replay) -> None:
    assert feed._waits_for(control, MOMENT, feed.Memory()) == "requirements are being renewed"
    opened = engine.open_tick(replay.store_snapshot(next(MARKET.bars(MOMENT, MOMENT))), 1)
    engine.run_shard(opened.id, 0)
    control.wallets_looked_at = MOMENT
    lookout.note()
    assert feed._waits_for(control, MOMENT, feed.Memory()) is None
    Lookout.objects.update(seen_at=F("seen_at") - timedelta(seconds=feed.WATCHER_SECONDS))
    assert feed._waits_for(control, MOMENT, feed.Memory()) == "the chain is read"
