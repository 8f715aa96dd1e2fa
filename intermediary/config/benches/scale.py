"""How a tick grows with the number of relationships, and what a market that moves in part costs.

The same as `bench tick`, with 300 instruments of which each relationship holds 30, for 1,000 and for 10,000
relationships: from a stored snapshot to requirements stored and pages told, by two workers, database included. Four
markets: one in which every coin moves a little, between two cycles of variation margin, as the market of today does
every few seconds; one that stands still; one where a single coin moves that six in a hundred hold, which is a partial
tick; and the end of a cycle, where every coin has moved and everybody pays or is paid, by a movement each. Between them
everybody is measured once, three layers behind each: layers, haircuts and stress, as after a tick of a live market.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from django.conf import settings

from intermediary.config.benches import Figure, book, tick
from intermediary.config.celery import app
from intermediary.config.demo import world
from intermediary.config.scratch import migrated_database, scratch_services
from intermediary.config.services import Services
from intermediary.models import Cell
from risk import measurements
from risk.market.feeds import open_feed
from risk.market.snapshot import MarketSnapshot
from risk.models import Tick

SMALL = book.Size(relationships=1_000, instruments=300, held=30, margin_usd=40_000_000, rare_share=0.06)
LARGE = replace(SMALL, relationships=10_000)
MEASURE_S = 300  # layers and stress are cut off after 95 s each
RUNS, PARTIAL_RUNS, CYCLE_RUNS = 20, 10, 3
BETWEEN = {"VARIATION_CYCLE_MINUTES": "240"}  # the book is paid for when it begins, and again much later
EVERY_TICK = {"VARIATION_CYCLE_MINUTES": "0"}
A_LITTLE = 0.0005  # standard deviation of a coin's step: what some seconds bring
STEP = A_LITTLE  # of the coin that moves alone
Say = Callable[[str], object]


@dataclass(frozen=True)
class Times:
    """Seconds of each tick, by market, until everybody was measured, and of the processor for one that moves between
    two cycles and one that ends a cycle."""

    moving: list[float]
    still: list[float]
    partial: list[float]
    cycle: list[float]
    measured: float
    moving_cpu: float
    cycle_cpu: float


def run(say: Say) -> dict[str, Figure]:
    """Both worlds, one after the other."""
    with scratch_services("valkey") as running:
        app.conf.broker_url = running.valkey_url
        small, large = measured(running, SMALL, say), measured(running, LARGE, say)
    book_of = f"{LARGE.held} positions each of {LARGE.instruments} instruments x 2000 scenarios, 2 workers"
    everybody = f"{LARGE.relationships} relationships, {book_of}"
    between = "every coin moved, between two cycles of variation margin"
    return {
        "tick_10k_p95_s": Figure(p95(large.moving), "s", f"{everybody}, {between}; of {RUNS}"),
        "tick_10k_median_s": Figure(statistics.median(large.moving), "s", "the median of the same"),
        "tick_10k_cpu_s": Figure(large.moving_cpu, "s", "processor time of one such tick, workers and database"),
        "tick_10k_still_p95_s": Figure(p95(large.still), "s", f"{everybody}, a market that stands still"),
        "tick_10k_cycle_s": Figure(
            statistics.median(large.cycle), "s", f"{everybody}, the end of a cycle: all pay or are paid"
        ),
        "tick_10k_cycle_cpu_s": Figure(large.cycle_cpu, "s", "processor time of one such tick"),
        "measure_10k_s": Figure(
            large.measured,
            "s",
            f"{everybody}, three layers behind each: layers, haircuts and stress in one market, one worker at a time",
        ),
        "tick_growth_1k_10k": Figure(
            statistics.median(large.moving) / statistics.median(small.moving), "x", "1,000 relationships; linear is 10"
        ),
        "tick_partial_end_to_end_share": Figure(
            statistics.median(large.partial) / statistics.median(large.moving),
            "share",
            f"a full tick of {LARGE.relationships}, {between}: one coin moved, which {SMALL.rare_share:.0%} hold",
        ),
    }


def measured(running: Services, size: book.Size, say: Say) -> Times:
    """A world of this size in all four markets."""
    name = f"bench_{size.relationships}"
    with migrated_database(running, name) as urls:
        say(f"a book of {size.relationships} relationships with {size.held} positions each")
        snapshot = next(iter(open_feed(settings.MARKET_HISTORY_DIR).bars(world.START, world.END)))
        book.build(size, snapshot, running.admin_url_of(name))
        tick.act_once(snapshot)
        markets = tick.moving_market(snapshot, RUNS + CYCLE_RUNS, A_LITTLE)
        with two_workers(running, urls, BETWEEN) as processes:
            _warm(snapshot, 1)
            still, _ = tick.ticks([tick.later(snapshot, 3 + number) for number in range(RUNS)], processes)
            moving, moving_cpu = tick.ticks(markets[:RUNS], processes)
            partial = [tick.take(market, only_moved=True) for market in one_moves(markets[RUNS - 1])]
            measured = measure()
        # Said at once: not lost should the dearest part, which is left, fail on a busy machine.
        say_times(say, moving=moving, still=still, partial=partial, measured=[measured])
        with two_workers(running, urls, EVERY_TICK) as processes:
            _warm(markets[RUNS - 1], 5_000)
            cycle, cycle_cpu = tick.ticks([tick.later(market, 1_000 * RUNS) for market in markets[RUNS:]], processes)
    say_times(say, cycle=cycle)
    return Times(moving, still, partial, cycle, measured, moving_cpu, cycle_cpu)


def measure() -> float:
    """Seconds until layers, haircuts and stress of everybody are those of the last market, by workers that take turns
    at it, as they do after a tick of a live market."""
    book.set_layers(list(Cell.objects.filter(kind=Cell.Kind.CLIENT).values_list("id", flat=True)))
    tick_id = Tick.objects.values_list("id", flat=True)[0]
    started = time.perf_counter()
    for name in ("risk.renew_layers", "risk.renew_stress"):
        app.send_task(name, [str(tick_id)])
    while not measurements.all_reached(tick_id):
        if time.perf_counter() - started > MEASURE_S:
            raise RuntimeError("the workers did not measure everybody")
        time.sleep(0.05)
    return time.perf_counter() - started


def say_times(say: Say, **took: Sequence[float]) -> None:
    """The seconds of each tick, a line a market."""
    for market, seconds in took.items():
        say(f"{market}: {', '.join(f'{one:.2f}' for one in seconds)} s")


def _warm(snapshot: MarketSnapshot, number: int) -> None:
    """After two ticks both workers have read the books of both shards, most likely."""
    for more in (0, 1):
        tick.take(tick.later(snapshot, number + more))


@contextmanager
def two_workers(running: Services, urls: dict[str, str], environment: dict[str, str]) -> Iterator[list[int]]:
    """Workers under these settings; the processes whose time a tick takes."""
    log = running.state.root / "worker.log"
    with tick.workers(urls | environment, running.valkey_url, log) as worker:
        yield [tick.postmaster(running.state.root), *tick.children(worker.pid)]


def one_moves(snapshot: MarketSnapshot) -> list[MarketSnapshot]:
    """The coin that few hold goes up step by step; the others stand."""
    found, coin = [], snapshot.coins[-1]
    for _ in range(PARTIAL_RUNS):
        risen = tick.moved(snapshot.underlyings[coin], STEP)
        snapshot = replace(tick.later(snapshot, 1), underlyings={**snapshot.underlyings, coin: risen})
        found.append(snapshot)
    return found


def p95(took: Sequence[float]) -> float:
    """The nearest rank: of twenty the second longest, of fewer the longest."""
    return sorted(took)[-(-95 * len(took) // 100) - 1]
