"""The requirements of many relationships at once: the figures of `margining.assess` in a handful of queries.

Most relationships are quiet most of the time: the requirement changes, their vaults are told, and nothing else follows
from it. `read` locks a part of the relationships and has at hand all that their requirements depend on, `renew` stores
the figures of the quiet ones together and instructs their vaults. Nothing is done here to a relationship with which
something else must happen (a call opens, changes or ends, the right to new risk changes, a default lives): `renew`
names it, and the caller takes it alone through `margining.assess`, which gives the same figures and acts. The rules
themselves (`csa`, `calls.stands`, `vaults.requirements`, the worth of margin) stand elsewhere, once.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import numpy as np
from django.db import connection
from numpy.typing import NDArray

from intermediary import books, calls, claims, clock, margin_rows, outbox, roster, vaults
from intermediary.margin_rows import Columns, Figures
from intermediary.models import Asset, ChainInstruction, MarginCall, MarginState, Valuation
from intermediary.roster import Roster
from intermediary.standings import Standing, StandingCall
from intermediary.terms import Terms

Flags = NDArray[np.bool_]
Integers = NDArray[np.int64]

LARGEST = 2**60  # base units
MARGIN, COVERAGE = MarginCall.Kind.MARGIN.value, MarginCall.Kind.COVERAGE.value


class Requirements(NamedTuple):
    """What risk found for n relationships under one ruleset, by their places in the part, rising; the same words as
    `margining.assess` takes, documents as JSON. `repair` is what the admission test is short of, base units of margin.
    """

    places: Integers
    independent_amount_base_units: Integers
    ruleset_hash: str
    breakdown: Sequence[str]
    admission: Sequence[str]
    passed: Sequence[bool]
    repair: Sequence[int]


@dataclass(frozen=True)
class Part:
    """Some relationships, locked, with what their requirements depend on at one valuation. Base units.

    `exposure` (A,) is each member's, rounded up, where `has_marks`, and `worth` (A,) that of its margin; `later` are
    those that stand at a later valuation already. `keeps_history`: each gets a point of its margin's history, too.
    """

    valuation: Valuation
    now: datetime
    assets: Mapping[str, Asset]
    roster: Roster
    exposure: Integers
    has_marks: Flags
    worth: Integers
    later: Collection[UUID]
    keeps_history: bool


def read(cell_ids: Iterable[UUID], valuation: Valuation, *, keeps_history: bool = True) -> Part:
    """Lock these relationships and read them, some five queries whatever their number, and more for what has changed.

    Raises OverflowError where an amount is beyond 2**60 base units: the sum of a few must fit 64 bits."""
    assert connection.in_atomic_block, "a requirement belongs to a transaction"
    assets = {asset.code: asset for asset in Asset.objects.all()}
    present = roster.lock(list(cell_ids), assets)
    decimals = next(asset for asset in assets.values() if asset.is_settlement).decimals
    owed = present.books.exposures(valuation.id)
    gross = [present.members[place].cell_id for place in np.flatnonzero(present.flags.is_gross).tolist()]
    if claimed := claims.gross_exposures(gross, valuation.id):
        owed = [claimed.get(member.cell_id, due) for member, due in zip(present.members, owed, strict=True)]
    exposure = np.array([0 if due is None else books.base_units_up(due, decimals) for due in owed], dtype=np.int64)
    worth = present.margin.worth(valuation)
    for amounts in (exposure, present.allowed, worth):
        if (np.abs(amounts) >= LARGEST).any():
            raise OverflowError("an amount is beyond 2**60 base units")
    return Part(
        valuation=valuation,
        now=clock.now(),
        assets=assets,
        roster=present,
        exposure=exposure,
        has_marks=np.array([due is not None for due in owed], dtype=bool),
        worth=worth,
        later=_later([member.cell_id for member in present.members], valuation),
        keeps_history=keeps_history,
    )


def renew(part: Part, found: Iterable[Requirements]) -> list[UUID]:
    """Store the requirements of the quiet relationships and let their vaults follow; returns the others of the part,
    with whom something must happen or for whom nothing was found."""
    members, locks = part.roster.members, list[ChainInstruction]()
    acting = np.array([member.cell_id not in part.later for member in members], dtype=bool)
    may_be_quiet = _may_be_quiet(part) & acting
    threshold = part.roster.thresholds(part.now)
    for requirements in found:
        places, amounts = requirements.places, requirements.independent_amount_base_units
        owed, allowed, held = part.exposure[places], threshold[places], part.worth[places]
        required = np.maximum(0, owed + amounts - allowed)  # `csa.required_for`, of many
        quiet = may_be_quiet[places] & _keeps_its_rights(part.roster, requirements)
        _ask_those_in_doubt(part, requirements, quiet, np.stack([owed, amounts, allowed, held, required]))
        columns = Columns(
            [part.roster.cells[place] for place in places.tolist()],
            owed.tolist(), amounts.tolist(), allowed.tolist(), required.tolist(), held.tolist(),
            requirements.breakdown, requirements.admission,
        )  # fmt: skip
        stored = columns.only(quiet.tolist())
        margin_rows.store(part.valuation.id, requirements.ruleset_hash, stored, keeps_history=part.keeps_history)
        locks += _locks(part, places[quiet], required[quiet])
        acting[places[quiet]] = False
    outbox.instruct_all(locks)
    return [members[place].cell_id for place in np.flatnonzero(acting).tolist()]


def _later(cell_ids: list[UUID], valuation: Valuation) -> frozenset[UUID]:
    if not Valuation.objects.filter(as_of__gt=valuation.as_of).exists():
        return frozenset()
    later = MarginState.objects.filter(cell_id__among=cell_ids, valuation__as_of__gt=valuation.as_of)
    return frozenset(later.values_list("cell_id", flat=True))


def _may_be_quiet(part: Part) -> Flags:
    """(A,) of whom all figures can be found, and who is in no state in which `assess` has more to do."""
    present = part.roster
    has_figures: Flags = part.has_marks & present.flags.has_terms & present.margin.is_priced(part.valuation)
    return has_figures & ~present.flags.in_default & (present.flags.is_open | present.flags.is_closed_to_risk)


def _keeps_its_rights(present: Roster, found: Requirements) -> Flags:
    """(n,) whether the right to new risk stays as it is."""
    passed = np.array(found.passed, dtype=bool)
    opens = passed & ~present.flags.has_lapsed[found.places]
    return np.where(present.flags.is_open[found.places], passed, ~opens)


def _ask_those_in_doubt(part: Part, found: Requirements, quiet: Flags, figures: Integers) -> None:
    """Take from the quiet those whose call opens, changes or ends; `figures` (5, n): those of `Figures`, and required.

    Where nothing is missing and nothing asked for nothing follows."""
    missing, repair = figures[4] - figures[3], np.array(found.repair, dtype=np.int64)
    doubtful = quiet & ((missing > 0) | (repair > 0) | part.roster.flags.has_calls[found.places])
    for index in np.flatnonzero(doubtful).tolist():
        standing = part.roster.members[found.places[index]].standing
        row = Figures(*figures[:4, index].tolist())
        quiet[index] = _calls_stand(standing, row, int(missing[index]), int(repair[index]))


def _calls_stand(standing: Standing, figures: Figures, missing: int, repair: int) -> bool:
    assert standing.terms is not None, "figures are of a relationship with terms"
    terms, asking = standing.terms, standing.calls
    return _stays(asking.get(MARGIN), missing, calls.margin_delivery(figures, terms), terms) and _stays(
        asking.get(COVERAGE), repair, calls.delivery_of(repair, terms), terms
    )


def _stays(call: StandingCall | None, missing: int, delivery: int | None, terms: Terms) -> bool:
    """Whether `calls.renew` would do nothing."""
    if call is None:
        return not delivery
    wanted = calls.asked_for(missing, delivery, terms)
    return missing > 0 and calls.stands(call.state, call.unmet_base_units, wanted)


def _locks(part: Part, places: Integers, required: Integers) -> list[ChainInstruction]:
    """New numbers for the vaults of these that lock too much or too little; `required` is theirs."""
    everybody = np.zeros(len(part.roster.members), dtype=np.int64)
    everybody[places] = required
    right = part.roster.margin.locks_right(everybody, part.valuation)
    due: list[ChainInstruction] = []
    for place in places[~right[places]].tolist():
        standing = part.roster.members[place].standing
        if standing.vaults:
            assert standing.terms is not None, "figures are of a relationship with terms"
            due += vaults.requirements(
                standing.vaults,
                int(everybody[place]),
                standing.holdings,
                standing.terms,
                part.valuation,
                part.assets.values(),
            )
    return due
