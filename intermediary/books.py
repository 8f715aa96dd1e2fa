"""What relationships hold, kept by a process between valuations and checked against the database every time.

A book changes with a trade; the market moves all the time. So a worker keeps the books that it has read, each under the
names that the database gave it (`BookVersion`), and reads again only those whose name is another now. The names are
random and written by the change itself, in its transaction, so a kept book is never an old one: not after a change by
another process, a rollback, a restart, or when a relationship moves to another worker. For workers, who see every
relationship; pages read rows.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache
from operator import mul
from typing import Any, TypeVar
from uuid import UUID

from django.db import connection

from intermediary.models import Mark
from intermediary.money import EXACT

PLACES = 18  # of a quantity, a price and a settled value; products have twice as many
ONE: int = 10**PLACES
V = TypeVar("V")
Names = tuple[str, str]  # of what is held, and of what has been settled


@dataclass(frozen=True)
class HeldBook:
    """Open positions of one relationship in any order: instruments by `number_of`, quantities (long positive) and the
    settled value of all its positions as ints of 10**-18."""

    names: Names
    instruments: tuple[int, ...]
    quantities: tuple[int, ...]
    settled: int


NOTHING = HeldBook(("", ""), (), (), 0)
_kept: dict[UUID, HeldBook] = {}
_numbers: dict[UUID, int] = {}  # of instruments, as this process met them: a small int is found faster than a key


def number_of(instrument_id: UUID) -> int:
    """The place of an instrument in lists of this process, for as long as it lives."""
    return _numbers.setdefault(instrument_id, len(_numbers))


def listed(values: Mapping[UUID, V]) -> list[V | None]:
    """Values by the instruments' numbers; None where there is none."""
    places = {number_of(key): value for key, value in values.items()}
    return [places.get(number) for number in range(len(_numbers))]


def read(cell_ids: Collection[UUID]) -> dict[UUID, HeldBook]:
    """The books of these relationships as they are in the database now: one small query when none has changed."""
    names = {cell_id: (held, settled) for cell_id, held, settled in _rows(NAMES, list(cell_ids))}
    return read_named(cell_ids, names)


def read_named(cell_ids: Collection[UUID], names: Mapping[UUID, Names]) -> dict[UUID, HeldBook]:
    """The same when the names that the database gives them now have just been read (`NAMES`)."""
    found = dict(zip(names, read_in_order(list(names), list(names.values())), strict=True))
    return {cell_id: found.get(cell_id, NOTHING) for cell_id in cell_ids}


def read_in_order(cell_ids: Sequence[UUID], names: Sequence[Names]) -> list[HeldBook]:
    """The same where each has a name, in their order."""
    kept = [_kept.get(cell_id) for cell_id in cell_ids]
    changed = [index for index, book in enumerate(kept) if book is None or book.names != names[index]]
    if not changed:
        return kept  # type: ignore[return-value]  # none is missing
    _settle_again([cell_ids[index] for index in changed if _is_settled_anew(kept[index], names[index])])
    # What was settled while this was read has another name still.
    _read_again([key for index in changed if (key := cell_ids[index]) not in _kept or _kept[key].names != names[index]])
    return [_kept[cell_id] for cell_id in cell_ids]


def exposures(cell_ids: Collection[UUID], valuation_id: UUID) -> dict[UUID, int | None]:
    """What each client owes since the last payment at a valuation, ints of 10**-36 dollars; negative: owed to it.
    None where an instrument that is held has no mark. The same number as `variation.exposure`."""
    held = read(cell_ids)
    prices = marks(valuation_id)
    return {cell_id: _exposure(book, prices) for cell_id, book in held.items()}


def owed(book: HeldBook, valuation_id: UUID) -> int | None:
    """The same of one book that has been read."""
    return _exposure(book, marks(valuation_id))


def whole(value: Decimal) -> int:
    """A value of 18 places as an int of 10**-18."""
    return int(value.scaleb(PLACES, EXACT))


def dollars(exposure: int) -> Decimal:
    """An exposure in dollars, exact."""
    return Decimal(exposure).scaleb(-2 * PLACES, EXACT)


def base_units_up(exposure: int, decimals: int) -> int:
    """An exposure in base units of a token of a dollar, rounded up: against the client, who owes it."""
    unit: int = 10 ** (2 * PLACES - decimals)
    return -(-exposure // unit)


def forget() -> None:
    """Keep no book: what a new process knows."""
    _kept.clear()


def _exposure(book: HeldBook, prices: Sequence[int | None]) -> int | None:
    marks = [prices[number] for number in book.instruments]
    if None in marks:
        return None
    worth: int = sum(map(mul, book.quantities, marks))
    return book.settled * ONE - worth


def marks(valuation_id: UUID) -> list[int | None]:
    """Marks of a valuation by the instruments' numbers, ints of 10**-18: the same list while no instrument is new.
    They are written with their valuation, for good; there is a place for each instrument met so far."""
    return _read_marks(valuation_id, len(_numbers))


@lru_cache(maxsize=2)
def _read_marks(valuation_id: UUID, _: int) -> list[int | None]:
    marks = Mark.objects.filter(valuation_id=valuation_id).values_list("instrument_id", "price")
    return listed({key: whole(price) for key, price in marks})


def _is_settled_anew(kept: HeldBook | None, now: Names) -> bool:
    return kept is not None and kept.names[0] == now[0] and kept.names[1] != now[1]


def _settle_again(cell_ids: Sequence[UUID]) -> None:
    """Only what was paid has changed. A book that changed meanwhile gets a name that asks for all of it."""
    for cell_id, held, settled, value in _rows(_SETTLED, cell_ids):
        kept = _kept[cell_id]
        if kept.names[0] == held:
            _kept[cell_id] = replace(kept, names=(held, settled), settled=whole(value))


def _read_again(cell_ids: Sequence[UUID]) -> None:
    for cell_id, held, settled, value, instruments, quantities in _rows(_HELD, cell_ids):
        _kept[cell_id] = HeldBook(
            names=(held, settled),
            instruments=tuple(map(number_of, instruments or ())),
            quantities=tuple(map(whole, quantities or ())),
            settled=whole(value),
        )


def _rows(query: str, cell_ids: Sequence[UUID]) -> list[Any]:
    """Names and rows by one statement each, so that a name never stands for other rows."""
    if not cell_ids:
        return []
    with connection.cursor() as cursor:
        cursor.execute(query, [list(cell_ids)])
        found: list[Any] = cursor.fetchall()
    return found


NAMES = "SELECT cell_id, held::text, settled::text FROM intermediary_bookversion WHERE cell_id = ANY(%s)"
_SETTLED = """
    SELECT named.cell_id, named.held::text, named.settled::text, coalesce(sum(position.settled_value), 0)
    FROM intermediary_bookversion AS named LEFT JOIN intermediary_position AS position USING (cell_id)
    WHERE named.cell_id = ANY(%s) GROUP BY named.cell_id"""
_HELD = """
    SELECT named.cell_id, named.held::text, named.settled::text, coalesce(sum(position.settled_value), 0),
        array_agg(position.instrument_id) FILTER (WHERE position.quantity <> 0),
        array_agg(position.quantity) FILTER (WHERE position.quantity <> 0)
    FROM intermediary_bookversion AS named LEFT JOIN intermediary_position AS position USING (cell_id)
    WHERE named.cell_id = ANY(%s) GROUP BY named.cell_id"""
