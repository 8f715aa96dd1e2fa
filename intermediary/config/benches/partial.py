"""A market in which one instrument moved: whoever holds it is margined again, the others keep what they have.

The same books as the whole re-margin has, which takes turns with it, so that both meet the same machine. What is
counted of a partial one: who holds the instrument (by an index that stands beside the books), their books and tails
copied, the moved market laid out for lookups, and the figures written beside those of all. Instruments are priced
already in either. Two cores are two threads on halves of the accounts.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import pairwise, repeat

import numpy as np
from numpy.typing import NDArray

from intermediary.config.benches import Figure
from risk.margin.kept_tails import KeptTails
from risk.margin.kernels import slices
from risk.margin.matrices import RiskMatrices
from risk.margin.measures import shortfall, tail_measures
from risk.margin.positions import Positions
from risk.margin.revaluation import profit_matrix, resolve
from risk.margin.shocks import ShockSet
from risk.market.snapshot import MarketSnapshot

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Measure = Callable[[Positions, RiskMatrices, Floats, KeptTails | None], Floats]

RUNS = 7  # of which the fastest counts, of each kind
CLOCKS = {1: (time.process_time, "1 thread, processor time"), 2: (time.perf_counter, "2 threads on halves")}
MOVED, MOVE = 250, 0.01  # an option at the money with three weeks to go, whose coin moved by what a bar brings


def to_shortfall(books: Positions, matrices: RiskMatrices, gross: Floats, kept: KeptTails | None = None) -> Floats:
    """(1, A) expected shortfall 99%."""
    return shortfall(books, matrices, gross, matrices.ruleset.es_quantile, kept)[None, :]


def to_base_margin(books: Positions, matrices: RiskMatrices, gross: Floats, kept: KeptTails | None = None) -> Floats:
    """(4, A) all that the scenarios tell of margin."""
    found = tail_measures(books, matrices, gross, kept)
    return np.stack([found.es_99, found.evt_var_997, found.es_995, found.wrong_way])


@dataclass
class _Part:
    """Some of the accounts as one thread has them: their books, who holds what, and all that was found last."""

    books: Positions
    gross: Floats
    measure: Measure
    found: Floats = field(default_factory=lambda: np.empty((0, 0)))
    kept: KeptTails = field(default_factory=KeptTails)

    def __post_init__(self) -> None:
        order = np.argsort(self.books.indices, kind="stable")
        self._owners, self._listed = self.books.owners()[order], self.books.indices[order]

    def holders(self, instrument: int) -> Integers:
        """Accounts, each once: what the index says of an instrument is in their order."""
        first, last = np.searchsorted(self._listed, [instrument, instrument + 1])
        owners = self._owners[first:last]
        return owners[np.diff(owners, prepend=-1) > 0]

    def anew(self, matrices: RiskMatrices) -> None:
        """All accounts, as a full tick margins them: nothing is kept."""
        self.found = self.measure(self.books, matrices, self.gross, None)

    def keep(self, matrices: RiskMatrices) -> None:
        """The same, with the tails for later."""
        self.found = self.measure(self.books, matrices, self.gross, self.kept)

    def again(self, matrices: RiskMatrices) -> None:
        """Those who hold what moved."""
        touched = self.holders(MOVED)
        some = self.kept.take(touched)
        assert some.positions is not None
        self.found[:, touched] = self.measure(some.positions, matrices, self.gross[touched], some)


def figures(
    snapshot: MarketSnapshot, shocks: ShockSet, matrices: RiskMatrices, books: Positions, gross: Floats
) -> dict[str, Figure]:
    """Shares of the whole re-margin, to expected shortfall and to base margin, by one thread and by two."""
    markets = _moved(snapshot, shocks, matrices)

    def share(measure: Measure, what: str, threads: int) -> tuple[float, str, str]:
        parts = _parts(books, gross, measure, threads)
        touched = sum(part.holders(MOVED).size for part in parts)
        clock, how = CLOCKS[threads]
        of = (
            f"all {books.accounts} to {what}: the {touched} who hold an instrument that moved, {how}, fastest of {RUNS}"
        )
        return _share(parts, matrices, markets, clock), "share", of

    return {
        "tick_partial_share": Figure(*share(to_shortfall, "ES 99%", 1)),
        "tick_partial_2core_share": Figure(*share(to_shortfall, "ES 99%", 2)),
        "tick_partial_im_share": Figure(*share(to_base_margin, "base IM", 1)),
        "tick_partial_im_2core_share": Figure(*share(to_base_margin, "base IM", 2)),
    }


def _parts(books: Positions, gross: Floats, measure: Measure, threads: int) -> list[_Part]:
    edges = [books.accounts * number // threads for number in range(threads + 1)]
    return [_Part(books.slice(start, stop), gross[start:stop], measure) for start, stop in pairwise(edges)]


def _share(
    parts: Sequence[_Part], before: RiskMatrices, moved: Sequence[RiskMatrices], clock: Callable[[], float]
) -> float:
    """Seconds of the fastest partial over those of the fastest whole re-margin. Raises RuntimeError unless the figures
    of all accounts are the same after either, to the last bit."""
    with ThreadPoolExecutor(len(parts)) as pool:

        def took(work: Callable[[_Part, RiskMatrices], None], market: RiskMatrices) -> float:
            started = clock()
            list(pool.map(work, parts, repeat(market)))
            return clock() - started

        took(_Part.keep, before)
        stood = [part.found for part in parts]
        whole, partial = [], []
        for market in moved:
            for part, found in zip(parts, stood, strict=True):
                part.found = found.copy()
            partial.append(took(_Part.again, market))
            again = [part.found for part in parts]
            whole.append(took(_Part.anew, market))
            if not all((part.found == found).all() for part, found in zip(parts, again, strict=True)):
                raise RuntimeError("a partial re-margin found other figures than a whole one")
    return min(partial) / min(whole)


def _moved(snapshot: MarketSnapshot, shocks: ShockSet, matrices: RiskMatrices) -> list[RiskMatrices]:
    """The market with one instrument at another price, ever further from where it was."""
    return [_with_price(snapshot, shocks, matrices, MOVE * (1 + number / RUNS)) for number in range(RUNS)]


def _with_price(snapshot: MarketSnapshot, shocks: ShockSet, matrices: RiskMatrices, by: float) -> RiskMatrices:
    item = matrices.table.instruments[MOVED]
    quote = snapshot.underlyings[item.underlying]
    risen = replace(quote, mark=(quote.mark * Decimal(1 + by)).quantize(quote.mark))
    there = replace(snapshot, underlyings={**snapshot.underlyings, item.underlying: risen})
    profit = matrices.profit.copy()
    profit[MOVED] = profit_matrix(resolve([item], there), shocks)[0]
    return replace(matrices, profit=profit, profit_single=profit.astype(np.float32), profit_slices=slices(profit))
