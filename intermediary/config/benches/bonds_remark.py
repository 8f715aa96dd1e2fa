"""How long it takes to mark 1,000 notes after a tick, by two real workers, from the wake-up to the last stored mark.

Four hundred series of two classes over one relationship each, and a hundred of two classes over five: nine hundred
relationships with 30 positions each. The market moves from tick to tick, and nothing of a mark before is used again.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from uuid import UUID

from django.conf import settings

from bonds.models import NoteMark
from intermediary.config.benches import Figure, bonds_world, book, tick
from intermediary.config.celery import app
from intermediary.config.demo import world
from intermediary.config.scratch import migrated_database, scratch_services
from intermediary.models import Cell
from risk.market.feeds import open_feed
from risk.market.snapshot import MarketSnapshot
from risk.models import Tick

ALONE, BASKETS, IN_A_BASKET, CLASSES = 400, 100, 5, 2
NOTES = (ALONE + BASKETS) * CLASSES
BOOK = book.Size(relationships=ALONE + BASKETS * IN_A_BASKET, instruments=300, held=30, margin_usd=1_000_000)
RUNS, A_LITTLE = 10, 0.002  # ticks, and the standard deviation of a coin's step between them
SHEETS_S = 2  # what follows the marks of a tick, term sheets, takes a worker a second
REMARK_S = 120  # several times what it takes on a busy machine: longer means that a worker died


def figures(say: Callable[[str], object]) -> dict[str, Figure]:
    """`remark_1000_s` and its processor time, of a tick between two points of history, and the same of one that makes
    such points: there every figure beside the price is renewed."""
    with scratch_services("valkey") as running, migrated_database(running, "bench_marks") as urls:
        say(f"{NOTES} notes over {BOOK.relationships} relationships with {BOOK.held} positions each")
        snapshot = next(iter(open_feed(settings.MARKET_HISTORY_DIR).bars(world.START, world.END)))
        book.build(BOOK, snapshot, running.admin_url_of("bench_marks"))
        issue_series(snapshot)
        tick.act_once(snapshot)
        app.conf.broker_url = running.valkey_url
        with tick.workers(urls, running.valkey_url, running.state.root / "worker.log", "risk,bonds") as worker:
            processes = [tick.postmaster(running.state.root), *tick.children(worker.pid)]
            markets = tick.moving_market(snapshot, RUNS + 1, A_LITTLE)
            remarked(markets[0], processes, in_full=True)
            found = [remarked(market, processes, in_full=n % 2 == 1) for n, market in enumerate(markets[1:])]
    took, used = zip(*found[::2], strict=True)
    in_full, used_in_full = zip(*found[1::2], strict=True)
    say(f"marks: {_seconds(took)} s; in full {_seconds(in_full)} s")
    of = f"{NOTES} notes over {BOOK.relationships} relationships, 2 workers, database included; median of {len(took)}"
    processor = "processor time of the same, workers and database"
    return {
        "remark_1000_s": Figure(statistics.median(took), "s", of),
        "remark_1000_cpu_s": Figure(statistics.median(used), "s", processor),
        "remark_1000_in_full_s": Figure(statistics.median(in_full), "s", "the same with every measure, slope and grid"),
        "remark_1000_in_full_cpu_s": Figure(statistics.median(used_in_full), "s", processor),
    }


def _seconds(found: Sequence[float]) -> str:
    return ", ".join(f"{seconds:.2f}" for seconds in found)


def issue_series(snapshot: MarketSnapshot) -> None:
    """Every relationship behind one series, alone or with four others."""
    cells = list(Cell.objects.filter(kind=Cell.Kind.CLIENT).order_by("id"))
    alone, rest = [[cell] for cell in cells[:ALONE]], cells[ALONE:]
    baskets = [rest[start : start + IN_A_BASKET] for start in range(0, len(rest), IN_A_BASKET)]
    bonds_world.put_on_risk([*alone, *baskets], CLASSES, snapshot.as_of.date() - timedelta(days=40))


def remarked(market: MarketSnapshot, processes: Sequence[int], *, in_full: bool) -> tuple[float, float]:
    """Seconds from the wake-up after this market's tick to the last mark, and what they took of the processor."""
    time.sleep(SHEETS_S)
    tick.take(market)
    found = Tick.objects.select_related("valuation").get(valuation__as_of=market.as_of)
    Tick.objects.filter(id=found.id).update(keeps_history=in_full)
    used, started = tick.cpu_s(processes), time.perf_counter()
    app.send_task("bonds.remark", [str(found.id)])
    _wait(found.valuation_id, started)
    return time.perf_counter() - started, tick.cpu_s(processes) - used


def _wait(valuation_id: UUID, started: float) -> None:
    while NoteMark.objects.filter(valuation_id=valuation_id).count() < NOTES:
        if time.perf_counter() - started > REMARK_S:
            raise RuntimeError("the workers did not mark the notes")
        time.sleep(0.01)
