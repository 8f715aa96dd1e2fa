"""The book of one class: ladders in, one clearing spread and exact fills out. Pure integers, no clock, no chance.

An order is a ladder of steps (minimum spread, further amount), a smallest fill it accepts, and its rank. The rules, in
their order (`RULES` names this version of them; a report says under which it was made):

1. A ladder counts up to the cap an investor, its cheapest steps first. An order whose minimum fill lies above the cap
   or above its own amount is removed before anything is cleared.
2. The clearing spread is the lowest at which steps that accept it cover the target; everybody filled gets that spread.
3. The size is the target, or with an upsizing limit all that accepts the same spread, at most the limit.
4. Steps below the clearing spread are filled in full. Steps at it share what is left in proportion to their amounts, by
   whole denominations, largest remainder first, equal remainders by rank.
5. An order that the spread reaches and whose share, before remainders are dealt out, lies below its minimum fill is
   removed and the book cleared again: one at a time, the largest minimum fill first, equal ones the later rank first.
   Nobody comes back.
6. A book that does not cover its target, or that fills fewer bidders than it must, is not covered: no fills at all.

Removing an order only raises the spread and the shares of the others, so an order once found to be served stays so, and
one pass over the minimum fills is enough: the work grows as n log n.

Asking for less never gets less (beyond one denomination of remainder) while the same orders stand. A minimum fill of
somebody else can break that, as it does in any book that fills better bids in full: a bid that becomes cheaper may
leave too little for a rival's minimum, the rival is removed, and the target with it.
"""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from intermediary.waterfall import share_pro_rata

RULES = "bulkhead-book-1"
STEPS_MAX = 20  # of one ladder; a desk's own ladder has five


@dataclass(frozen=True)
class Step:
    """A further amount that the bidder takes at this spread or more."""

    spread_bps: int
    amount_base_units: int


@dataclass(frozen=True)
class Bid:
    """One order. `key` names it in the results; `rank` orders equals, lower first (time of the commitment)."""

    key: str
    rank: int
    steps: tuple[Step, ...]
    minimum_fill_base_units: int = 0

    @property
    def amount_base_units(self) -> int:
        """All it asks for at its dearest step."""
        return sum(step.amount_base_units for step in self.steps)

    def below(self, spread_bps: int) -> int:
        """What it takes strictly below this spread, base units."""
        return sum(step.amount_base_units for step in self.steps if step.spread_bps < spread_bps)

    def at(self, spread_bps: int) -> int:
        """What it takes at exactly this spread, base units."""
        return sum(step.amount_base_units for step in self.steps if step.spread_bps == spread_bps)


@dataclass(frozen=True)
class Offered:
    """What one class sells. All amounts base units and multiples of the denomination; `limit` at least the target."""

    target_base_units: int
    denomination_base_units: int
    limit_base_units: int
    cap_base_units: int
    bidders_min: int = 1


@dataclass(frozen=True)
class Clearing:
    """The outcome. Not covered: spread is None, there are no fills. `removed` in the order of their removal."""

    spread_bps: int | None
    size_base_units: int
    fills_base_units: dict[str, int]
    removed: tuple[str, ...]

    @property
    def covered(self) -> bool:
        return self.spread_bps is not None


def clear(offered: Offered, bids: Sequence[Bid]) -> Clearing:
    """Clear the book by the rules above. Raises ValueError on amounts off the denomination and on bad ladders."""
    _check(offered, bids)
    usable, removed = _usable(offered, bids)
    book = _Book(offered, usable)
    if book.rise() and _remove_unserved(book, removed):
        fills = {bid.key: 0 for bid in bids} | _fills(book)
        if sum(1 for fill in fills.values() if fill) >= offered.bidders_min:
            return Clearing(book.spread, book.size, fills, tuple(removed))
    return Clearing(None, 0, {bid.key: 0 for bid in bids}, tuple(removed))


class _Book:
    """Live demand by spread, and the lowest spread that covers the target: it only rises as orders are removed."""

    def __init__(self, offered: Offered, bids: Iterable[Bid]) -> None:
        self.offered = offered
        self.live = {bid.key: bid for bid in bids}
        self.demand: dict[int, int] = {}
        self.entering: dict[int, list[Bid]] = {}
        for bid in self.live.values():
            self.entering.setdefault(min(step.spread_bps for step in bid.steps), []).append(bid)
            for step in bid.steps:
                self.demand[step.spread_bps] = self.demand.get(step.spread_bps, 0) + step.amount_base_units
        self.levels = sorted(self.demand)
        self.level = -1  # index of the clearing spread in `levels`
        self.below = 0  # demand strictly below the clearing spread
        self.entered: list[Bid] = []  # reached by the last rise, not yet looked at

    @property
    def spread(self) -> int:
        return self.levels[self.level]

    @property
    def size(self) -> int:
        """What is sold at the clearing spread."""
        return min(self.below + self.demand[self.spread], self.offered.limit_base_units)

    def rise(self) -> bool:
        """Go up to the lowest spread that covers the target; False when none does."""
        while self.level < 0 or self.below + self.demand[self.spread] < self.offered.target_base_units:
            if self.level >= 0:
                self.below += self.demand[self.spread]
            self.level += 1
            if self.level == len(self.levels):
                return False
            self.entered += self.entering.get(self.spread, [])
        return True

    def remove(self, bid: Bid) -> None:
        del self.live[bid.key]
        for step in bid.steps:
            self.demand[step.spread_bps] -= step.amount_base_units
            if step.spread_bps < self.spread:
                self.below -= step.amount_base_units

    def share(self, bid: Bid) -> int:
        """What the order gets before remainders are dealt out, base units."""
        marginal = bid.at(self.spread)
        if not marginal:
            return bid.below(self.spread)
        denomination = self.offered.denomination_base_units
        lots = (self.size - self.below) // denomination * marginal // self.demand[self.spread]
        return bid.below(self.spread) + lots * denomination


def _usable(offered: Offered, bids: Sequence[Bid]) -> tuple[list[Bid], list[str]]:
    """Ladders cut to the cap, and the keys of those whose minimum fill cannot be met by any book."""
    usable, removed = [], []
    for bid in sorted(bids, key=lambda one: one.rank):
        if bid.minimum_fill_base_units > min(offered.cap_base_units, bid.amount_base_units):
            removed.append(bid.key)
        else:
            usable.append(_capped(bid, offered.cap_base_units))
    return usable, removed


def _capped(bid: Bid, cap_base_units: int) -> Bid:
    if bid.amount_base_units <= cap_base_units:
        return bid
    left, steps = cap_base_units, []
    for step in sorted(bid.steps, key=lambda one: one.spread_bps):
        if part := min(left, step.amount_base_units):
            steps.append(Step(step.spread_bps, part))
        left -= part
    return replace(bid, steps=tuple(steps))


def _remove_unserved(book: _Book, removed: list[str]) -> bool:
    """Rule 5. False when what remains does not cover the target."""
    waiting: list[tuple[int, int, Bid]] = []
    while True:
        for bid in book.entered:
            if bid.minimum_fill_base_units:
                heapq.heappush(waiting, (-bid.minimum_fill_base_units, -bid.rank, bid))
        book.entered = []
        if not waiting:
            return True
        bid = heapq.heappop(waiting)[2]
        if book.share(bid) >= bid.minimum_fill_base_units:
            continue
        book.remove(bid)
        removed.append(bid.key)
        if not book.rise():
            return False


def _fills(book: _Book) -> dict[str, int]:
    denomination = book.offered.denomination_base_units
    marginal = sorted((bid for bid in book.live.values() if bid.at(book.spread)), key=lambda one: one.rank)
    left = (book.size - book.below) // denomination
    lots = share_pro_rata(left, [bid.at(book.spread) // denomination for bid in marginal])
    fills = {bid.key: bid.below(book.spread) for bid in book.live.values()}
    for bid, count in zip(marginal, lots, strict=True):
        fills[bid.key] += count * denomination
    return fills


def _check(offered: Offered, bids: Sequence[Bid]) -> None:
    unit = offered.denomination_base_units
    sizes = (offered.target_base_units, offered.limit_base_units, offered.cap_base_units)
    amounts = [*sizes, *(step.amount_base_units for bid in bids for step in bid.steps)]
    if unit <= 0 or any(amount <= 0 or amount % unit for amount in amounts):
        raise ValueError(f"amounts are positive multiples of {unit} base units")
    if any(bid.minimum_fill_base_units < 0 or bid.minimum_fill_base_units % unit for bid in bids):
        raise ValueError(f"minimum fills are multiples of {unit} base units")
    if offered.limit_base_units < offered.target_base_units:
        raise ValueError("the limit is at least the target")
    if len({bid.key for bid in bids}) != len(bids) or len({bid.rank for bid in bids}) != len(bids):
        raise ValueError("orders have keys and ranks of their own")
    for bid in bids:
        spreads = [step.spread_bps for step in bid.steps]
        if not spreads or len(spreads) > STEPS_MAX or sorted(set(spreads)) != spreads or spreads[0] < 0:
            raise ValueError("a ladder has rising spreads, none negative")
