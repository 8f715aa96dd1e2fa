"""One full tick with 1,000 relationships, 100 instruments and 2,000 scenarios, by two real risk workers.

Measured from the stored snapshot to the last stored requirement, over Valkey and PostgreSQL, on a world of its own. The
book is settled at the official marks, so that the figure is the requirements' and not that of the payments that follow.
"""

import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from celery import current_app
from django.conf import settings
from django.db import transaction

from intermediary import onboarding
from intermediary.config.benches import Figure
from intermediary.config.demo import bootstrap, keys, world
from intermediary.config.replay import store_snapshot
from intermediary.config.scratch import migrated_database, scratch_services
from intermediary.ids import uuid7
from intermediary.ledger import Line, post
from intermediary.models import AccountKind, Asset, Cell, Instrument, Party, Position
from risk.market.feeds import open_feed
from risk.market.snapshot import MarketSnapshot
from risk.models import Tick

RELATIONSHIPS, INSTRUMENTS, POSITIONS_EACH, RUNS = 1_000, 100, 20, 5
MARGIN_USD = 50_000_000  # enough that no call is due: the figure is that of requirements
Say = Callable[[str], object]


def run(say: Say) -> dict[str, Figure]:
    """Build the book, start two workers, take `RUNS` ticks after one to warm up."""
    with scratch_services("valkey") as running, migrated_database(running, "bench_tick") as urls:
        say(f"a book of {RELATIONSHIPS} relationships")
        snapshot = next(iter(open_feed(settings.MARKET_HISTORY_DIR).bars(world.START, world.END)))
        _build_book(snapshot)
        current_app.conf.broker_url = running.valkey_url
        with _workers(urls, running.valkey_url, running.state.root / "worker.log") as worker:
            took = [_tick(replace(snapshot, as_of=snapshot.as_of + timedelta(seconds=n))) for n in range(RUNS + 1)]
            peak = max(_peak_mb(pid) for pid in [worker.pid, *_children(worker.pid)])
    say(f"ticks: {', '.join(f'{seconds:.2f}' for seconds in took)} s, the first one cold")
    of = f"{RELATIONSHIPS} relationships x {INSTRUMENTS} instruments x 2000 scenarios, 2 workers, median of {RUNS}"
    return {
        "tick_s": Figure(statistics.median(took[1:]), "s", of),
        "tick_cold_s": Figure(took[0], "s", "the first tick of two fresh workers"),
        "worker_peak_mb": Figure(peak, "MB", "largest resident size of a worker process"),
    }


def _tick(snapshot: MarketSnapshot) -> float:
    started = time.perf_counter()
    snapshot_id = store_snapshot(snapshot)
    current_app.send_task("risk.open_tick", [snapshot_id])
    while not Tick.objects.filter(snapshot_id=snapshot_id, done_at__isnull=False).exists():
        if time.perf_counter() - started > 120:  # cold workers need about 10 s; longer means that they died
            raise RuntimeError("the workers did not finish the tick")
        time.sleep(0.005)
    return time.perf_counter() - started


@transaction.atomic
def _build_book(snapshot: MarketSnapshot) -> None:
    draw = random.Random(7)
    Asset.objects.create(code="USDC", decimals=6, is_settlement=True)
    instruments = Instrument.objects.bulk_create(_instruments(snapshot))
    client = world.CLIENTS[0]
    signer = keys.client(world.DEMO, client.key)
    for number in range(RELATIONSHIPS):
        code = f"B-{number}"
        party = Party.objects.create(legal_name=code, code=code, kind=Party.Kind.FUND, jurisdiction="KY")
        cell = Cell.objects.create(code=code, kind=Cell.Kind.CLIENT, party=party)
        terms = bootstrap.terms_of(replace(client, code=code, legal_name=code), signer.address, "standard")
        onboarding.write_terms(cell, terms)
        _margin(cell)
        Position.objects.bulk_create(_positions(cell, draw.sample(instruments, POSITIONS_EACH), draw, snapshot))


def _instruments(snapshot: MarketSnapshot) -> Iterator[Instrument]:
    kinds = Instrument.Kind
    for number in range(INSTRUMENTS):
        coin = snapshot.coins[number % len(snapshot.coins)]
        expiry = snapshot.as_of + timedelta(days=30 + number)
        if number < 60:
            strike = (snapshot.mark(coin) * Decimal(80 + number) / 100).quantize(Decimal("0.000001"))
            kind = kinds.CALL if number % 2 else kinds.PUT
            yield Instrument(code=f"{coin}-{number}", kind=kind, underlying=coin, expiry=expiry, strike=strike)
        elif number < 80:
            yield Instrument(code=f"{coin}-{number}", kind=kinds.FUTURE, underlying=coin, expiry=expiry)
        else:
            yield Instrument(code=f"{coin}-{number}", kind=kinds.PERPETUAL, underlying=coin)


def _positions(
    cell: Cell, chosen: list[Instrument], draw: random.Random, snapshot: MarketSnapshot
) -> Iterator[Position]:
    for instrument in chosen:
        notional = draw.choice([-1, 1]) * draw.randint(10_000, 1_000_000)
        quantity = (Decimal(notional) / snapshot.mark(instrument.underlying)).quantize(Decimal("0.0001"))
        yield Position(cell=cell, instrument=instrument, quantity=quantity)


def _margin(cell: Cell) -> None:
    amount = MARGIN_USD * 10**6
    lines = [Line(AccountKind.OUTSIDE, "USDC", -amount), Line(AccountKind.CLIENT_MARGIN, "USDC", amount)]
    post(entry_id=uuid7(), cell_id=cell.id, kind="deposit", memo="benchmark", lines=lines)


@contextmanager
def _workers(urls: dict[str, str], broker_url: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = os.environ | urls | {
        "DATABASE_ROLE": "worker", "BROKER_URL": broker_url, "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1",
    }  # fmt: skip
    command = [sys.executable, "-m", "celery", "-A", "intermediary.config.celery", "worker", "-Q", "risk", "-c", "2"]
    with log.open("wb") as output:
        worker = subprocess.Popen(command, cwd=settings.BASE_DIR, env=environment, stdout=output, stderr=output)
        try:
            yield worker
        finally:
            worker.terminate()
            worker.wait(timeout=30)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _peak_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0
