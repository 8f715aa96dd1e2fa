"""Sums by digits are the sums of Python's own ints."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intermediary.exact_sums import LONGEST, digits_of, sums_of_products

numbers = st.integers(-(2**120) + 1, 2**120 - 1)


@given(st.lists(st.lists(st.tuples(numbers, numbers), max_size=6), max_size=8))
def test_sums_are_exact_whatever_their_size_and_sign(runs: list[list[tuple[int, int]]]) -> None:
    indptr = np.cumsum([0, *map(len, runs)])
    left, right = ([pair[side] for run in runs for pair in run] for side in (0, 1))
    found = sums_of_products(indptr, digits_of(left), digits_of(right))
    assert found == [sum(one * other for one, other in run) for run in runs]


def test_the_largest_sum_that_is_allowed_is_exact() -> None:
    largest = [2**120 - 1] * LONGEST
    digits = digits_of(largest)
    assert sums_of_products(np.array([0, LONGEST]), digits, digits) == [LONGEST * (2**120 - 1) ** 2]
    assert sums_of_products(np.array([0, LONGEST]), -digits, digits) == [-LONGEST * (2**120 - 1) ** 2]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(OverflowError):
        digits_of([2**120])
    many = digits_of([1] * (LONGEST + 1))
    with pytest.raises(OverflowError, match="6000 products"):
        sums_of_products(np.array([0, LONGEST + 1]), many, many)
