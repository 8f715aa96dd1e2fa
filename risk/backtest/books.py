"""Whom the backtest margins: single names, hedged pairs and archetypes of relationships, each long and short.

A book is a row of weights known before its window, in fractions of gross notional (absolute weights sum to one), so
that losses of all books and dates compare. Linear positions only, for the files hold prices only: option books and
the cash-and-carry basis need surfaces and two prices of a coin, which no hourly file has.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TREND_WINDOWS = 7  # a week, the usual look-back of short-term trend followers


@dataclass(frozen=True)
class Book:
    """One series. `kind` single, pair or archetype; `symbols` those it can hold, in the file's names."""

    name: str
    kind: str
    symbols: tuple[str, ...]
    rule: str
    sign: float = 1.0


def books(symbols: tuple[str, ...]) -> tuple[Book, ...]:
    """Every book of a file: 2 C singles, C (C - 1) volatility-matched pairs, and the archetypes of C > 2 coins.
    `symbols` come oldest first: the first one stands for the market."""
    result = []
    for sign, side in ((1.0, "long"), (-1.0, "short")):
        result += [Book(f"{name} {side}", "single", (name,), "single", sign) for name in symbols]
        result += [Book(f"{a}/{b} {side}", "pair", (a, b), "pair", sign) for a, b in combinations(symbols, 2)]
        if len(symbols) > 2:
            result.append(Book(f"basket {side}", "archetype", symbols, "basket", sign))
            result.append(Book(f"others against {symbols[0]} {side}", "archetype", symbols, "against_first", sign))
    if len(symbols) > 2:
        result.append(Book("market maker", "archetype", symbols, "maker"))
        result.append(Book("trend follower", "archetype", symbols, "trend"))
    return tuple(result)


SHAPES = ("single", "pair", "basket", "against_first", "maker", "trend")  # rules, in the order of their weights


@dataclass(frozen=True)
class Holdings:
    """B books as arrays. `signs` (B, C): +1 and -1 of a single or a pair, the sign of an archetype in all its coins;
    `shape` (B,) the place of its rule in SHAPES; `named` (B,) whether it holds all its coins or nothing."""

    signs: Floats
    shape: NDArray[np.intp]
    named: NDArray[np.bool_]


def holdings(every: tuple[Book, ...], symbols: tuple[str, ...]) -> Holdings:
    """What each book holds, the same in all windows."""
    index = {name: position for position, name in enumerate(symbols)}
    signs = np.zeros((len(every), len(symbols)))
    for row, book in enumerate(every):
        columns = [index[name] for name in book.symbols]
        signs[row, columns] = book.sign * (np.array([1.0, -1.0]) if book.rule == "pair" else 1.0)
    shape = np.array([SHAPES.index(book.rule) for book in every], dtype=np.intp)
    return Holdings(signs, shape, np.array([book.kind != "archetype" for book in every]))


def weights(held: Holdings, deviation: Floats, past: Floats) -> Floats:
    """(B, C) weights for the coming window, `held` from `holdings`; zeros where a book's coins are not all known.

    `deviation` (C,) forecast volatility, NaN where a coin is unknown; `past` (n, C) the last returns, oldest first.
    Archetypes hold the coins that are known; the market maker has been left with what the market sold to it in the
    last window (against each move, in units of risk); the trend follower holds the sign of the last week.
    """
    known = np.isfinite(deviation)
    inverse = np.where(known, 1.0 / np.where(known, deviation, 1.0), 0.0)
    first = int(np.argmax(known))
    others = known.copy()
    others[first] = False
    moves = np.where(np.isnan(past), 0.0, past)
    several = float(known.sum() > 2)
    shapes = np.zeros((len(SHAPES), known.size))
    shapes[0] = 1.0
    shapes[1] = inverse
    shapes[2] = several * known
    shapes[3] = several * (others / max(int(others.sum()), 1))
    shapes[3, first] -= several
    shapes[4] = several * -moves[-1] * inverse**2
    shapes[5] = several * np.sign(moves[-TREND_WINDOWS:].sum(axis=0)) * inverse
    result = held.signs * shapes[held.shape]
    result[held.named & ((held.signs != 0.0) & ~known).any(axis=1)] = 0.0
    result *= known
    gross = np.abs(result).sum(axis=1, keepdims=True)
    normal: Floats = np.divide(result, gross, out=np.zeros_like(result), where=gross > 0.0)
    return normal
