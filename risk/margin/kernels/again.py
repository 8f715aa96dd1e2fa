"""The worst scenarios of books whose worst scenarios of a moment ago are known, compiled.

A market that moved a little leaves nearly everybody's tail in the scenarios in which it was. So the losses in those few
are computed anew, as the search of all scenarios would compute them to the last bit, and that no other scenario can be
among the worst is proved: what it lost before was no more than a known number, and what the move adds to it is at most
the sum over the positions of the most that any scenario adds. A book for which that proves nothing is left to the
search.
"""

from collections.abc import Callable
from typing import Any, cast

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils as untyped_cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from risk.margin.kernels.compiling import compiled

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Integers = NDArray[np.int64]
Places = NDArray[np.int32]
Flags = NDArray[np.bool_]

TOGETHER = 8  # scenarios whose sums grow at once, in registers
# A sum of n products in single precision is off by at most n half units in the last place of the sum of their sizes;
# twice that leaves room for the rounding of the differences between two markets.
ROUNDING = 2.0**-23
LARGEST_SQUARES = 1e38  # half of what single precision holds: beyond it the search may say that there is no number

cgutils: Any = untyped_cgutils
NUMBER = numba.types.float32


def _fused(_typing: Any, held: Any, profit: Any, total: Any) -> tuple[Any, Callable[..., Any]]:
    """held * profit + total, rounded once, as the search of all scenarios adds up a book."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        single = ir.FloatType()
        function = ir.FunctionType(single, [single] * 3)
        return builder.call(cgutils.get_or_insert_function(builder.module, function, "llvm.fma.f32"), arguments)

    return NUMBER(NUMBER, NUMBER, NUMBER), generate


fused = cast(Callable[[Any, Any, Any], np.float32], intrinsic(_fused))


@compiled("void(float32[::1], uint64[::1], uint64[::1], float32[::1], float32[::1], int64)")
def _losses_at(losses: Singles, rows: Any, places: Any, units: Singles, profit: Singles, held: int) -> None:
    """Fill `losses` (K,), K a multiple of TOGETHER, of one book: of scenario j the sum over p < `held` of units[p]
    profit[rows[j] + places[p]]. Written out, because sums in an array would not stay in registers."""
    nothing = np.float32(0.0)
    for j in range(0, losses.size, TOGETHER):
        r0, r1, r2, r3 = rows[j], rows[j + 1], rows[j + 2], rows[j + 3]
        r4, r5, r6, r7 = rows[j + 4], rows[j + 5], rows[j + 6], rows[j + 7]
        s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = nothing
        for p in range(held):
            unit, i = units[p], places[p]
            s0, s1 = fused(unit, profit[r0 + i], s0), fused(unit, profit[r1 + i], s1)
            s2, s3 = fused(unit, profit[r2 + i], s2), fused(unit, profit[r3 + i], s3)
            s4, s5 = fused(unit, profit[r4 + i], s4), fused(unit, profit[r5 + i], s5)
            s6, s7 = fused(unit, profit[r6 + i], s6), fused(unit, profit[r7 + i], s7)
        losses[j], losses[j + 1], losses[j + 2], losses[j + 3] = s0, s1, s2, s3
        losses[j + 4], losses[j + 5], losses[j + 6], losses[j + 7] = s4, s5, s6, s7


@compiled("void(float32[::1], int32[::1])")
def _sort(losses: Singles, where: Places) -> None:
    """Ascending, and `where` with them, by insertion: they are nearly sorted."""
    for i in range(1, losses.size):
        loss, place = losses[i], where[i]
        j = i
        while j > 0 and losses[j - 1] > loss:
            losses[j], where[j] = losses[j - 1], where[j - 1]
            j -= 1
        losses[j], where[j] = loss, place


@compiled(
    "void(boolean[::1], float64[:, ::1], int32[:, ::1], int32[:, ::1], float64[::1], int64[::1], int64[::1],"
    " float64[::1], float32[:, ::1], float64[:, ::1])"
)
def worst_among_kept(
    known: Flags,
    out: Floats,
    where: Places,
    kept: Places,
    least: Floats,
    indptr: Integers,
    indices: Integers,
    quantity: Floats,
    profit: Singles,
    reach: Floats,
) -> None:
    """Fill `out` and `where` (A, m) as `worst_of_books` does, for the books of which it can be proved; `known` (A,)
    says which.

    `kept` (A, K), K >= m a multiple of TOGETHER: scenarios outside of which no loss was more than `least` (A,) in the
    market before; -1 in the last where that is not known. Both are brought up to date. `profit` (S, I) in this market.
    `reach` (I, 3): the most that a unit gained in any scenario, and lost, from that market to this one, and the largest
    sizes of its profit in both, added. A tie proves nothing: the search decides which scenario comes first.
    """
    books, count = out.shape
    size = kept.shape[1]
    longest = 0
    for a in range(books):
        longest = max(longest, indptr[a + 1] - indptr[a])
    places, units = np.empty(longest, dtype=np.uint64), np.empty(longest, dtype=np.float32)
    rows, losses = np.empty(size, dtype=np.uint64), np.empty(size, dtype=np.float32)
    flat = profit.ravel()
    for a in range(books):
        known[a] = False
        if kept[a, size - 1] < 0:
            continue
        held = indptr[a + 1] - indptr[a]
        rise, scale = 0.0, 0.0
        for p in range(held):
            i = indices[indptr[a] + p]
            short = np.float32(-quantity[indptr[a] + p])
            places[p], units[p] = i, short
            rise += short * reach[i, 0] if short > 0.0 else -short * reach[i, 1]
            scale += abs(short) * reach[i, 2]
        least[a] += rise + ROUNDING * (held + 1) * scale
        for j in range(size):
            rows[j] = kept[a, j] * profit.shape[1]
        _losses_at(losses, rows, places, units, flat, held)
        _sort(losses, kept[a])
        first = size - count
        proved = losses[first] > least[a] and scale * scale * profit.shape[0] < LARGEST_SQUARES
        for j in range(first, size):
            proved = proved and (j == 0 or losses[j - 1] < losses[j])
            out[a, j - first], where[a, j - first] = losses[j], kept[a, j]
        known[a] = proved
