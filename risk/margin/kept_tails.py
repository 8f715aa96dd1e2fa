"""Where the worst scenarios of sparse books are: searched among all, or looked up among those of a moment ago. Pure.

What is kept of a book are a few more scenarios than were asked for, and a loss that no other scenario exceeds. In a
market that moved a little their losses are computed anew; when the worst of them lie above all that any other scenario
can have come to, they are the worst of all. That is proved for each book by itself, from the profits of both markets,
whatever moved and however far. A book for which it proves nothing is searched. So the figures are those of a
search, to the last bit, and what is kept decides only how soon they are there.
"""

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from risk.margin.kernels import TOGETHER, worst_among_kept, worst_of_books
from risk.margin.lookup import ProfitLookup
from risk.margin.matrices import RiskMatrices
from risk.margin.positions import Positions

Floats = NDArray[np.float64]
Places = NDArray[np.int32]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
# The worst losses of books (A, m), ascending, and the scenarios in which they are (A, m).
Worst = tuple[Floats, Places]

SPARE = 8  # scenarios kept beyond those asked for, at least: what lies beyond them has that much further to come
UNKNOWN = -1


def search(books: Positions, matrices: RiskMatrices, count: int) -> Worst:
    """The `count` worst losses of books among all scenarios, in single precision."""
    worst, where = room_for(books.accounts, count)
    profit, scenarios = matrices.profit_slices, matrices.profit.shape[1]
    worst_of_books(worst, where, books.indptr, books.indices, books.quantity, profit, scenarios)
    return worst, where


def room_for(books: int, count: int) -> Worst:
    """Uninitialised."""
    return np.empty((books, count)), np.empty((books, count), dtype=np.int32)


@dataclass(frozen=True)
class Tails:
    """Of A books: outside of the scenarios `where` (A, K) no loss was more than `least` (A,) in a market from which it
    is as far as `reach` says to the one in hand. Where the last of a book's scenarios is UNKNOWN nothing is known."""

    where: Places
    least: Floats
    reach: Floats

    @classmethod
    def unknown(cls, books: int, kept: int, instruments: int) -> Self:
        """Nothing of anybody."""
        return cls(np.full((books, kept), UNKNOWN, dtype=np.int32), np.zeros(books), np.zeros((instruments, 3)))

    def slice(self, start: int, stop: int) -> Self:
        """Of some of the books; what is brought up to date there is here."""
        return type(self)(self.where[start:stop], self.least[start:stop], self.reach)

    def take(self, books: Integers) -> Self:
        """A copy of some of the books."""
        return type(self)(self.where[books], self.least[books], self.reach)

    def put(self, books: Integers, others: Self) -> None:
        """Bring these up to date."""
        self.where[books], self.least[books] = others.where, others.least

    def worst(self, books: Positions, matrices: RiskMatrices, count: int) -> Worst:
        """What `search` finds, to the last bit. Brings these tails to the market of `matrices`."""
        worst, where, known = self.looked_up(books, matrices, count)
        left = np.flatnonzero(~known)
        if left.size:
            some = books if left.size == books.accounts else books.take(left)
            losses, scenarios = search(some, matrices, self.where.shape[1])
            worst[left], where[left] = losses[:, -count:], scenarios[:, -count:]
            self.where[left], self.least[left] = scenarios, losses[:, 0]
        return worst, where

    def looked_up(self, books: Positions, matrices: RiskMatrices, count: int) -> tuple[Floats, Places, Flags]:
        """The same of the books of which it is proved, and (A,) which they are."""
        worst, where = room_for(books.accounts, count)
        known = np.empty(books.accounts, dtype=np.bool_)
        held = books.indptr, books.indices, books.quantity
        profit = matrices.lookup.by_scenario
        worst_among_kept(known, worst, where, self.where, self.least, *held, profit, self.reach)
        return worst, where, known


@dataclass
class KeptTails:
    """The tails of some books in the market that was measured last, and the books. Knows nothing at first."""

    positions: Positions | None = None
    lookup: ProfitLookup | None = None
    tails: Tails | None = None

    def moving_to(self, positions: Positions, matrices: RiskMatrices, count: int) -> Tails | None:
        """What is known of these books on the way into this market, when it asks for `count` worst losses; None where
        there are too few scenarios for some to be left out. Until `arrived` nothing is known: who fails on the way
        leaves nothing half done."""
        tails, self.tails = self.tails, None
        kept = -(-(count + SPARE) // TOGETHER) * TOGETHER
        instruments, scenarios = matrices.profit.shape
        if kept >= scenarios:
            return None
        if tails is not None and tails.where.shape[1] == kept and _are_equal(positions, self.positions):
            assert self.lookup is not None
            reach = matrices.lookup.reach_from(self.lookup)
            if reach is not None:
                return Tails(tails.where, tails.least, reach)
        return Tails.unknown(positions.accounts, kept, instruments)

    def arrived(self, positions: Positions, matrices: RiskMatrices, tails: Tails) -> None:
        """Keep what was brought into this market."""
        self.positions, self.lookup, self.tails = positions, matrices.lookup, tails

    def take(self, books: Integers) -> "KeptTails":
        """A copy of some of the books."""
        if self.positions is None or self.tails is None:
            return KeptTails()
        return KeptTails(self.positions.take(books), self.lookup, self.tails.take(books))


@dataclass
class KeptBooks:
    """What a requirement keeps of its books: the tails of positions alone, and of positions with margin."""

    alone: KeptTails = field(default_factory=KeptTails)
    held: KeptTails = field(default_factory=KeptTails)


def _are_equal(one: Positions, other: Positions | None) -> bool:
    if other is None or one is other:
        return one is other
    pairs = ((one.indptr, other.indptr), (one.indices, other.indices), (one.quantity, other.quantity))
    return all(mine is yours or np.array_equal(mine, yours) for mine, yours in pairs)
