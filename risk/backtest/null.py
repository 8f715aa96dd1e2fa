"""How many of many dependent series would a perfect model see rejected? The count's distribution, by simulation.

At 5% size one series in twenty is rejected by chance, and books share coins, so that their rejections come in clusters.
The dependence is taken as it was: dates are drawn whole, with replacement, from those on which every book was tested,
each book's losses replaced by their ranks among them. Ranks within a drawn date are spread evenly over their interval,
so that a 99.7% exception has exactly the promised probability though the sample is no multiple of it. Every series then
is independent in time, right in its rate, and as dependent on the others as the recorded ones.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from risk.backtest.coverage import (
    NULL_PATHS,
    SIZE,
    conditional_coverage_null,
    kupiec_region,
    ratio_of_counts,
)
from risk.margin.kernels import compiled

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

WORLDS = 2_000  # the 99% quantile of the count is then the 20th largest
COMMON_DATES_MIN = 250  # fewer whole dates do not show how books depend on each other


@dataclass(frozen=True)
class RejectionNull:
    """Rejected series by world (WORLDS,), sorted, for each test; `dates` common dates the dependence is taken from
    (0: too few, series independent, which makes the limit stricter)."""

    kupiec: Integers
    christoffersen: Integers
    dates: int

    def limits(self, quantile: float = 0.99) -> tuple[int, int]:
        """The `quantile` of both counts: the smallest count that at least that share of worlds stays within."""
        return at_quantile(self.kupiec, quantile), at_quantile(self.christoffersen, quantile)


def at_quantile(counts: Integers, quantile: float) -> int:
    """The smallest of these sorted counts that at least that share of worlds stays within."""
    return int(counts[int(np.ceil(quantile * counts.size)) - 1])


def common_ranks(scaled: Floats) -> tuple[Integers, int]:
    """(dates, B) the ranks of each book's losses over the dates that all have, from which worlds take how books depend
    on each other, and the number of these dates: 0, and one row of no use, where they are too few."""
    common = scaled[np.isfinite(scaled).all(axis=1)]
    if common.shape[0] < COMMON_DATES_MIN:
        return np.zeros((1, scaled.shape[1]), dtype=np.int64), 0
    return np.argsort(np.argsort(common, axis=0), axis=0), common.shape[0]


def rejection_null(scaled: Floats, probability: float, seed: int) -> RejectionNull:
    """Of `scaled` (T, B): losses over their own forecasts, NaN where a book is not tested."""
    tested = np.isfinite(scaled)
    ranks, dates = common_ranks(scaled)
    books = scaled.shape[1]
    lengths = tested.sum(axis=0)
    counts_max = int(lengths.max()) + 1
    kupiec_rejects = np.zeros((books, counts_max), dtype=np.bool_)
    critical = np.empty(books)
    for book, length in enumerate(lengths.tolist()):
        low, high = kupiec_region(length, probability)
        kupiec_rejects[book] = True
        kupiec_rejects[book, low : high + 1] = False
        critical[book] = conditional_coverage_null(length, probability)[int(np.ceil((1.0 - SIZE) * NULL_PATHS)) - 1]
    kupiec, conditional = np.zeros(WORLDS, dtype=np.int64), np.zeros(WORLDS, dtype=np.int64)
    place = np.ascontiguousarray(np.where(tested, np.cumsum(tested, axis=0) - 1, -1))
    # A date's exceptions are drawn only for the books whose rank on it may be one: a few of all.
    date, book_of = np.nonzero(ranks >= dates - probability * dates - 1.0)
    begins = np.searchsorted(date, np.arange(ranks.shape[0] + 1))
    _count(
        kupiec,
        conditional,
        place,
        lengths,
        ranks,
        dates,
        begins,
        book_of.copy(),
        kupiec_rejects,
        critical,
        probability,
        seed,
    )
    return RejectionNull(np.sort(kupiec), np.sort(conditional), dates)


@compiled(
    "void(int64[::1], int64[::1], int64[:, ::1], int64[::1], int64[:, ::1], int64, int64[::1], int64[::1],"
    " boolean[:, ::1], float64[::1], float64, int64)"
)
def _count(
    kupiec: Integers,
    conditional: Integers,
    place: Integers,
    lengths: Integers,
    ranks: Integers,
    dates: int,
    begins: Integers,
    book_of: Integers,
    kupiec_rejects: Flags,
    critical: Floats,
    probability: float,
    seed: int,
) -> None:
    """Fill the counts of rejected books, one world an entry.

    `place` (T, B) of a window in the book's own sequence of `lengths` (B,), -1 where it is not tested; `book_of` the
    books that may have an exception on date d, from `begins[d]` to `begins[d + 1]`."""
    np.random.seed(seed)
    windows, books = place.shape
    exceptions, pairs = np.zeros(books, dtype=np.int64), np.zeros(books, dtype=np.int64)
    first, last = np.zeros(books, dtype=np.int64), np.zeros(books, dtype=np.int64)
    for world in range(kupiec.size):
        exceptions[:] = 0
        pairs[:] = 0
        for t in range(windows):
            drawn = np.random.randint(0, max(dates, 1))
            for at in range(begins[drawn], begins[drawn + 1]):
                b = book_of[at]
                if place[t, b] < 0:
                    continue
                uniform = np.random.random()
                level = (ranks[drawn, b] + uniform) / dates if dates > 0 else uniform
                if level > 1.0 - probability:
                    if exceptions[b] == 0:
                        first[b] = place[t, b]
                    elif last[b] == place[t, b] - 1:
                        pairs[b] += 1
                    last[b] = place[t, b]
                    exceptions[b] += 1
        for b in range(books):
            if lengths[b] == 0:
                continue
            n, x = lengths[b], exceptions[b]
            kupiec[world] += kupiec_rejects[b, x]
            ratio = ratio_of_counts(n, x, pairs[b], x > 0 and first[b] == 0, x > 0 and last[b] == n - 1, probability)
            conditional[world] += ratio > critical[b] + 1e-9
