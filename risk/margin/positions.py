"""Positions of many accounts as one sparse matrix in compressed rows: accounts x instruments."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from risk.margin.kernels import copy_books

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Positions:
    """Q: account a holds `quantity[p]` units (negative: short) of instrument `indices[p]` for p in
    indptr[a]..indptr[a + 1]. The same instrument may appear twice; the parts add up.

    `gross` (A,): what this account gains in one instrument does not make up for what it loses in another
    (`risk.margin.gross`); None: everybody's does. It is carried along, and read by nobody who is not told to."""

    indptr: Integers
    indices: Integers
    quantity: Floats
    gross: Flags | None = None

    @property
    def accounts(self) -> int:
        """Number of rows."""
        return int(self.indptr.size - 1)

    @classmethod
    def from_rows(cls, rows: Sequence[Sequence[tuple[int, float]]]) -> Self:
        """One sequence of (instrument index, quantity) an account."""
        flat = [pair for row in rows for pair in row]
        return cls(
            indptr=np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64),
            indices=np.array([index for index, _ in flat], dtype=np.int64),
            quantity=np.array([quantity for _, quantity in flat], dtype=np.float64),
        )

    def check(self, instruments: int) -> None:
        """Raises ValueError unless every index names one of `instruments` rows and every quantity is finite: the
        compiled kernels do not look."""
        if self.indices.size and (self.indices.min() < 0 or self.indices.max() >= instruments):
            raise ValueError(f"a position names an instrument outside 0..{instruments - 1}")
        if not np.isfinite(self.quantity).all():
            raise ValueError("a position has a quantity that is not a number")
        if self.gross is not None and self.gross.shape != (self.accounts,):
            raise ValueError(f"flags of {self.gross.size} accounts for positions of {self.accounts}")
        if self.indptr[0] != 0 or self.indptr[-1] != self.indices.size or (np.diff(self.indptr) < 0).any():
            raise ValueError("row pointers do not cover the positions")

    def with_held(self, held: Self | None) -> Self:
        """Positions and collateral of the same accounts in one matrix, so that a fall of both is seen together. All of
        it nets."""
        if held is None:
            return self
        if held.accounts != self.accounts:
            raise ValueError(f"collateral of {held.accounts} accounts for positions of {self.accounts}")
        owner = np.concatenate([self.owners(), held.owners()])
        order = np.argsort(owner, kind="stable")
        return type(self)(
            indptr=self.indptr + held.indptr,
            indices=np.concatenate([self.indices, held.indices])[order],
            quantity=np.concatenate([self.quantity, held.quantity])[order],
        )

    def owners(self) -> Integers:
        """The account of each position."""
        return np.repeat(np.arange(self.accounts), np.diff(self.indptr))

    def slice(self, start: int, stop: int) -> Self:
        """Accounts start..stop-1, or as many of them as there are."""
        stop = min(stop, self.accounts)
        first, last = self.indptr[start], self.indptr[stop]
        return type(self)(
            indptr=self.indptr[start : stop + 1] - first,
            indices=self.indices[first:last],
            quantity=self.quantity[first:last],
            gross=None if self.gross is None else self.gross[start:stop],
        )

    def take(self, accounts: Integers) -> Self:
        """These accounts, in this order."""
        counts = np.diff(self.indptr)[accounts]
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        indices, quantity = np.empty(indptr[-1], dtype=np.int64), np.empty(indptr[-1])
        copy_books(indices, quantity, indptr, accounts, self.indptr, self.indices, self.quantity)
        return type(self)(indptr, indices, quantity, None if self.gross is None else self.gross[accounts])

    def by_instrument(self) -> tuple[Self, Integers]:
        """Every instrument that a gross account holds as an account of its own, in the order of accounts and
        instruments, and the account that each is of. In one instrument positions net."""
        owner = self.owners()
        mine = np.zeros(owner.size, dtype=np.bool_) if self.gross is None else self.gross[owner]
        rows = int(self.indices.max()) + 1 if self.indices.size else 1
        keys, which = np.unique(owner[mine] * rows + self.indices[mine], return_inverse=True)
        quantity = np.zeros(keys.size)
        np.add.at(quantity, which, self.quantity[mine])
        return type(self)(np.arange(keys.size + 1), keys % rows, quantity), keys // rows

    def weighted(self, per_unit: Floats) -> Floats:
        """(A,) sum of quantity times `per_unit` (I,) of the instrument."""
        total = np.zeros(self.accounts)
        np.add.at(total, self.owners(), self.quantity * per_unit[self.indices])
        return total
