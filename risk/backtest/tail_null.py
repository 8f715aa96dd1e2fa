"""How many of many dependent books would a right tail see rejected? The counts' distribution, by simulation.

As `null` does for exceptions: dates are drawn whole, so that books stay as dependent as they were, and each is right by
itself and independent in time. Of every drawn date the books whose rank is in the upper 5% have a residual;
with the probability that the margin of the day leaves, it is also a loss beyond margin.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from risk.backtest.beyond import accepted_counts, count_law
from risk.backtest.null import at_quantile, common_ranks
from risk.backtest.residuals import anderson_darling, darling_critical
from risk.margin.kernels import compiled

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

WORLDS = 1_000  # the 99% quantile of the count is then the 10th largest
EXPECTED_SHARE = 0.05
RESIDUALS_MAX = 3  # times as many as expected: what no simulated world reaches


@dataclass(frozen=True)
class TailNull:
    """Rejected books by world (WORLDS,), sorted: of the residuals' law, and of the number of losses beyond margin."""

    residuals: Integers
    beyond: Integers

    def limits(self, quantile: float = 0.99) -> tuple[int, int]:
        """The `quantile` of both counts."""
        return at_quantile(self.residuals, quantile), at_quantile(self.beyond, quantile)


def tail_null(scaled: Floats, beyond: Floats, seed: int) -> TailNull:
    """Of `scaled` (T, B) losses over their own forecasts and `beyond` (T, B) probabilities of a loss beyond margin, NaN
    where a book is not tested."""
    tested = np.isfinite(scaled)
    ranks, dates = common_ranks(scaled)
    accepted = np.array([accepted_counts(count_law(column[np.isfinite(column)])) for column in beyond.T])
    date, book_of = np.nonzero(ranks >= dates - EXPECTED_SHARE * dates - 1.0)
    begins = np.searchsorted(date, np.arange(ranks.shape[0] + 1))
    of_residuals, of_beyond = np.zeros(WORLDS, dtype=np.int64), np.zeros(WORLDS, dtype=np.int64)
    room = int(RESIDUALS_MAX * EXPECTED_SHARE * tested.shape[0]) + 50
    chances = np.ascontiguousarray(np.where(tested, beyond, -1.0))
    _count(
        of_residuals, of_beyond, chances, ranks, dates, begins, book_of.copy(), darling_critical(), accepted, room, seed
    )
    return TailNull(np.sort(of_residuals), np.sort(of_beyond))


@compiled(
    "void(int64[::1], int64[::1], float64[:, ::1], int64[:, ::1], int64, int64[::1], int64[::1], float64,"
    " int64[:, ::1], int64, int64)"
)
def _count(
    of_residuals: Integers,
    of_beyond: Integers,
    chances: Floats,
    ranks: Integers,
    dates: int,
    begins: Integers,
    book_of: Integers,
    critical: float,
    accepted: Integers,
    room: int,
    seed: int,
) -> None:
    """Fill the counts of rejected books, one world an entry. `chances` (T, B) of a loss beyond margin, below zero where
    a book is not tested; `book_of` the books that may be beyond 95% on date d, from begins[d] to begins[d + 1]."""
    np.random.seed(seed)
    windows, books = chances.shape
    values = np.empty((books, room))
    for world in range(of_residuals.size):
        held, over = np.zeros(books, dtype=np.int64), np.zeros(books, dtype=np.int64)
        for t in range(windows):
            drawn = np.random.randint(0, max(dates, 1))
            for at in range(begins[drawn], begins[drawn + 1]):
                b = book_of[at]
                if chances[t, b] < 0.0:
                    continue
                uniform = np.random.random()
                left = 1.0 - ((ranks[drawn, b] + uniform) / dates if dates > 0 else uniform)
                if 0.0 < left < EXPECTED_SHARE and held[b] < room:
                    values[b, held[b]] = -np.log(left / EXPECTED_SHARE)
                    held[b] += 1
                    over[b] += left < chances[t, b]
        for b in range(books):
            if held[b] > 0:
                ordered = np.sort(values[b, : held[b]])
                of_residuals[world] += anderson_darling(ordered) > critical
                of_beyond[world] += over[b] < accepted[b, 0] or over[b] > accepted[b, 1]
