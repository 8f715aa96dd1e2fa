"""The two loops that dominate a tick, compiled: sparse positions times the profit matrix, and Black-76.

Signatures are explicit and the machine code is cached on disk, so a worker never compiles while clients wait.
Kernels release the interpreter lock and use one thread: parallelism is between workers. The numpy references live
beside their callers (`revaluation`, `requirement`) and tests hold the two together.
"""

from collections.abc import Callable
from math import erfc, exp, log, sqrt
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

F = TypeVar("F", bound=Callable[..., Any])
Floats = NDArray[np.float64]
Reals = NDArray[np.floating[Any]]
Integers = NDArray[np.int64]

SQRT_HALF = 0.7071067811865476


def compiled(signatures: str | list[str]) -> Callable[[F], F]:
    """Compile now for `signatures`, or load what an earlier process compiled."""

    def decorate(function: F) -> F:
        return cast(F, numba.njit(signatures, cache=True, nogil=True, error_model="numpy")(function))

    return decorate


@compiled("float64(float64, float64, float64, float64, boolean)")
def black76(forward: float, strike: float, deviation: float, discount: float, is_call: bool) -> float:
    """Price of a European option on a forward, in the forward's currency (Black 1976).

    `deviation` is sigma sqrt(T); `discount` the discount factor to expiry. At zero deviation or forward it is the
    discounted intrinsic value.
    """
    sign = 1.0 if is_call else -1.0
    if deviation <= 0.0 or forward <= 0.0:
        return discount * max(sign * (forward - strike), 0.0)
    d1 = log(forward / strike) / deviation + 0.5 * deviation
    d2 = d1 - deviation
    up = 0.5 * erfc(-sign * d1 * SQRT_HALF)
    down = 0.5 * erfc(-sign * d2 * SQRT_HALF)
    return discount * sign * (forward * up - strike * down)


@compiled("void(float64[::1], float64, float64[::1], float64[::1], float64[::1], float64[::1], float64[::1], boolean)")
def option_values(
    out: Floats,
    mark: float,
    price_ratio: Floats,
    vol: Floats,
    basis_annual: Floats,
    years_and_strike: Floats,
    discount: Floats,
    is_call: bool,
) -> None:
    """Fill `out` (S,) with Black-76 values of one option under S shocks.

    `price_ratio`, `vol` (annual), `basis_annual` are (S,) levels after the shock; `years_and_strike` is (2,),
    `discount` (1,).
    """
    years = years_and_strike[0]
    root = sqrt(years)
    for s in range(out.size):
        forward = mark * price_ratio[s] * exp(basis_annual[s] * years)
        out[s] = black76(forward, years_and_strike[1], vol[s] * root, discount[0], is_call)


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
