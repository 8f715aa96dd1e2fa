"""Positions times profits, compiled: the losses of many books in compressed rows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from risk.margin.kernels.compiling import compiled

Floats = NDArray[np.float64]
Reals = NDArray[np.floating[Any]]
Integers = NDArray[np.int64]


@compiled(
    [
        "void(float32[:, ::1], int64[::1], int64[::1], float64[::1], float32[:, ::1])",
        "void(float64[:, ::1], int64[::1], int64[::1], float64[::1], float64[:, ::1])",
    ]
)
def sparse_losses(out: Reals, indptr: Integers, indices: Integers, quantity: Floats, profit: Reals) -> None:
    """Fill `out` (A, S) with losses -Q D of A accounts: Q in compressed rows, D = `profit` (I, S) per unit held."""
    for a in range(out.shape[0]):
        row = out[a]
        row[:] = 0.0
        for p in range(indptr[a], indptr[a + 1]):
            q = row.dtype.type(-quantity[p])
            unit = profit[indices[p]]
            for s in range(row.size):
                row[s] += q * unit[s]


@compiled("void(float64[:, :, ::1], int64[::1], int64[::1], float64[::1], float64[:, ::1], int64[::1])")
def grouped_losses(
    out: Floats, indptr: Integers, indices: Integers, quantity: Floats, profit: Floats, group: Integers
) -> None:
    """Add to `out` (A, U, S) the losses of each account split by the group of the instrument (group < 0: left out)."""
    for a in range(out.shape[0]):
        for p in range(indptr[a], indptr[a + 1]):
            u = group[indices[p]]
            if u >= 0:
                for s in range(out.shape[2]):
                    out[a, u, s] -= quantity[p] * profit[indices[p], s]


@compiled("void(float32[:, ::1], int64[::1], int64[::1], float64[::1])")
def dense_shorts(out: Reals, indptr: Integers, indices: Integers, quantity: Floats) -> None:
    """Subtract from `out` (A, I) what each account holds: times the profit matrix that is its losses."""
    for a in range(indptr.size - 1):
        for p in range(indptr[a], indptr[a + 1]):
            out[a, indices[p]] -= np.float32(quantity[p])


@compiled("void(int64[::1], float64[::1], int64[::1], int64[::1], int64[::1], int64[::1], float64[::1])")
def copy_books(
    out_indices: Integers,
    out_quantity: Floats,
    out_indptr: Integers,
    accounts: Integers,
    indptr: Integers,
    indices: Integers,
    quantity: Floats,
) -> None:
    """Copy what these accounts hold to where `out_indptr` says, one after the other."""
    for a in range(accounts.size):
        first, at = indptr[accounts[a]], out_indptr[a]
        for p in range(out_indptr[a + 1] - at):
            out_indices[at + p], out_quantity[at + p] = indices[first + p], quantity[first + p]
