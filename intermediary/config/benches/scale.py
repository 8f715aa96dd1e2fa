"""How a tick grows with the number of relationships, and what a market that moves in part costs.

The same as `bench tick`, with 300 instruments of which each relationship holds 30, for 1,000 and for 10,000
relationships: from a stored snapshot to requirements stored and pages told, by two workers, database included. Three
markets: one that stands still, where all figures are computed and stored and nothing has to be paid; one where every
coin moves and so everybody pays or is paid variation margin, by a movement each; and one where a single coin moves that
six in a hundred hold, which is a partial tick.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from django.conf import settings

from intermediary.config.benches import Figure, book, tick
from intermediary.config.celery import app
from intermediary.config.demo import world
from intermediary.config.scratch import migrated_database, scratch_services
from intermediary.config.services import Services
from risk.market.feeds import open_feed
from risk.market.snapshot import MarketSnapshot

SMALL = book.Size(relationships=1_000, instruments=300, held=30, margin_usd=40_000_000, rare_share=0.06)
LARGE = replace(SMALL, relationships=10_000)
STILL_RUNS, MOVING_RUNS, PARTIAL_RUNS = 20, 6, 10
STEP = 0.01  # of the coin that moves alone
Say = Callable[[str], object]


@dataclass(frozen=True)
class Times:
    """Seconds of each tick, by market, and of the processor for one."""

    still: list[float]
    moving: list[float]
    partial: list[float]
    still_cpu: float
    moving_cpu: float


def run(say: Say) -> dict[str, Figure]:
    """Both worlds, one after the other."""
    with scratch_services("valkey") as running:
        app.conf.broker_url = running.valkey_url
        small, large = measured(running, SMALL, say), measured(running, LARGE, say)
    book_of = f"{LARGE.held} positions each of {LARGE.instruments} instruments x 2000 scenarios, 2 workers"
    everybody = f"{LARGE.relationships} relationships, {book_of}"
    return {
        "tick_10k_p95_s": Figure(p95(large.moving), "s", f"{everybody}, every coin moved, all pay or are paid"),
        "tick_10k_still_p95_s": Figure(p95(large.still), "s", f"{everybody}, a market that stands still"),
        "tick_10k_cpu_s": Figure(large.moving_cpu, "s", "processor time of one such moving tick, database included"),
        "tick_10k_still_cpu_s": Figure(large.still_cpu, "s", "the same of one in a market that stands still"),
        "tick_growth_1k_10k": Figure(
            statistics.median(large.moving) / statistics.median(small.moving), "x", "1,000 relationships; linear is 10"
        ),
        "tick_growth_1k_10k_still": Figure(
            statistics.median(large.still) / statistics.median(small.still), "x", "the same in a still market"
        ),
        "tick_partial_share": Figure(
            statistics.median(large.partial) / statistics.median(large.moving),
            "share",
            f"a full moving tick of {LARGE.relationships}: one coin moved, which {SMALL.rare_share:.0%} hold",
        ),
    }


def measured(running: Services, size: book.Size, say: Say) -> Times:
    """A world of this size in all three markets."""
    with migrated_database(running, f"bench_{size.relationships}") as urls:
        say(f"a book of {size.relationships} relationships with {size.held} positions each")
        snapshot = next(iter(open_feed(settings.MARKET_HISTORY_DIR).bars(world.START, world.END)))
        book.build(size, snapshot, urls)
        tick.act_once(snapshot)
        with tick.workers(urls, running.valkey_url, running.state.root / "worker.log") as worker:
            processes = [tick.postmaster(running.state.root), *tick.children(worker.pid)]
            for number in (1, 2):  # both workers have read the books of both shards, most likely
                tick.take(tick.later(snapshot, number))
            still, still_cpu = tick.ticks([tick.later(snapshot, 3 + number) for number in range(STILL_RUNS)], processes)
            markets = tick.moving_market(snapshot, MOVING_RUNS)
            moving, moving_cpu = tick.ticks(markets, processes)
            partial = [tick.take(market, only_moved=True) for market in one_moves(markets[-1])]
    for name, took in (("still", still), ("moving", moving), ("partial", partial)):
        say(f"{name}: {', '.join(f'{seconds:.2f}' for seconds in took)} s")
    return Times(still, moving, partial, still_cpu, moving_cpu)


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
