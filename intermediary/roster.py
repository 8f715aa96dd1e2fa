"""Some relationships as columns, kept by a process for as long as nothing of any of them changes.

A tick takes thousands at a time. What their requirements rest on (`intermediary.standings`, `intermediary.books`)
seldom changes, so it is laid out for arithmetic on all of them at once. When the names of some are others now, these
are read again and their rows of the columns written anew; the rest stays.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from intermediary import standings
from intermediary.held_books import HeldBooks
from intermediary.margin_columns import MarginColumns
from intermediary.models import Asset, Cell
from intermediary.standings import Member, Standing

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

PARTS_KEPT = 16
WORTH_KEEPING = 3  # members: the two of each trade are renewed together once


class StandingFlags(NamedTuple):
    """(A,) whether the relationships may take new risk, or none and nothing worse; have terms, a default that lives, a
    call that has lapsed, one that asks for margin, and positions that do not net."""

    is_open: Flags
    is_closed_to_risk: Flags
    has_terms: Flags
    in_default: Flags
    has_lapsed: Flags
    has_calls: Flags
    is_gross: Flags


@dataclass(frozen=True, eq=False)
class Roster:
    """Relationships in the order of their keys; columns are (A,). The same object while nothing of them changes, and
    the same members but for those of whom something has changed."""

    members: Sequence[Member]
    cells: Sequence[str]  # their keys as text
    books: HeldBooks
    flags: StandingFlags
    margin: MarginColumns
    allowed: Integers  # by the credit line, base units, until `line_ends`, in seconds since 1970
    line_ends: Floats

    @classmethod
    def of(cls, members: Sequence[Member], assets: Mapping[str, Asset]) -> "Roster":
        """These; `assets` are all there are."""
        standing = [member.standing for member in members]
        return cls(
            members=members,
            cells=[item.key for item in standing],
            books=HeldBooks.of([member.book for member in members]),
            flags=StandingFlags(*_flags(standing)),
            margin=MarginColumns.of(standing, assets),
            allowed=np.array([_line_of(item)[0] for item in standing], dtype=np.int64),
            line_ends=np.array([_line_of(item)[1] for item in standing], dtype=np.float64),
        )

    def with_changes(self, changed: Mapping[int, Member]) -> "Roster":
        """The same with these instead of those at their places."""
        members = list(self.members)
        for place, member in changed.items():
            members[place] = member
        standing = {place: member.standing for place, member in changed.items()}
        flags = np.array(self.flags)
        allowed, ends, places = self.allowed.copy(), self.line_ends.copy(), list(changed)
        flags[:, places] = _flags(standing.values())
        allowed[places] = [_line_of(item)[0] for item in standing.values()]
        ends[places] = [_line_of(item)[1] for item in standing.values()]
        same_books = all(self.members[place].book is member.book for place, member in changed.items())
        return Roster(
            members=members,
            cells=self.cells,
            books=self.books if same_books else HeldBooks.of([member.book for member in members], self.books),
            flags=StandingFlags(*flags),
            margin=self.margin.with_changes(standing),
            allowed=allowed,
            line_ends=ends,
        )

    def thresholds(self, now: datetime) -> Integers:
        """`margining.threshold_of` each at this time, base units."""
        return np.where(self.line_ends > now.timestamp(), self.allowed, 0)


def _flags(standings: Iterable[Standing]) -> Flags:
    """A row for each of `StandingFlags`."""
    found: Flags = np.array([_flags_of(item) for item in standings], dtype=bool)
    return found.reshape(-1, len(StandingFlags._fields)).T


def _flags_of(standing: Standing) -> tuple[bool, ...]:
    is_open, is_closed = standing.state == Cell.State.OPEN, standing.state == Cell.State.NO_NEW_RISK
    has_terms, has_calls = standing.terms is not None, bool(standing.calls)
    return is_open, is_closed, has_terms, standing.in_default, standing.has_lapsed, has_calls, standing.is_gross


def _line_of(standing: Standing) -> tuple[int, float]:
    line = standing.allowance
    return (0, -np.inf) if line is None else (line.threshold_base_units, line.ends_at.timestamp())


class _Kept(NamedTuple):
    ids: tuple[UUID, ...]
    array: str
    names: list[str]
    roster: Roster


_kept: OrderedDict[tuple[UUID, ...], _Kept] = OrderedDict()  # by what was asked for
_known: list[tuple[str, int, str, bool]] = []  # tokens


def lock(cell_ids: Sequence[UUID], assets: Mapping[str, Asset]) -> Roster:
    """Lock these relationships as every writer does, and read them: two queries, and a dozen more for those of which
    something has changed, whatever their number. `assets` are all there are."""
    _forget_unless_known(assets)
    asked = tuple(cell_ids)
    kept = _kept.get(asked)
    ids = standings.in_order(asked) if kept is None else kept.ids
    array = standings.as_array(ids) if kept is None else kept.array
    names = standings.lock_and_name(array)
    assert len(names) == len(ids), "every relationship has names"
    if kept is None:
        roster = Roster.of(standings.members(ids, names), assets)
    elif places := [place for place, name in enumerate(names) if name != kept.names[place]]:
        found = standings.members([ids[place] for place in places], [names[place] for place in places])
        roster = kept.roster.with_changes(dict(zip(places, found, strict=True)))
    else:
        roster = kept.roster
    if len(ids) >= WORTH_KEEPING:
        _kept[asked] = _Kept(ids, array, names, roster)
        _kept.move_to_end(asked)
        if len(_kept) > PARTS_KEPT:
            _kept.popitem(last=False)
    return roster


def _forget_unless_known(assets: Mapping[str, Asset]) -> None:
    """What is kept of a relationship knows its tokens as they were."""
    global _known
    listed = [(asset.code, asset.decimals, asset.priced_as, asset.is_settlement) for asset in assets.values()]
    if listed != _known:
        _known = listed
        standings.forget()
        forget()


def forget() -> None:
    """Keep nothing: what a new process knows."""
    _kept.clear()
