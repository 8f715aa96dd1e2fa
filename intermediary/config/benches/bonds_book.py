"""How long a book of ten thousand ladders takes to clear."""

import random
import statistics
import time
from collections.abc import Callable

from bonds.offering.book import Bid, Offered, Step, clear
from intermediary.config.benches import Figure

LADDERS, RUNS = 10_000, 5
DENOMINATION = 1_000 * 10**6
SEED = 7


def figures(say: Callable[[str], object]) -> dict[str, Figure]:
    """`clear_10k_s`."""
    say("books")
    what, bids = book()
    found = clear(what, bids)
    note = (
        f"{LADDERS:,} ladders of one to five steps, three in ten with a minimum fill, {len(found.removed):,} removed; "
        f"median of {RUNS}; the clearing alone, no rows and no report"
    )
    return {"clear_10k_s": Figure(clear_s(what, bids), "s", note)}


def clear_s(what: Offered, bids: list[Bid]) -> float:
    """Seconds from ladders to spread and fills."""
    took = []
    for _ in range(RUNS):
        started = time.perf_counter()
        clear(what, bids)
        took.append(time.perf_counter() - started)
    return statistics.median(took)


def book() -> tuple[Offered, list[Bid]]:
    """A class a tenth of what is bid for it, with a cap and some room to grow."""
    chance = random.Random(SEED)  # the same book every time, no secret
    bids = [_bid(chance, rank) for rank in range(LADDERS)]
    lots = sum(one.amount_base_units for one in bids) // DENOMINATION // 10
    target = lots * DENOMINATION
    return Offered(target, DENOMINATION, target + lots // 10 * DENOMINATION, lots // 20 * DENOMINATION), bids


def _bid(chance: random.Random, rank: int) -> Bid:
    spreads = sorted(chance.sample(range(200, 1_500), chance.randint(1, 5)))
    steps = tuple(Step(spread, DENOMINATION * chance.randint(1, 500)) for spread in spreads)
    half = sum(step.amount_base_units for step in steps) // DENOMINATION // 2 * DENOMINATION
    return Bid(str(rank), rank, steps, half if chance.random() < 0.3 else 0)
