"""Sums of products of ints beyond 64 bits, exact, for thousands at once.

An int is written in digits of 24 bits. Products of digits have 48, so some six thousand of them add up inside 64 bits;
the digits of a sum may be large, and are carried when it becomes an int again. Pure.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

BYTES, DIGITS = 3, 5  # of a digit; of a number: below 2**120
LONGEST = 6_000  # products of one sum


def digits_of(values: Sequence[int]) -> Integers:
    """(5, n) the digits of each value, least first, with its sign. Raises OverflowError from 2**120 on."""
    whole = b"".join(abs(value).to_bytes(BYTES * DIGITS, "little") for value in values)
    found = np.frombuffer(whole, dtype=np.uint8).astype(np.int64).reshape(-1, DIGITS, BYTES)
    sign = np.array([-1 if value < 0 else 1 for value in values], dtype=np.int64)
    digits: Integers = np.ascontiguousarray((found << (8 * np.arange(BYTES))).sum(axis=2).T * sign)
    return digits


def sums_of_products(indptr: Integers, left: Integers, right: Integers) -> list[int]:
    """Sum of left x right over each of A runs, whose ends are `indptr` (A + 1,); both (5, n) digits.

    Raises OverflowError on a run of more than 6,000.
    """
    if (np.diff(indptr) > LONGEST).any():
        raise OverflowError(f"a sum of more than {LONGEST} products")
    ours, theirs = _used(left), _used(right)
    total = np.zeros(indptr.size - 1, dtype=object)
    for place in reversed(range(2 * DIGITS - 1)):
        pairs = [(mine, place - mine) for mine in ours if place - mine in theirs]
        if total.any():
            total = total * 2 ** (8 * BYTES)
        if pairs:
            total = total + _sums(sum(left[mine] * right[other] for mine, other in pairs), indptr)
    sums: list[int] = total.tolist()
    return sums


def _used(digits: Integers) -> list[int]:
    """The places where not every digit is nought."""
    found: list[int] = np.flatnonzero(digits.any(axis=1)).tolist()
    return found


def _sums(products: Integers, indptr: Integers) -> Integers:
    # The sum of all may go round 64 bits; the differences are right.
    up_to = np.concatenate([[0], np.cumsum(products)])
    found: Integers = np.diff(up_to[indptr])
    return found
