"""One question of one client: what if we traded this? From the question to the whole answer, database included.

The world is a book of a hundred relationships with thirty positions each of three hundred instruments, and layers of
loss behind every one, so that credit is priced too. `whatif_first_ms` is the first question after a new official
market, to a worker that has renewed requirements in it and has then, before anybody asked, read what questions need
(`whatif_market_ms`). `whatif_cpu_ms` is this process's own part of a question, whatever else the machine does.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

import psycopg
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext

from bonds.marking.credit_charge import what_if
from intermediary.config.benches import Figure, book, tick
from intermediary.config.demo import world
from intermediary.config.replay import store_snapshot
from intermediary.config.scratch import migrated_database, scratch_services
from intermediary.config.settings import DATABASE_ROLES
from intermediary.models import Cell, Instrument
from risk import engine, official
from risk.market.feeds import open_feed
from risk.market.snapshot import MarketSnapshot
from risk.what_if import Considered

BOOK = book.Size(relationships=100, instruments=300, held=30, margin_usd=4_000_000)
QUESTIONS, MARKETS = 200, 7
Say = Callable[[str], object]


@dataclass(frozen=True)
class Asked:
    """Milliseconds of each question, by the wall and of this process, of the first after each new market and of what
    was read before it; queries of one."""

    took: list[float]
    processor: list[float]
    first: list[float]
    market: list[float]
    queries: int


def figures(say: Say) -> dict[str, Figure]:
    """`whatif_ms` and what belongs to it."""
    with scratch_services() as running, migrated_database(running, "bench_what_if") as urls:
        say(f"what-if: a book of {BOOK.relationships} relationships with {BOOK.held} positions each")
        snapshot = next(iter(open_feed(settings.MARKET_HISTORY_DIR).bars(world.START, world.END)))
        with psycopg.connect(urls[DATABASE_ROLES["owner"]]) as owner:  # no trade is weighed in a market of another year
            owner.execute("SELECT platform_clock_start_replay(%s)", [snapshot.as_of])
        book.build(BOOK, snapshot, running.admin_url_of("bench_what_if"))
        tick.act_once(snapshot)
        cells = list(Cell.objects.filter(kind=Cell.Kind.CLIENT).order_by("id").values_list("id", flat=True))
        book.set_layers(cells)
        found = _asked(cells, snapshot)
    of = (
        f"{BOOK.held} positions of {BOOK.instruments} instruments x 2000 scenarios: book read, requirement, stress,"
        f" admission and credit charge before and after two trades; one thread, {{}}"
    )
    return {
        "whatif_ms": Figure(statistics.median(found.took), "ms", of.format(f"median of {QUESTIONS}")),
        "whatif_p95_ms": Figure(
            sorted(found.took)[-(-95 * QUESTIONS // 100) - 1], "ms", f"95 of 100 of the same {QUESTIONS} take no longer"
        ),
        "whatif_first_ms": Figure(
            statistics.median(found.first), "ms", f"the first after a new official market, median of {MARKETS}"
        ),
        "whatif_market_ms": Figure(
            statistics.median(found.market), "ms", f"what a worker reads of a new market ahead, median of {MARKETS}"
        ),
        "whatif_cpu_ms": Figure(
            statistics.median(found.processor), "ms", f"processor time of the asking process, same {QUESTIONS}"
        ),
        "whatif_queries": Figure(float(found.queries), "queries", "of one question"),
    }


def _asked(cells: Sequence[UUID], snapshot: MarketSnapshot) -> Asked:
    codes = list(Instrument.objects.order_by("code").values_list("code", flat=True))

    def ask(number: int) -> tuple[float, float]:
        trades = [Considered(codes[(number * step) % len(codes)], Decimal(step - 4)) for step in (3, 7)]
        return _milliseconds(lambda: what_if(cells[number % len(cells)], trades))

    for number in range(len(cells)):
        ask(number)
    took, processor = zip(*(ask(number) for number in range(QUESTIONS)), strict=True)
    with CaptureQueriesContext(connection) as captured:
        ask(0)
    first, market = [], []
    for number in range(MARKETS):
        opened = engine.open_tick(store_snapshot(tick.later(snapshot, 1 + number)), shards=1)
        engine.run_shard(opened.id, 0)
        market.append(_milliseconds(official.keep_up)[0])  # as a worker does after its shard
        first.append(ask(number)[0])
    return Asked(list(took), list(processor), first, market, len(captured))


def _milliseconds(work: Callable[[], object]) -> tuple[float, float]:
    """By the wall, and of this process."""
    wall, processor = time.perf_counter(), time.thread_time()
    work()
    return 1e3 * (time.perf_counter() - wall), 1e3 * (time.thread_time() - processor)
