"""The demonstration platform under test: the real world, real workers and chain, one bar after the other.

Requirements are renewed by real Celery workers over Valkey; the clock stands still between bars and blocks are mined on
demand, so a run is the same every time.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import psycopg

from intermediary.config import bindings, replay
from intermediary.config.celery import app
from intermediary.config.demo import bootstrap, wallet, world
from intermediary.config.models import Replay
from risk.market.feeds import Feed
from risk.market.snapshot import MarketSnapshot
from risk.models import Tick
from settlement import cycle
from settlement.chain import Chain
from settlement.demo_chain import mine
from tests.conftest import TestDatabase

TICK_SECONDS_MAX = 60  # cold workers load the numeric stack first
CHECKOUT = Path(__file__).resolve().parents[2]


class Platform:
    """A built demo world and the means to take it from bar to bar."""

    def __init__(self, chain: Chain, feed: Feed, cast: world.Cast = world.DEMO) -> None:
        self.chain, self.feed, self.cast = chain, feed, cast
        self.builder = bootstrap.Builder(cast=cast, chain=chain, feed=feed, say=lambda _line: None)

    def build(self, owner_url: str) -> None:
        with psycopg.connect(owner_url) as connection:
            connection.execute("SELECT platform_clock_start_replay(%s)", [self.builder.first_snapshot.as_of])
        self.builder.build()
        bindings.bind_risk()

    def bars(self) -> Iterator[MarketSnapshot]:
        """Every bar that is left, each worked through to rest before it is yielded."""
        while True:
            upcoming = replay.next_bar(self.feed, Replay.objects.get())
            if upcoming is None:
                return
            snapshot, _ = upcoming
            self.work_through(snapshot)
            yield snapshot

    def work_through(self, snapshot: MarketSnapshot) -> None:
        replay.pass_time(snapshot.as_of, self._settle, self._act, self.cast)
        snapshot_id = replay.offer(snapshot, None, Decimal(0))
        app.send_task("risk.open_tick", [snapshot_id])
        _wait_for_tick(snapshot_id)
        self.rest()

    def rest(self) -> None:
        """Everything set off so far comes to rest, final on chain."""
        replay.work_through(self._settle, self._act, self.cast)

    def _settle(self) -> None:
        cycle.settle_all(mine=mine)

    def _act(self) -> None:
        wallet.step(self.chain, self.cast, mine)


def _wait_for_tick(snapshot_id: str) -> None:
    deadline = time.monotonic() + TICK_SECONDS_MAX
    while not Tick.objects.filter(snapshot_id=snapshot_id, done_at__isnull=False).exists():
        assert time.monotonic() < deadline, f"no worker finished the tick of snapshot {snapshot_id}"
        time.sleep(0.02)


@contextmanager
def risk_workers(database: TestDatabase, broker_url: str, history_dir: Path | None, log: Path) -> Iterator[None]:
    """Two real worker processes of the risk queue, as the supervisor would start them."""
    environment = os.environ | database.urls | {
        "BULKHEAD_MODE": "test",
        "DATABASE_ROLE": "worker",
        "BROKER_URL": broker_url,
        "OPENBLAS_NUM_THREADS": "1",
        "NUMBA_NUM_THREADS": "1",
    }  # fmt: skip
    if history_dir is not None:
        environment["MARKET_HISTORY_DIR"] = str(history_dir)
    command = [
        sys.executable, "-m", "celery", "-A", "intermediary.config.celery", "worker", "-Q", "risk",
        "--concurrency", "2", "--loglevel", "INFO", "--without-gossip", "--without-mingle",
    ]  # fmt: skip
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=CHECKOUT, env=environment, stdout=output, stderr=output)
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=30)
