"""One full tick with 1,000 relationships, 100 instruments and 2,000 scenarios, by two real risk workers.

Measured from the stored snapshot to the last stored requirement, over Valkey and PostgreSQL, on a world of its own, in
two markets. One stands still from tick to tick (snapshots a microsecond apart): marks, matrices, books, requirements
and admission tests are computed anew and stored, and nothing has to be paid, called or instructed. In the other every
coin moves, so that every relationship owes variation margin or is owed it, which is paid by a movement each, and the
vaults follow the requirements. Calls are no part of it: margin is ample.
"""

import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from django.conf import settings

from intermediary.config.benches import Figure, book
from intermediary.config.celery import app
from intermediary.config.demo import world
from intermediary.config.replay import store_snapshot
from intermediary.config.scratch import migrated_database, scratch_services
from intermediary.config.supervisor.table import ONE_THREAD
from intermediary.models import VariationPayment
from risk import engine
from risk.market.feeds import open_feed
from risk.market.snapshot import MarketSnapshot, Underlying
from risk.models import Tick

RUNS = 7
# Margin is enough that no call is due.
BOOK = book.Size(relationships=1_000, instruments=100, held=100, margin_usd=40_000_000)
MOVE = 0.01  # standard deviation of a coin's step in the moving market
# A worker is ready in about 10 s and a tick takes about one, or half a minute where 10,000 are paid by two that know
# nobody yet; on a busy machine several times that. Longer means that it died.
READY_S, TICK_S = 120, 300
Say = Callable[[str], object]


def run(say: Say) -> dict[str, Figure]:
    """Build the book, let every relationship's first requirement act, start two workers, take ticks."""
    with scratch_services("valkey") as running, migrated_database(running, "bench_tick") as urls:
        say(f"a book of {BOOK.relationships} relationships with {BOOK.held} positions each")
        snapshot = next(iter(open_feed(settings.MARKET_HISTORY_DIR).bars(world.START, world.END)))
        book.build(BOOK, snapshot, running.admin_url_of("bench_tick"))
        act_once(snapshot)
        app.conf.broker_url = running.valkey_url
        say("two workers")
        with workers(urls, running.valkey_url, running.state.root / "worker.log") as worker:
            processes = [postmaster(running.state.root), *children(worker.pid)]
            cold = take(later(snapshot, 1))
            still, still_cpu = ticks([later(snapshot, number + 2) for number in range(RUNS)], processes)
            moving, moving_cpu = ticks(moving_market(snapshot), processes)
            _refuse_unless_all_paid()
            peak = max(peak_mb(pid) for pid in [worker.pid, *children(worker.pid)])
    for name, took in (("cold", [cold]), ("a market that stands still", still), ("a moving market", moving)):
        say(f"{name}: {', '.join(f'{seconds:.2f}' for seconds in took)} s")
    of = (
        f"{BOOK.relationships} relationships x {BOOK.instruments} instruments (each holds every one) x 2000 scenarios,"
        f" 2 workers, {{}}, median of {RUNS}"
    )
    still_of, moving_of = of.format("a market that stands still"), of.format("every coin moved, all pay or are paid")
    return {
        "tick_s": Figure(statistics.median(still), "s", still_of),
        "tick_best_s": Figure(min(still), "s", "the fastest of the same ticks"),
        "tick_cpu_s": Figure(still_cpu, "s", "processor time of one such tick, workers and database together"),
        "tick_cold_s": Figure(cold, "s", "the first tick of two fresh workers, from when they are ready"),
        "tick_moving_s": Figure(statistics.median(moving), "s", moving_of),
        "tick_moving_best_s": Figure(min(moving), "s", "the fastest of the same ticks"),
        "tick_moving_cpu_s": Figure(moving_cpu, "s", "processor time of one such tick, workers and database together"),
        "worker_peak_mb": Figure(peak, "MB", "largest resident size that a worker process had"),
    }


def later(snapshot: MarketSnapshot, number: int) -> MarketSnapshot:
    """The same market a moment later: a valuation of its own at the same marks."""
    return replace(snapshot, as_of=snapshot.as_of + timedelta(microseconds=number))


def moving_market(snapshot: MarketSnapshot, runs: int = RUNS, step: float = MOVE) -> list[MarketSnapshot]:
    """A walk of every coin by steps of this standard deviation."""
    draw, found = random.Random(11), []
    for number in range(runs):
        quotes = {coin: moved(item, draw.gauss(0, step)) for coin, item in snapshot.underlyings.items()}
        snapshot = replace(later(snapshot, 1_000 + number), underlyings=quotes)
        found.append(snapshot)
    return found


def moved(item: Underlying, by: float) -> Underlying:
    """A quote whose mark has moved by this share."""
    return replace(item, mark=(item.mark * Decimal(1 + by)).quantize(item.mark))


def _refuse_unless_all_paid() -> None:
    """The figure of the moving market is that of paying everybody, or none."""
    paid = VariationPayment.objects.count()
    if paid != BOOK.relationships * RUNS:
        raise RuntimeError(f"{paid} payments instead of {BOOK.relationships * RUNS}")


def act_once(snapshot: MarketSnapshot) -> None:
    """A first tick in this process: what every relationship's first requirement leads to."""
    opened = engine.open_tick(store_snapshot(snapshot), shards=1)
    engine.run_shard(opened.id, 0)
    refused = opened.shards.get().refused
    if refused:
        raise RuntimeError(f"the book does not stand: {refused}")


def ticks(snapshots: Sequence[MarketSnapshot], processes: Sequence[int]) -> tuple[list[float], float]:
    """Seconds of each tick, and the processor seconds of these processes for one."""
    used = -cpu_s(processes)
    took = [take(snapshot) for snapshot in snapshots]
    return took, (used + cpu_s(processes)) / len(took)


def take(snapshot: MarketSnapshot, *, only_moved: bool = False) -> float:
    """Seconds from a stored snapshot to the tick that is done and told."""
    snapshot_id = store_snapshot(snapshot)
    started = time.perf_counter()
    app.send_task("risk.open_tick", [snapshot_id, only_moved])
    while not Tick.objects.filter(snapshot_id=snapshot_id, done_at__isnull=False).exists():
        if time.perf_counter() - started > TICK_S:
            raise RuntimeError("the workers did not finish the tick")
        time.sleep(0.01)
    return time.perf_counter() - started


@contextmanager
def workers(
    urls: dict[str, str], broker_url: str, log: Path, queues: str = "risk"
) -> Iterator[subprocess.Popen[bytes]]:
    """Two worker processes as the supervisor starts them, ready."""
    environment = os.environ | urls | ONE_THREAD | {"DATABASE_ROLE": "worker", "BROKER_URL": broker_url}
    command = [sys.executable, "-m", "celery", "-A", "intermediary.config.celery", "worker", "-Q", queues, "-c", "2"]
    command += ["-l", "INFO", "--without-gossip", "--without-mingle"]
    with log.open("wb") as output:
        worker = subprocess.Popen(command, cwd=settings.BASE_DIR, env=environment, stdout=output, stderr=output)
        try:
            _wait_until_ready(worker, log)
            yield worker
        finally:
            worker.terminate()
            worker.wait(timeout=30)


def _wait_until_ready(worker: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + READY_S
    while " ready." not in log.read_text():
        if worker.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"the workers did not start: {log.read_text()[-2000:]}")
        time.sleep(0.1)


def children(pid: int) -> list[int]:
    """The processes that this one started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def postmaster(root: Path) -> int:
    """The embedded server's process, by its state directory."""
    return int(next(root.rglob("postmaster.pid")).read_text().split()[0])


def cpu_s(pids: Sequence[int]) -> float:
    """Processor time so far of these processes and of their children that have ended: a task's connection closes with
    it, and its server process too. On a shared machine it says more than the time on the wall."""
    ticks = 0
    for pid in pids:
        columns = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        ticks += sum(int(columns[index]) for index in (11, 12, 13, 14))  # utime, stime, cutime, cstime
    return ticks / os.sysconf("SC_CLK_TCK")


def peak_mb(pid: int) -> float:
    """The largest resident size that a process had."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0
