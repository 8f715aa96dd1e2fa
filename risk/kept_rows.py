"""What relationships hold as rows of the matrices, kept by a worker between ticks.

A row is the place of an instrument among those that the market of a tick values; it stays while the same instruments
are valued. What a process keeps of a relationship (`intermediary.books`, `intermediary.standings`) and of a part of
them (`intermediary.roster`) is the same object for as long as nothing of it changes, so the rows made of it are too.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from intermediary import books
from intermediary.books import HeldBook
from intermediary.collateral import eligible
from intermediary.models import Asset
from intermediary.money import from_base_units
from intermediary.roster import PARTS_KEPT, WORTH_KEEPING, Roster
from intermediary.standings import Member, Standing
from intermediary.terms import Terms
from risk.book import Universe
from risk.figures import NOTHING, Rows, flagged, layers_of, resources_of, stacked
from risk.margin.admission import Resources
from risk.margin.kept_tails import KeptBooks
from risk.margin.positions import Positions
from risk.margin.verdicts import Layers
from risk.period import rules_of

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Places:
    """Where what can be held stands among the valued instruments: those by their numbers in `books` (-1: nowhere),
    margin by its code."""

    of_number: Integers
    of_asset: Mapping[str, int]
    unvalued: frozenset[UUID | str]


class KeptRows(NamedTuple):
    """One relationship's, in the order of the rows: its ruleset, positions, margin that counts, and what its layers
    can still pay. `is_valued`: nothing is held that the market cannot value. `is_gross`: its positions do not net."""

    ruleset: str
    positions: Rows
    margin: Rows
    layers: Resources
    is_valued: bool
    is_gross: bool

    def holds(self, rows: Integers) -> bool:
        """Whether a position or margin stands in one of these rows."""
        return any(bool(np.isin(held, rows).any()) for held, _ in (self.positions, self.margin))


@dataclass(frozen=True)
class RulesetBooks:
    """Those of a part that are margined under one ruleset: their places in the roster, rising, their positions and
    margin, and their layers beside no exposure. `tails`: what partial ticks know of the worst scenarios of these
    books, as long as they are these."""

    ruleset: str
    members_at: Integers
    positions: Positions
    margin: Positions
    layers: Layers
    tails: KeptBooks = field(default_factory=KeptBooks, compare=False)

    @classmethod
    def of(cls, ruleset: str, members: Mapping[int, KeptRows]) -> "RulesetBooks":
        """These, by their places."""
        rows = list(members.values())
        positions = stacked([item.positions for item in rows])
        return cls(
            ruleset,
            np.array(list(members), dtype=np.int64),
            flagged(positions, [item.is_gross for item in rows]),
            stacked([item.margin for item in rows]),
            layers_of([item.layers for item in rows], [0] * len(rows)),
        )


class _Part(NamedTuple):
    cells: Sequence[str]
    places: Places
    members: Sequence[Member]
    rows: Sequence[KeptRows | None]
    books: Sequence[RulesetBooks]


_places = Places(np.empty(0, dtype=np.int64), {}, frozenset())
_kept: dict[UUID, tuple[HeldBook, Standing, Places, KeptRows]] = {}
_parts: OrderedDict[int, _Part] = OrderedDict()  # by the list of keys that its rosters share


def forget() -> None:
    """Keep nothing: what a new process knows."""
    _kept.clear()
    _parts.clear()


def places_in(universe: Universe) -> Places:
    """The places of this universe: the same object while they are the same."""
    global _places
    listed = books.listed(universe.row_of_instrument)
    found = Places(
        np.array([-1 if row is None else row for row in listed], dtype=np.int64),
        universe.row_of_asset,
        frozenset(universe.unvalued),
    )
    same = np.array_equal(found.of_number, _places.of_number) and found.of_asset == _places.of_asset
    if not same or found.unvalued != _places.unvalued:
        _places = found
    return _places


def books_of(roster: Roster, places: Places, assets: Mapping[str, Asset]) -> Sequence[RulesetBooks]:
    """The books of a part by ruleset: of everybody who has terms and holds nothing that the market cannot value."""
    kept = _parts.get(id(roster.cells))
    if kept is None or kept.cells is not roster.cells or kept.places is not places:
        rows = [_rows_of(member, places, assets) for member in roster.members]
        kept = _Part(roster.cells, places, roster.members, rows, _by_ruleset(rows))
    elif kept.members is not roster.members:
        kept = _with_changes(kept, roster, assets)
    if len(roster.members) >= WORTH_KEEPING:
        _parts[id(roster.cells)] = kept
        _parts.move_to_end(id(roster.cells))
        if len(_parts) > PARTS_KEPT:
            _parts.popitem(last=False)
    return kept.books


def books_without(
    roster: Roster, places: Places, assets: Mapping[str, Asset], rows: Integers
) -> Sequence[RulesetBooks]:
    """The same of those who hold nothing in these rows of the matrices."""
    found = [_rows_of(member, places, assets) for member in roster.members]
    return _by_ruleset([None if item is None or item.holds(rows) else item for item in found])


def _with_changes(kept: _Part, roster: Roster, assets: Mapping[str, Asset]) -> _Part:
    """Most changes are of numbers that vaults lock, and leave books and margin as they were."""
    rows, same = list(kept.rows), True
    for place, (before, now) in enumerate(zip(kept.members, roster.members, strict=True)):
        if before is not now:
            rows[place] = _rows_of(now, kept.places, assets)
            same = same and _are_equal(kept.rows[place], rows[place])
    return kept._replace(members=roster.members, rows=rows, books=kept.books if same else _by_ruleset(rows))


def _are_equal(one: KeptRows | None, other: KeptRows | None) -> bool:
    if one is None or other is None:
        return one is other
    plain = one._replace(positions=NOTHING, margin=NOTHING) == other._replace(positions=NOTHING, margin=NOTHING)
    pairs = zip((*one.positions, *one.margin), (*other.positions, *other.margin), strict=True)
    return plain and all(np.array_equal(mine, yours) for mine, yours in pairs)


def _by_ruleset(rows: Sequence[KeptRows | None]) -> list[RulesetBooks]:
    found: dict[str, dict[int, KeptRows]] = {}
    for place, item in enumerate(rows):
        if item is not None and item.is_valued:
            found.setdefault(item.ruleset, {})[place] = item
    return [RulesetBooks.of(name, members) for name, members in found.items()]


def _rows_of(member: Member, places: Places, assets: Mapping[str, Asset]) -> KeptRows | None:
    """The rows of one relationship; None without terms, when there is nothing to compute."""
    cell_id, standing, book = member
    kept = _kept.get(cell_id)
    if kept is not None and kept[0].quantities is book.quantities and kept[1] is standing and kept[2] is places:
        return kept[3]
    if standing.terms is None:
        return None
    rows = places.of_number[np.array(book.instruments, dtype=np.int64)]
    # A quotient of ints is rounded to the nearest float, as a decimal is.
    quantities = np.array([units / books.ONE for units in book.quantities])
    order = np.argsort(rows, kind="stable")
    made = KeptRows(
        ruleset=rules_of(standing.terms),
        positions=(rows[order], quantities[order]),
        margin=_margin(standing.holdings, standing.terms, places, assets),
        layers=resources_of(standing.layers, 0),
        is_valued=bool((rows >= 0).all()) and not places.unvalued & standing.holdings.keys(),
        is_gross=standing.is_gross,
    )
    _kept[cell_id] = book, standing, places, made
    return made


def _margin(holdings: Mapping[str, int], terms: Terms, places: Places, assets: Mapping[str, Asset]) -> Rows:
    counting = {code: amount for code, amount in eligible(holdings, terms).items() if code in places.of_asset}
    found = sorted(
        (places.of_asset[code], float(from_base_units(amount, assets[code].decimals)))
        for code, amount in counting.items()
    )
    return (
        np.array([row for row, _ in found], dtype=np.int64),
        np.array([tokens for _, tokens in found], dtype=np.float64),
    )
