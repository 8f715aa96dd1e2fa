"""The live market drives the platform: exchanges on loopback in their own formats, a real broker, a real database.

The test plays the risk worker, so that it decides when a tick is done.
"""

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest
import redis
from django.db import transaction

from intermediary import clock, trading
from intermediary.config import live_market, real_time
from intermediary.config.models import LiveMarket
from intermediary.config.office import stuck
from intermediary.config.operations.collect import collect
from intermediary.errors import Refusal
from intermediary.models import MarginState
from risk import engine, live_layers, published_haircuts, stress_reports
from risk.market.feeds.live import LiveFeed, LiveLimits
from risk.market.quality import MarkState
from risk.market.snapshot import MarketSnapshot
from risk.models import Measurement, Snapshot, Tick
from risk.shards import cells_of_shard
from tests.broker import sending_to
from tests.conftest import TestDatabase
from tests.intermediary.margin_world import MILLION, Client, bitcoin, client, fund_house
from tests.risk.builders import MARKS, snapshot
from tests.risk.market.exchange_server import Exchanges, exchanges

CHECKOUT = Path(__file__).resolve().parents[2]
QUEUE, NOTES = "risk", "bonds"


@pytest.fixture
def world() -> Iterator[Exchanges]:
    with exchanges() as running:
        running.price = {coin: float(mark) for coin, mark in MARKS.items()} | {"USDC": 1.0, "USDT": 0.998}
        yield running


@pytest.fixture
def queue(valkey_url: str) -> Iterator["redis.Redis"]:
    """The broker's queue of the risk workers, of which none runs."""
    found = redis.Redis.from_url(valkey_url)
    found.delete(QUEUE, NOTES)
    with sending_to(valkey_url):
        yield found
    found.delete(QUEUE, NOTES)


def holding() -> Client:
    """A relationship that is long ten coins."""
    with transaction.atomic():
        fund_house(100 * MILLION)
        found = client("D")
        found.deposit(20 * MILLION)
        key = bitcoin().id
        trading.book_leg(cell_id=found.cell.id, instrument_id=key, quantity=Decimal(10), price=Decimal(MARKS["BTC"]))
    return found


class Given:
    """A feed whose next market the test puts there."""

    source = "live"

    def __init__(self) -> None:
        self.upcoming: MarketSnapshot | Refusal | None = None
        self.asked_after: list[datetime] = []

    def next_after(self, moment: datetime) -> MarketSnapshot | None:
        self.asked_after.append(moment)
        if isinstance(self.upcoming, Refusal):
            raise self.upcoming
        found, self.upcoming = self.upcoming, None
        return found


def market(bitcoin_at: str) -> MarketSnapshot:
    return replace(snapshot({"BTC": bitcoin_at}), as_of=clock.now())


def asked(queue: "redis.Redis") -> list[tuple[str, str]]:
    """The wake-ups that wait, oldest first, taken: task and its argument."""
    found = []
    while (raw := queue.rpop(QUEUE)) is not None:
        message = json.loads(raw)  # type: ignore[arg-type]
        arguments = json.loads(base64.b64decode(message["body"]))[0]
        found.append((message["headers"]["task"], arguments[0]))
    return found


def work(snapshot_id: str) -> Tick:
    """What a worker does for one market."""
    opened = engine.open_tick(snapshot_id, 1)
    engine.run_shard(opened.id, 0)
    return Tick.objects.get(id=opened.id)


def until(happened: Callable[[], bool], seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def driver_of(feed: Given) -> real_time.Driver:
    return real_time.Driver(feed, 0.0)  # type: ignore[arg-type]  # it asks for nothing else


@pytest.mark.django_db
def test_of_what_comes_while_a_tick_runs_the_newest_is_offered_after_it(queue: "redis.Redis") -> None:
    holder, feed = holding(), Given()
    driver = driver_of(feed)
    for at in ("95000", "94000", "93000", "92000"):
        feed.upcoming = market(at)
        driver.step()
    first = Snapshot.objects.get()
    assert asked(queue) == [("risk.open_tick", first.id)], "one tick at once"
    assert driver.skipped == 2
    work(first.id)
    driver.step()
    newest = Snapshot.objects.first()
    assert newest is not None
    assert Snapshot.objects.count() == 2, "what was overtaken is not stored"
    assert MarketSnapshot.from_json(newest.body).mark("BTC") == 92_000
    assert asked(queue) == [("risk.open_tick", newest.id)]
    work(newest.id)
    assert MarginState.objects.get(cell=holder.cell).valuation.snapshot_id == newest.id
    driver.step()
    assert [task for task, _ in asked(queue)] == ["risk.renew_layers", "risk.renew_stress"]
    assert queue.llen(NOTES) == 1
    driver.step()
    assert asked(queue) == []


@pytest.mark.django_db
def test_everybody_is_measured_anew_when_the_last_time_is_done_however_long_it_takes(queue: "redis.Redis") -> None:
    """And then in the newest market, not in the one that was asked for; what was lost is asked for again."""
    holding()
    feed = Given()
    driver = driver_of(feed)
    measured = ["risk.renew_layers", "risk.renew_stress"]

    def in_a_market(at: str) -> list[str]:
        feed.upcoming = market(at)
        driver.step()
        work(Snapshot.objects.first().id)  # type: ignore[union-attr]
        asked(queue)
        driver.step()
        return [task for task, _ in asked(queue)]

    assert in_a_market("95000") == measured
    first = Tick.objects.get()
    driver.measured_at -= real_time.MEASURE_SECONDS
    assert in_a_market("94000") == [], "the first time is not done"
    Tick.objects.filter(id=first.id).update(done_at=first.done_at - timedelta(minutes=11))  # type: ignore[operator]
    behind = collect().unmeasured_seconds
    assert set(behind) == {"layers", "haircuts", "stress"}
    assert all(660 <= seconds < 780 for seconds in behind.values())
    for renew in (live_layers.renew, published_haircuts.renew, stress_reports.renew):
        renew(first.id)
    assert set(Measurement.objects.values_list("tick", flat=True)) == {Tick.objects.first().id}  # type: ignore[union-attr]
    assert set(collect().unmeasured_seconds.values()) == {0.0}
    assert in_a_market("93000") == measured
    driver.measured_at -= real_time.MEASURE_AGAIN_SECONDS
    driver.step()
    assert [task for task, _ in asked(queue)] == measured, "nothing came of it: it was lost"


@pytest.mark.django_db
def test_a_wake_up_that_was_lost_is_sent_again_also_by_the_next_process(queue: "redis.Redis") -> None:
    holding()
    feed = Given()
    driver = driver_of(feed)
    feed.upcoming = market("95000")
    driver.step()
    assert len(asked(queue)) == 1
    driver.asked_at -= real_time.ASK_AGAIN_SECONDS
    driver.step()
    assert len(asked(queue)) == 1
    again = driver_of(feed)
    feed.upcoming = market("90000")
    again.step()
    assert asked(queue) == [("risk.open_tick", Snapshot.objects.get().id)], "and the newer one waits"
    again.offered_at -= real_time.GIVE_UP_SECONDS
    again.step()
    newest = Snapshot.objects.first()
    assert newest is not None
    assert asked(queue) == [("risk.open_tick", newest.id)], "unless nobody values the old one at all"
    assert work(newest.id).done_at is not None
    with pytest.raises(Refusal, match="valuation_not_later"):
        engine.open_tick(Snapshot.objects.last().id, 1)  # type: ignore[union-attr]


@pytest.mark.django_db
def test_no_market_and_a_clock_that_went_back_offer_nothing(
    queue: "redis.Redis", caplog: pytest.LogCaptureFixture
) -> None:
    holding()
    feed = Given()
    driver = driver_of(feed)
    feed.upcoming = Refusal("market.too_few_sources", "1 of 4 exchanges answer.", silent={"kraken": "timed out"})
    for _ in range(3):
        driver.step()
    assert "market.too_few_sources" in caplog.text
    assert "kraken" in caplog.text
    told = live_market.health()
    assert told is not None
    assert (told.stands_still, told.row.refusals, told.row.refusal) == (True, 3, "market.too_few_sources")
    assert told.silent == {"kraken": "timed out"}
    assert stuck.count() == 1
    feed.upcoming = replace(market("95000"), as_of=clock.now() + timedelta(minutes=5))
    driver.step()
    official = Snapshot.objects.get()
    told = live_market.health()
    assert told is not None
    assert (told.stands_still, told.row.refusals) == (False, 0)
    assert told.row.refusal == "market.too_few_sources", "the last one stays to be read"
    work(official.id)
    asked(queue)
    feed.upcoming = market("94000")
    driver.step()
    assert "market.clock_backwards" in caplog.text
    assert LiveMarket.objects.get().refusal == "market.clock_backwards"
    assert Snapshot.objects.get() == official


@pytest.mark.django_db
def test_a_tick_that_cannot_finish_is_named_and_a_later_market_goes_on(queue: "redis.Redis") -> None:
    """One of two parts never gets done; when it does after all, it changes nothing that a later market made."""
    holder, feed = holding(), Given()
    driver = driver_of(feed)
    feed.upcoming = market("95000")
    driver.step()
    first = engine.open_tick(Snapshot.objects.get().id, 2)
    missing = next(number for number in (0, 1) if holder.cell.id in cells_of_shard(number, 2))
    engine.run_shard(first.id, 1 - missing)
    feed.upcoming = market("90000")
    driver.step()
    driver.offered_at -= real_time.GIVE_UP_SECONDS
    driver.step()
    assert Snapshot.objects.count() == 1, "an opened one is waited for longer"
    driver.offered_at -= real_time.STUCK_SECONDS
    driver.step()
    newest = Snapshot.objects.first()
    assert newest is not None
    tasks = asked(queue)
    assert tasks[-1] == ("risk.open_tick", newest.id)
    assert ("risk.renew_layers", str(first.id)) in tasks, "layers and stress of the others are measured on"
    told = live_market.health()
    assert told is not None
    assert (told.is_stuck, told.row.given_up, told.row.stuck) == (True, 1, f"part {missing + 1} of 2")
    assert stuck.count() == 1
    work(newest.id)
    state, paid = MarginState.objects.get(cell=holder.cell), holder.held()
    assert state.valuation.snapshot_id == newest.id
    assert paid < 20 * MILLION, "what the fall cost was paid once"
    engine.run_shard(first.id, missing)
    assert Tick.objects.get(id=first.id).done_at is not None
    assert (MarginState.objects.get(cell=holder.cell).valuation_id, holder.held()) == (state.valuation_id, paid)
    told = live_market.health()
    assert told is not None
    assert (told.is_stuck, told.row.given_up, stuck.count()) == (False, 1, 0)


def test_a_replay_keeps_its_clock(committing_db: TestDatabase) -> None:
    with psycopg.connect(committing_db.url_of("owner")) as owner:
        owner.execute("SELECT platform_clock_start_replay(%s)", [clock.now()])
    with pytest.raises(Refusal, match="market_feed_of_a_replay"):
        real_time.run()


def test_the_feed_process_renews_requirements_from_exchanges_and_goes_on_after_it_was_killed(
    queue: "redis.Redis", world: Exchanges, committing_db: TestDatabase, valkey_url: str, tmp_path: Path
) -> None:
    holder = holding()
    environment = os.environ | {
        "BULKHEAD_MODE": "test", "DATABASE_ROLE": "worker", "BROKER_URL": valkey_url, "MARKET_FEED": "live",
        "MARKET_FEED_SECONDS": "0.3", "MARKET_MIRROR": world.url,
        "DATABASE_WORKER_URL": committing_db.url_of("worker"),
    }  # fmt: skip

    def start() -> "subprocess.Popen[bytes]":
        log = (tmp_path / "feed.log").open("ab")
        return subprocess.Popen([sys.executable, "manage.py", "feed"], cwd=CHECKOUT, env=environment, stderr=log)

    def worked() -> int:
        """The requirement after the next market that the process asks a worker for."""
        until(lambda: queue.llen(QUEUE) > 0)
        for task, snapshot_id in asked(queue):
            if task == "risk.open_tick":
                work(snapshot_id)
        return MarginState.objects.get(cell=holder.cell).required_base_units

    process = start()
    try:
        before = worked()
        until(lambda: Snapshot.objects.count() > 1)  # one is offered and not worked on
    finally:
        process.kill()
        process.wait()
    offered = Snapshot.objects.first()
    assert offered is not None
    asked(queue)  # its wake-up is lost
    world.price["BTC"] *= 0.5
    world.prices = {(venue, "HYPE"): 0.0 for venue in ("kraken", "binance")}
    process = start()
    try:
        worked()
        assert Tick.objects.first().snapshot_id == offered.id, "what was offered is done first"  # type: ignore[union-attr]
        until(lambda: Snapshot.objects.count() > 2)
        after = worked()
    finally:
        process.terminate()
        process.terminate()  # a second signal disturbs nothing
        process.wait()
    newest = MarketSnapshot.from_json(Tick.objects.select_related("snapshot")[0].snapshot.body)
    assert float(newest.mark("BTC")) == pytest.approx(47_500, rel=1e-6)
    assert newest.qualities["HYPE"].state is MarkState.STALE, "nobody prices it now, and its mark is remembered"
    assert before > 0
    assert after != before
    state = MarginState.objects.get(cell=holder.cell)
    assert state.exposure_base_units == 0, "the loss of 475,000 dollars was paid from its vault"
    log = (tmp_path / "feed.log").read_text()
    assert "market of" in log
    assert process.returncode == 0, log
    assert "Exception ignored" not in log


def test_a_restarted_feed_is_not_fooled_by_a_lone_price(world: Exchanges) -> None:
    """What a first look is held against survives: a single source alone that jumps is not believed."""
    limits = LiveLimits(timeout_s=1.0, step_s=0.01, keep_rate_limits=False)
    feed = LiveFeed(clock_of_this_machine, limits=limits, mirror=world.url)
    last = feed.next_after(real_time.LONG_AGO)
    feed.close()
    assert last is not None
    world.prices = {("kraken", "HYPE"): 0.0, ("binance", "HYPE"): float(MARKS["HYPE"]) * 2}
    again = LiveFeed(clock_of_this_machine, limits=limits, mirror=world.url)
    again.resume(last)
    found = again.next_after(last.as_of)
    again.close()
    assert found is not None
    assert found.mark("HYPE") == last.mark("HYPE")
    assert found.underlyings["HYPE"].observed_at == last.underlyings["HYPE"].observed_at
    assert "unconfirmed move" in str(found.qualities["HYPE"].left_out)


def clock_of_this_machine() -> datetime:
    return datetime.now(UTC)
