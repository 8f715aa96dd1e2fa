"""Tail measures of many books: which arithmetic each book gets, and what is read off its worst scenarios.

Three ways lead to a book's worst losses, and the book alone decides which is its own, so that its figures never depend
on who is computed beside it. Sparse books are multiplied and searched by the compiled kernel in single precision. Books
that hold a third of all instruments or more are rows of a dense matrix, where BLAS is faster. Books whose requirement
is small against what they hold, or too large for single precision, are computed again in double precision. For sparse
books there may be tails of a moment ago (`risk.margin.kept_tails`): with them the same is found sooner.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from risk.margin.kept_tails import KeptTails, Tails, Worst, room_for, search
from risk.margin.kernels import LANES, dense_shorts, room, sparse_losses, weighted_shortfalls, worst_of_losses
from risk.margin.matrices import RiskMatrices
from risk.margin.positions import Positions
from risk.margin.tails import fit_pareto, tail_count, worst_scenarios
from risk.margin.wrong_way import Tilts

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Places = NDArray[np.int32]

HEDGED_SHARE = 1e-3  # below this share of gross notional float32 cancellation would show in the requirement
DENSE_SHARE = 1 / 3  # of all instruments: from here on BLAS multiplies zeros faster than the kernel skips them
BATCH_BOOKS = 2_048  # of which the worst losses are kept at once: 2 MB
DENSE_BLOCK = 512  # rows that BLAS needs to reach its speed; their losses are 4 MB
DENSE_LEAST = 8  # BLAS adds up a single row in another order than rows among others
MORE_LOSSES = 2  # times as many as under equal weights hold the tail of most of the books left; then twice that
DOUBLE_BLOCK = 256  # losses of a block in double precision, 4 MB


@dataclass(frozen=True)
class TailMeasures:
    """(A,) USD, none below zero: expected shortfall, Pareto value at risk, expected shortfall of the admission test,
    and what expected shortfall gains where clients fail."""

    es_99: Floats
    evt_var_997: Floats
    es_995: Floats
    wrong_way: Floats


def tail_measures(
    positions: Positions, matrices: RiskMatrices, gross: Floats, kept: KeptTails | None = None
) -> TailMeasures:
    """All that the requirement and admission ask of the scenarios; `gross` (A,) notional. `kept`: what is known of the
    tails of just these books, for no other figures but sooner; it is brought up to date."""
    rules, size, tilts = matrices.ruleset, matrices.profit.shape[1], matrices.tilts
    beyond = rules.evt_exceedances + 1

    def of(found: Worst) -> Floats:
        worst, where = found
        tail = fit_pareto(worst[:, -beyond:], size, rules.evt_shape_max)
        rows = [
            _mean_of_worst(worst, size, rules.es_quantile),
            tail.value_at_risk(rules.evt_quantile),
            _mean_of_worst(worst, size, rules.admission_quantile),
            np.zeros(worst.shape[0]) if tilts is None else _gain(worst, where, tilts),
        ]
        return np.stack(rows)

    count = beyond if tilts is None else max(beyond, tilts.scenarios_needed)
    measures = TailMeasures(*np.maximum(_measured(positions, matrices, gross, count, of, kept), 0.0))
    if tilts is not None:
        _complete(measures.wrong_way, positions, matrices, gross, tilts)
    return measures


def shortfall(
    positions: Positions, matrices: RiskMatrices, gross: Floats, quantile: float, kept: KeptTails | None = None
) -> Floats:
    """(A,) expected shortfall beyond `quantile`, not below zero: a fifth of the sorting that the Pareto fit needs.
    `kept` as in `tail_measures`."""
    size = matrices.profit.shape[1]

    def of(found: Worst) -> Floats:
        return _mean_of_worst(found[0], size, quantile)[None, :]

    measures = _measured(positions, matrices, gross, tail_count(size, quantile), of, kept)
    found: Floats = np.maximum(measures[0], 0.0)
    return found


def _gain(worst: Floats, where: Places, tilts: Tilts) -> Floats:
    """(A,) what the tilts add to expected shortfall; NaN where the worst losses do not tell."""
    shortfalls = np.empty((worst.shape[0], tilts.weights.shape[0]))
    exact = weighted_shortfalls(shortfalls, worst, where, tilts.weights, tilts.share)
    gain = tilts.gain(shortfalls)
    # What is not exact is too large, so that no gain is none.
    return np.where(exact | (gain <= 0.0), gain, np.nan)


def _complete(gain: Floats, positions: Positions, matrices: RiskMatrices, gross: Floats, tilts: Tilts) -> None:
    """Fill in, from more losses, the gains that the worst do not tell: of books that lose when markets rise and lose
    most when they crash."""
    rules, size = matrices.ruleset, matrices.profit.shape[1]

    def of(found: Worst) -> Floats:
        return np.stack([_mean_of_worst(found[0], size, rules.es_quantile), _gain(*found, tilts)])

    count = tilts.scenarios_needed
    while count < size and np.isnan(gain).any():
        count = min(count * MORE_LOSSES, size)
        unknown = np.flatnonzero(np.isnan(gain))
        gain[unknown] = _measured(positions.take(unknown), matrices, gross[unknown], count, of)[1]


def _mean_of_worst(worst: Floats, size: int, quantile: float) -> Floats:
    mean: Floats = worst[:, -tail_count(size, quantile) :].mean(axis=1)
    return mean


def _measured(
    positions: Positions,
    matrices: RiskMatrices,
    gross: Floats,
    count: int,
    of: Callable[[Worst], Floats],
    kept: KeptTails | None = None,
) -> Floats:
    """(M, A) what `of` makes of the `count` worst losses of each book, by whose first row it is judged as hedged."""
    tails = None if kept is None else kept.moving_to(positions, matrices, count)
    batches = []
    for start in range(0, positions.accounts, BATCH_BOOKS):
        stop = start + BATCH_BOOKS
        part = None if tails is None else tails.slice(start, stop)
        batches.append(_measured_batch(positions.slice(start, stop), matrices, gross[start:stop], count, of, part))
    if kept is not None and tails is not None:
        kept.arrived(positions, matrices, tails)
    return np.concatenate(batches, axis=1) if batches else of(room_for(0, count))


def _measured_batch(
    books: Positions,
    matrices: RiskMatrices,
    gross: Floats,
    count: int,
    of: Callable[[Worst], Floats],
    tails: Tails | None,
) -> Floats:
    measures = of(_worst_single(books, matrices, count, tails))
    # Not (a >= b) rather than a < b: what single precision cannot hold is no number here.
    again = np.flatnonzero((~(measures[0] >= HEDGED_SHARE * gross) & (gross > 0.0)) | np.isnan(measures[0]))
    for start in range(0, again.size, DOUBLE_BLOCK):
        chosen = again[start : start + DOUBLE_BLOCK]
        measures[:, chosen] = of(worst_scenarios(losses_in_double(books.take(chosen), matrices.profit), count))
    return measures


def losses_in_double(positions: Positions, profit: Floats) -> Floats:
    """(A, shocks) losses in float64 under the shocks of `profit`."""
    losses = np.empty((positions.accounts, profit.shape[1]))
    sparse_losses(losses, positions.indptr, positions.indices, positions.quantity, profit)
    return losses


def _worst_single(books: Positions, matrices: RiskMatrices, count: int, tails: Tails | None) -> Worst:
    """Worst losses in single precision."""
    dense = np.diff(books.indptr) >= DENSE_SHARE * matrices.profit.shape[0]
    if not dense.any():
        return _worst_sparse(books, matrices, count, tails)
    worst, where = room_for(books.accounts, count)
    sparse, full = np.flatnonzero(~dense), np.flatnonzero(dense)
    some = None if tails is None else tails.take(sparse)
    worst[sparse], where[sparse] = _worst_sparse(books.take(sparse), matrices, count, some)
    if tails is not None and some is not None:
        tails.put(sparse, some)
    for start in range(0, full.size, DENSE_BLOCK):
        chosen = full[start : start + DENSE_BLOCK]
        losses = dense_losses(books.take(chosen), matrices)
        found = room_for(chosen.size, count)
        worst_of_losses(*found, losses[: chosen.size], matrices.profit.shape[1])
        worst[chosen], where[chosen] = found
    return worst, where


def _worst_sparse(books: Positions, matrices: RiskMatrices, count: int, tails: Tails | None) -> Worst:
    return search(books, matrices, count) if tails is None else tails.worst(books, matrices, count)


def dense_losses(books: Positions, matrices: RiskMatrices) -> NDArray[np.float32]:
    """(rows, width) losses by BLAS, of which the first A rows and S columns are the books'."""
    instruments, scenarios = matrices.profit.shape
    rows = max(books.accounts, DENSE_LEAST)
    held = np.zeros((rows, instruments), dtype=np.float32)
    dense_shorts(held, books.indptr, books.indices, books.quantity)
    losses = room(rows, -(-scenarios // LANES) * LANES)
    np.matmul(held, matrices.profit_single, out=losses[:, :scenarios])
    return losses
