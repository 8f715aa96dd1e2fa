"""Tail measures of many books: which arithmetic each book gets, and what is read off its worst scenarios.

Three ways lead to a book's worst losses, and the book alone decides which is its own, so that its figures never depend
on who is computed beside it. Sparse books are multiplied and searched by the compiled kernel in single precision. Books
that hold a third of all instruments or more are rows of a dense matrix, where BLAS is faster. Books whose requirement
is small against what they hold, or too large for single precision, are computed again in double precision.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from risk.margin.kernels import LANES, dense_shorts, room, sparse_losses, worst_of_books, worst_of_losses
from risk.margin.matrices import RiskMatrices
from risk.margin.positions import Positions
from risk.margin.tails import fit_pareto, tail_count, worst_losses

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Integers = NDArray[np.int64]

HEDGED_SHARE = 1e-3  # below this share of gross notional float32 cancellation would show in the requirement
DENSE_SHARE = 1 / 3  # of all instruments: from here on BLAS multiplies zeros faster than the kernel skips them
BATCH_BOOKS = 2_048  # of which the worst losses are kept at once: 2 MB
DENSE_BLOCK = 512  # rows that BLAS needs to reach its speed; their losses are 4 MB
DENSE_LEAST = 8  # BLAS adds up a single row in another order than rows among others
DOUBLE_BLOCK = 256  # losses of a block in double precision, 4 MB


class Profits(Protocol):
    """Profits of every instrument under some scenarios, (I, S), in the three forms that the kernels take."""

    @property
    def profit(self) -> Floats: ...
    @property
    def profit_single(self) -> Singles: ...
    @property
    def profit_slices(self) -> Singles: ...


@dataclass(frozen=True)
class TailMeasures:
    """(A,) USD, none below zero: expected shortfall, Pareto value at risk, expected shortfall of the admission test."""

    es_99: Floats
    evt_var_997: Floats
    es_995: Floats


def tail_measures(positions: Positions, matrices: RiskMatrices, gross: Floats) -> TailMeasures:
    """All that base margin and admission ask of the scenarios; `gross` (A,) notional."""
    rules, size = matrices.ruleset, matrices.profit.shape[1]

    def of(worst: Floats) -> Floats:
        tail = fit_pareto(worst, size, rules.evt_shape_max)
        rows = [
            _mean_of_worst(worst, size, rules.es_quantile),
            tail.value_at_risk(rules.evt_quantile),
            _mean_of_worst(worst, size, rules.admission_quantile),
        ]
        return np.stack(rows)

    return TailMeasures(*np.maximum(_measured(positions, matrices, gross, rules.evt_exceedances + 1, of), 0.0))


def shortfall(positions: Positions, matrices: RiskMatrices, gross: Floats, quantile: float) -> Floats:
    """(A,) expected shortfall beyond `quantile`, not below zero: a fifth of the sorting that the Pareto fit needs."""
    size = matrices.profit.shape[1]

    def of(worst: Floats) -> Floats:
        return _mean_of_worst(worst, size, quantile)[None, :]

    found: Floats = np.maximum(_measured(positions, matrices, gross, tail_count(size, quantile), of)[0], 0.0)
    return found


def tilted_shortfall(positions: Positions, matrices: RiskMatrices, gross: Floats, es_99: Floats) -> Floats:
    """(A,) expected shortfall 99% when the scenarios in which clients fail weigh more, not below zero; zero under a
    ruleset without that tilt. `es_99` (A,) that of equal weights decides who is hedged: what gains when the market
    falls is no hedge."""
    tilted = matrices.tilted
    if tilted is None:
        return np.zeros(positions.accounts)
    count = tail_count(tilted.of, matrices.ruleset.es_quantile)

    def of(worst: Floats) -> Floats:
        mean: Floats = worst.mean(axis=1)
        return mean[None, :]

    found: Floats = np.maximum(_measured(positions, tilted, gross, count, of, es_99)[0], 0.0)
    return found


def _mean_of_worst(worst: Floats, size: int, quantile: float) -> Floats:
    mean: Floats = worst[:, -tail_count(size, quantile) :].mean(axis=1)
    return mean


def _measured(
    positions: Positions,
    matrices: Profits,
    gross: Floats,
    count: int,
    of: Callable[[Floats], Floats],
    judged: Floats | None = None,
) -> Floats:
    """(M, A) what `of` makes of the `count` worst losses of each book; by its first row, or by `judged` (A,), a book is
    judged as hedged."""
    batches = []
    for start in range(0, positions.accounts, BATCH_BOOKS):
        part = slice(start, start + BATCH_BOOKS)
        known = None if judged is None else judged[part]
        batches.append(_measured_batch(positions.slice(start, part.stop), matrices, gross[part], count, of, known))
    return np.concatenate(batches, axis=1) if batches else of(np.zeros((0, count)))


def _measured_batch(
    books: Positions,
    matrices: Profits,
    gross: Floats,
    count: int,
    of: Callable[[Floats], Floats],
    judged: Floats | None,
) -> Floats:
    measures = of(_worst_single(books, matrices, count))
    # Not (a >= b) rather than a < b: what single precision cannot hold is no number here.
    uncertain = ~((measures[0] if judged is None else judged) >= HEDGED_SHARE * gross) & (gross > 0.0)
    again = np.flatnonzero(uncertain | np.isnan(measures[0]))
    for start in range(0, again.size, DOUBLE_BLOCK):
        chosen = again[start : start + DOUBLE_BLOCK]
        measures[:, chosen] = of(worst_losses(losses_in_double(books.take(chosen), matrices.profit), count))
    return measures


def losses_in_double(positions: Positions, profit: Floats) -> Floats:
    """(A, shocks) losses in float64 under the shocks of `profit`."""
    losses = np.empty((positions.accounts, profit.shape[1]))
    sparse_losses(losses, positions.indptr, positions.indices, positions.quantity, profit)
    return losses


def _worst_single(books: Positions, matrices: Profits, count: int) -> Floats:
    """(A, count) ascending worst losses in single precision."""
    dense = np.diff(books.indptr) >= DENSE_SHARE * matrices.profit.shape[0]
    if not dense.any():
        return _worst_sparse(books, matrices, count)
    worst = np.empty((books.accounts, count))
    sparse, full = np.flatnonzero(~dense), np.flatnonzero(dense)
    worst[sparse] = _worst_sparse(books.take(sparse), matrices, count)
    for start in range(0, full.size, DENSE_BLOCK):
        chosen = full[start : start + DENSE_BLOCK]
        losses = dense_losses(books.take(chosen), matrices)
        found = np.empty((chosen.size, count))
        worst_of_losses(found, losses[: chosen.size], matrices.profit.shape[1])
        worst[chosen] = found
    return worst


def _worst_sparse(books: Positions, matrices: Profits, count: int) -> Floats:
    worst = np.empty((books.accounts, count))
    worst_of_books(worst, books.indptr, books.indices, books.quantity, matrices.profit_slices, matrices.profit.shape[1])
    return worst


def dense_losses(books: Positions, matrices: Profits) -> NDArray[np.float32]:
    """(rows, width) losses by BLAS, of which the first A rows and S columns are the books'."""
    instruments, scenarios = matrices.profit.shape
    rows = max(books.accounts, DENSE_LEAST)
    held = np.zeros((rows, instruments), dtype=np.float32)
    dense_shorts(held, books.indptr, books.indices, books.quantity)
    losses = room(rows, -(-scenarios // LANES) * LANES)
    np.matmul(held, matrices.profit_single, out=losses[:, :scenarios])
    return losses
