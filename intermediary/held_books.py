"""Books of many relationships as columns, and what each owes at a valuation. For workers that load array code."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from intermediary import books
from intermediary.books import HeldBook
from intermediary.exact_sums import Integers, digits_of, sums_of_products


@dataclass(frozen=True, eq=False)
class Held:
    """Of one book: its instruments by their numbers, and the digits (5, n) of their quantities."""

    numbers: Integers
    digits: Integers

    @classmethod
    def of(cls, book: HeldBook) -> "Held":
        """This one's. Raises OverflowError on a quantity of 10**18 coins."""
        return cls(np.array(book.instruments, dtype=np.int64), digits_of(book.quantities))


@dataclass(frozen=True, eq=False)
class HeldBooks:
    """Books one after the other: book a holds entries indptr[a] up to indptr[a + 1]."""

    books: Sequence[HeldBook]
    each: Sequence[Held]
    indptr: Integers
    numbers: Integers
    digits: Integers

    @classmethod
    def of(cls, held: Sequence[HeldBook], before: "HeldBooks | None" = None) -> "HeldBooks":
        """These, in their order; those that are the same objects as before are taken from there."""
        known = zip(before.books, before.each, strict=True) if before is not None else ()
        kept = {id(book): row for book, row in known}
        each = [kept.get(id(book)) or Held.of(book) for book in held]
        rows = [*each, Held.of(books.NOTHING)]  # of none, too, there is something to put together
        return cls(
            books=held,
            each=each,
            indptr=np.cumsum([0, *(row.numbers.size for row in each)]),
            numbers=np.concatenate([row.numbers for row in rows]),
            digits=np.concatenate([row.digits for row in rows], axis=1),
        )

    def exposures(self, valuation_id: UUID) -> list[int | None]:
        """`books.exposures` of these: exact. Raises OverflowError where a price is beyond 2**120 or a book has more
        than 6,000 positions."""
        marks = books.marks(valuation_id)
        digits, has_mark = _digits(valuation_id, len(marks))
        worth = sums_of_products(self.indptr, self.digits, np.take(digits, self.numbers, axis=1))
        unmarked = np.concatenate([[0], np.cumsum(~has_mark[self.numbers])])
        known = (np.diff(unmarked[self.indptr]) == 0).tolist()
        return [
            book.settled * books.ONE - value if is_known else None
            for book, value, is_known in zip(self.books, worth, known, strict=True)
        ]


@lru_cache(maxsize=2)
def _digits(valuation_id: UUID, _: int) -> tuple[Integers, NDArray[np.bool_]]:
    """Of the marks by the instruments' numbers, of which there are so many now, and which there are."""
    marks = books.marks(valuation_id)
    return digits_of([mark or 0 for mark in marks]), np.array([mark is not None for mark in marks], dtype=bool)
