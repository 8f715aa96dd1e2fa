"""The worst scenarios of many books, compiled: losses and selection in one pass over the cache, in single precision.

A block of books is multiplied one slice of scenarios at a time: the profits of all instruments on one slice stay in the
second cache, and the losses of a book on it stay in registers until its last position is added. Then each book's
losses, just written, are searched for the worst: a threshold with slightly more losses beyond it than asked for, found
by bisection on counts, and a sort of those few. The selection is exact. Each loss is summed in the order of the
positions, so a book's figures do not depend on the block, on the other books or on threads. Who weighs scenarios also
asks which they were: each loss that is kept keeps its place.
"""

from collections.abc import Callable, Sequence
from math import sqrt
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
Intrinsic = tuple[Any, Callable[..., Any]]  # a signature and what writes the code

LANES = 16  # of 32 bits in the widest registers; narrower processors take two or four instructions
VECTORS = 7  # sums in registers at once; odd, so that rows of a slice do not fall on the same few cache sets
SLICE = LANES * VECTORS  # scenarios of a slice
ALIGNMENT = 64  # bytes of a cache line: a vector that straddles two costs two loads
UNALIGNED = 4  # what loads may assume: an array that begins elsewhere costs time, not a crash
BLOCK_BOOKS = 128  # losses of a block, 1 MB, and one slice of 500 instruments fit the second cache together
BISECTIONS = 24  # halves the range of losses to a ten-millionth; what ties leave beyond that is sorted whole
SPARE = 24  # more survivors than asked for: ends most searches after about six counts
RANKED = 256  # survivors up to which counting ranks beats sorting

LARGEST = np.float32(3.4e38)
REORDERED = frozenset({"reassoc"})  # only for the sums from which a search begins: no figure depends on them

cgutils: Any = untyped_cgutils
SINGLE, WORD, PLACE = ir.FloatType(), ir.IntType(64), ir.IntType(32)
VECTOR, PLACES, MASK = (ir.VectorType(kind, LANES) for kind in (SINGLE, PLACE, ir.IntType(1)))
ADDRESS, COUNT, NUMBER = numba.types.uintp, numba.types.int64, numba.types.float32


def emitted(function: Callable[..., Intrinsic]) -> Callable[..., Any]:
    """A function that writes its own code, for compiled callers."""
    return cast(Callable[..., Any], intrinsic(function))


# Three loops in the compiler's own language, because numba cannot say that sums stay in registers, nor pack what a
# mask selects: its own loops take twice to eight times as long. Vectors are LLVM's, on any processor.


@emitted
def add_positions(typing: Any, out: Any, profit: Any, offset: Any, units: Any, count: Any) -> Intrinsic:
    """out[0:SLICE] = sum over p < count of units[p] * profit[offset[p] : offset[p] + SLICE], all by address."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        out, profit, offset, units, count = arguments
        profits, held = (builder.inttoptr(address, SINGLE.as_pointer()) for address in (profit, units))
        offsets = builder.inttoptr(offset, WORD.as_pointer())
        fused = _declared(builder, f"llvm.fma.v{LANES}f32", VECTOR, [VECTOR] * 3)
        sums = [cgutils.alloca_once_value(builder, ir.Constant(VECTOR, None)) for _ in range(VECTORS)]
        with cgutils.for_range(builder, count) as loop:
            held_here = _spread(builder, builder.load(builder.gep(held, [loop.index])))
            row = builder.gep(profits, [builder.load(builder.gep(offsets, [loop.index]))])
            for index, total in enumerate(sums):
                profit_here = _vector(builder, builder.ptrtoint(row, WORD), ir.Constant(WORD, index))
                builder.store(builder.call(fused, [held_here, profit_here, builder.load(total)]), total)
        vectors = builder.inttoptr(out, VECTOR.as_pointer())
        for index, total in enumerate(sums):
            builder.store(builder.load(total), builder.gep(vectors, [ir.Constant(WORD, index)]), align=UNALIGNED)
        return context.get_dummy_value()

    return numba.types.void(ADDRESS, ADDRESS, ADDRESS, ADDRESS, COUNT), generate


@emitted
def count_from(typing: Any, values: Any, vectors: Any, threshold: Any) -> Intrinsic:
    """How many of `vectors` times LANES values, by address, are at least `threshold`."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        values, vectors, threshold = arguments
        level = _spread(builder, threshold)
        found = cgutils.alloca_once_value(builder, ir.Constant(WORD, 0))
        with cgutils.for_range(builder, vectors) as loop:
            mask = builder.fcmp_ordered(">=", _vector(builder, values, loop.index), level)
            builder.store(builder.add(builder.load(found), _ones(builder, mask)), found)
        return builder.load(found)

    return COUNT(ADDRESS, COUNT, NUMBER), generate


@emitted
def pack_from(typing: Any, packed: Any, places: Any, values: Any, vectors: Any, threshold: Any) -> Intrinsic:
    """Write the values that are at least `threshold` one after the other to `packed`, where they stand to `places` as
    32-bit integers, and say how many they are."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        packed, places, values, vectors, threshold = arguments
        rooms = [builder.inttoptr(address, kind.as_pointer()) for address, kind in ((packed, SINGLE), (places, PLACE))]
        stores = [_compressing(builder, vector, name) for vector, name in ((VECTOR, "f32"), (PLACES, "i32"))]
        level = _spread(builder, threshold)
        found = cgutils.alloca_once_value(builder, ir.Constant(WORD, 0))
        place = cgutils.alloca_once_value(builder, ir.Constant(PLACES, list(range(LANES))))
        with cgutils.for_range(builder, vectors) as loop:
            here, kept = _vector(builder, values, loop.index), builder.load(found)
            mask = builder.fcmp_ordered(">=", here, level)
            for store, room, vector in zip(stores, rooms, (here, builder.load(place)), strict=True):
                builder.call(store, [vector, builder.gep(room, [kept]), mask])
            builder.store(builder.add(kept, _ones(builder, mask)), found)
            builder.store(builder.add(builder.load(place), ir.Constant(PLACES, [LANES] * LANES)), place)
        return builder.load(found)

    return COUNT(ADDRESS, ADDRESS, ADDRESS, COUNT, NUMBER), generate


def _compressing(builder: Any, vector: Any, name: str) -> Any:
    """The instruction that stores what a mask selects of a vector."""
    arguments = [vector, vector.element.as_pointer(), MASK]
    return _declared(builder, f"llvm.masked.compressstore.v{LANES}{name}", ir.VoidType(), arguments)


def _declared(builder: Any, name: str, result: Any, arguments: Sequence[Any]) -> Any:
    return cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, arguments), name)


def _spread(builder: Any, number: Any) -> Any:
    """The same number in every lane."""
    nothing, index = ir.Constant(VECTOR, ir.Undefined), ir.IntType(32)
    first = builder.insert_element(nothing, number, ir.Constant(index, 0))
    return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(index, LANES), None))


def _vector(builder: Any, address: Any, index: Any) -> Any:
    """The vector of this index from an address."""
    return builder.load(builder.gep(builder.inttoptr(address, VECTOR.as_pointer()), [index]), align=UNALIGNED)


def _ones(builder: Any, mask: Any) -> Any:
    return builder.zext(builder.ctpop(builder.bitcast(mask, ir.IntType(LANES))), WORD)


@compiled("void(float32[:, ::1], int64[::1], int64[::1], float32[::1], float32[:, :, ::1])")
def _block_losses(losses: Singles, indptr: Integers, offset: Integers, units: Singles, profit: Singles) -> None:
    """Fill `losses` (B, C SLICE): books first to last of `indptr` (B + 1,) on C slices."""
    size = 4
    for c in range(profit.shape[0]):
        slice_at = profit.ctypes.data + c * profit.shape[1] * SLICE * size
        for a in range(losses.shape[0]):
            p = indptr[a]
            add_positions(
                losses.ctypes.data + (a * losses.shape[1] + c * SLICE) * size,
                slice_at,
                offset.ctypes.data + p * 8,
                units.ctypes.data + p * size,
                indptr[a + 1] - p,
            )


@compiled("float32(float32[::1], int64, int64)", fastmath=REORDERED)
def _threshold(losses: Singles, vectors: int, count: int) -> np.float32:
    """A loss that at least `count` losses reach, and rarely many more; NaN if the sum of squares is not finite.

    Fewer than `count` of n losses lie sqrt(n / count) standard deviations above their mean, and not so few lie
    sqrt(count / (n - count)) below it (Cantelli): the search begins between. Rounding cannot spoil the result: that the
    losses are enough is counted.
    """
    size = np.float32(losses.size)
    total = square = np.float32(0.0)
    for s in range(losses.size):
        total += losses[s]
        square += losses[s] * losses[s]
    if not square <= LARGEST:
        return np.float32(np.nan)
    mean = total / size
    deviation = sqrt(max(square / size - mean * mean, np.float32(0.0)))
    highest = np.float32(mean + deviation * sqrt(size / count))
    if count_from(losses.ctypes.data, vectors, highest) >= count:
        return highest
    lowest = np.float32(mean - deviation * sqrt(count / max(size - count, np.float32(1.0))))
    reached = count_from(losses.ctypes.data, vectors, lowest)
    if reached < count:
        lowest, reached = -LARGEST, losses.size
    for _ in range(BISECTIONS):
        if reached <= count + SPARE:
            break
        middle = lowest + np.float32(0.5) * (highest - lowest)
        found = count_from(losses.ctypes.data, vectors, middle)
        if found >= count:
            lowest, reached = middle, found
        else:
            highest = middle
    return lowest


@compiled("void(float32[::1], int32[::1], float32[::1], int32[::1], int64)")
def _rank(ranked: Singles, ranked_places: Places, values: Singles, places: Places, count: int) -> None:
    """Sort the first `count` of `values` into `ranked`, by counting for each how many are smaller, and what stands
    beside them in `places` with them; all RANKED long. Equal values count alike and take the next place that is free.
    """
    vectors = (count + LANES - 1) // LANES
    values[count : vectors * LANES] = np.inf
    ranked_places[:count] = -1
    for i in range(count):
        place = vectors * LANES - count_from(values.ctypes.data, vectors, values[i])
        while ranked_places[place] >= 0:
            place += 1
        ranked[place], ranked_places[place] = values[i], places[i]


@compiled("void(float64[::1], int32[::1], float32[::1], int64, float32[::1], int32[::1], float32[::1], int32[::1])")
def _worst(
    out: Floats,
    where: Places,
    losses: Singles,
    vectors: int,
    packed: Singles,
    places: Places,
    ranked: Singles,
    ranked_places: Places,
) -> None:
    """Fill `out` (m,) with the m largest of `losses`, ascending, and `where` with the scenarios they are in; with NaN
    and -1 if any is not finite.

    Losses end with minus infinity in the last of `vectors`. `packed` and `places` have room for all of them, `ranked`
    and `ranked_places` for RANKED.
    """
    threshold = _threshold(losses, vectors, out.size)
    if threshold != threshold:
        out[:], where[:] = np.nan, -1
        return
    kept = pack_from(packed.ctypes.data, places.ctypes.data, losses.ctypes.data, vectors, threshold)
    if kept > RANKED:
        # Most likely a book that cannot lose more than so much: the least survivor, many times.
        threshold = packed[:kept].min()
        above = np.nextafter(threshold, LARGEST)
        if count_from(losses.ctypes.data, vectors, above) < out.size:
            kept = pack_from(packed.ctypes.data, places.ctypes.data, losses.ctypes.data, vectors, above)
            s = 0
            while kept < out.size:
                if losses[s] == threshold:
                    packed[kept], places[kept] = threshold, s
                    kept += 1
                s += 1
    if kept <= RANKED:
        _rank(ranked, ranked_places, packed, places, kept)
        first = kept - out.size
        for i in range(out.size):
            out[i], where[i] = ranked[first + i], ranked_places[first + i]
        return
    order = np.argsort(packed[:kept])[kept - out.size :]
    for i in range(out.size):
        out[i], where[i] = packed[order[i]], places[order[i]]


@compiled("float32[::1](int64)")
def _aligned(size: int) -> Singles:
    """Uninitialised room for `size` numbers that begins on a cache line."""
    numbers = np.empty(size + ALIGNMENT // 4, dtype=np.float32)
    first = (-numbers.ctypes.data) % ALIGNMENT // 4
    return numbers[first : first + size]


@compiled("float32[:, ::1](int64, int64)")
def room(rows: int, width: int) -> Singles:
    """Uninitialised room for the losses of `rows` books; rows of a multiple of LANES begin on cache lines."""
    return _aligned(rows * width).reshape((rows, width))


@compiled("void(float64[:, ::1], int32[:, ::1], float32[:, ::1], int64)")
def worst_of_losses(out: Floats, where: Places, losses: Singles, scenarios: int) -> None:
    """Fill `out` (A, m) with the m largest of the first `scenarios` of each row of `losses` (A, width), ascending, and
    `where` (A, m) with their scenarios; NaN and -1 where one is beyond single precision. `width`, a multiple of LANES,
    may be more: what lies there is overwritten. 0 < m <= `scenarios` <= width."""
    losses[:, scenarios:] = -np.inf
    size = max(losses.shape[1], RANKED)
    packed, places = _aligned(size), np.empty(size, dtype=np.int32)
    ranked, ranked_places = _aligned(RANKED), np.empty(RANKED, dtype=np.int32)
    vectors = (scenarios + LANES - 1) // LANES
    for a in range(out.shape[0]):
        _worst(out[a], where[a], losses[a, :scenarios], vectors, packed, places, ranked, ranked_places)


@compiled("void(float64[:, ::1], int32[:, ::1], int64[::1], int64[::1], float64[::1], float32[:, :, ::1], int64)")
def worst_of_books(
    out: Floats,
    where: Places,
    indptr: Integers,
    indices: Integers,
    quantity: Floats,
    profit: Singles,
    scenarios: int,
) -> None:
    """Fill `out` (A, m) with each book's m largest losses, ascending; NaN where one is beyond single precision.

    Books in compressed rows; `profit` (C, I, SLICE) USD per unit held, from `slices`; the first `scenarios` of its
    C SLICE count. `where` as in `worst_of_losses`. 0 < m <= `scenarios`.
    """
    books = out.shape[0]
    width = profit.shape[0] * SLICE
    offset = np.empty(indices.size, dtype=np.int64)
    units = np.empty(indices.size, dtype=np.float32)
    for p in range(indices.size):
        offset[p] = indices[p] * SLICE
        units[p] = -quantity[p]
    losses = room(min(books, BLOCK_BOOKS), width)
    for start in range(0, books, BLOCK_BOOKS):
        stop = min(start + BLOCK_BOOKS, books)
        _block_losses(losses[: stop - start], indptr[start : stop + 1], offset, units, profit)
        worst_of_losses(out[start:stop], where[start:stop], losses[: stop - start], scenarios)


def slices(profit: Floats) -> Singles:
    """(C, I, SLICE) in single precision of `profit` (I, S), the last slice padded with zeros, on whole cache lines."""
    instruments, scenarios = profit.shape
    count = -(-scenarios // SLICE)
    sliced = _aligned(count * instruments * SLICE).reshape((count, instruments, SLICE))
    sliced[-1] = 0.0
    for c in range(count):
        part = profit[:, c * SLICE : (c + 1) * SLICE]
        sliced[c, :, : part.shape[1]] = part
    return sliced
