"""Real risk workers for a demo world that a test drives bar by bar.

Requirements are renewed by real Celery workers over Valkey; the clock stands still between bars and blocks are mined on
demand, so a run is the same every time.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from intermediary.config.celery import app
from risk.models import Tick
from tests.conftest import TestDatabase

TICK_SECONDS_MAX = 60  # cold workers load the numeric stack first
CHECKOUT = Path(__file__).resolve().parents[2]


def tick_by_workers(snapshot_id: str) -> None:
    """Ask the running workers for a tick and wait until its last shard says that it is done."""
    app.send_task("risk.open_tick", [snapshot_id])
    deadline = time.monotonic() + TICK_SECONDS_MAX
    while not Tick.objects.filter(snapshot_id=snapshot_id, done_at__isnull=False).exists():
        assert time.monotonic() < deadline, f"no worker finished the tick of snapshot {snapshot_id}"
        time.sleep(0.05)


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
