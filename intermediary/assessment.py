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

from django.db import connection

from intermediary import books, calls, claims, clock, margin_rows, outbox, standings, vaults
from intermediary.csa import required_for
from intermediary.margin_rows import Figures
from intermediary.models import Asset, Cell, ChainInstruction, MarginCall, MarginState, Valuation
from intermediary.standings import Member, Standing, StandingCall
from intermediary.terms import Terms

QUIET_STATES = (Cell.State.OPEN.value, Cell.State.NO_NEW_RISK.value)
MARGIN, COVERAGE = MarginCall.Kind.MARGIN.value, MarginCall.Kind.COVERAGE.value


class Requirement(NamedTuple):
    """What risk found for one relationship, by its place in the part; the same words as `margining.assess` takes,
    documents as JSON. `repair` is what the admission test is short of, base units of margin."""

    place: int
    independent_amount_base_units: int
    ruleset_hash: str
    breakdown: str
    admission: str
    passed: bool
    repair: int


@dataclass(frozen=True)
class Part:
    """Some relationships, locked, with what their requirements depend on at one valuation. Base units.

    `exposure` is each member's, rounded up, and None where a mark is missing; `later` are those that stand at a later
    valuation already. `keeps_history`: each gets a point of its margin's history, too.
    """

    valuation: Valuation
    now: datetime
    assets: Mapping[str, Asset]
    members: Sequence[Member]
    exposure: Sequence[int | None]
    later: Collection[UUID]
    keeps_history: bool


def read(cell_ids: Iterable[UUID], valuation: Valuation, *, keeps_history: bool = True) -> Part:
    """Lock these relationships and read them, some six queries whatever their number, and more for what has changed."""
    assert connection.in_atomic_block, "a requirement belongs to a transaction"
    members = standings.lock(list(cell_ids))
    assets = {asset.code: asset for asset in Asset.objects.all()}
    decimals = next(asset for asset in assets.values() if asset.is_settlement).decimals
    owed = books.exposures_of((member.book for member in members), valuation.id)
    gross = claims.gross_exposures([member.cell_id for member in members if member.standing.is_gross], valuation.id)
    if gross:
        owed = [gross.get(member.cell_id, due) for member, due in zip(members, owed, strict=True)]
    return Part(
        valuation=valuation,
        now=clock.now(),
        assets=assets,
        members=members,
        exposure=[None if due is None else books.base_units_up(due, decimals) for due in owed],
        later=_later([member.cell_id for member in members], valuation),
        keeps_history=keeps_history,
    )


def renew(part: Part, found: Iterable[Requirement]) -> list[UUID]:
    """Store the requirements of the quiet relationships and let their vaults follow; returns the others of the part,
    with whom something must happen or for whom nothing was found."""
    states: list[Figures] = []
    locks: list[ChainInstruction] = []
    acting: list[Member | None] = list(part.members)
    for requirement in found:
        member = part.members[requirement.place]
        state = _state(part, member.standing, requirement)
        if state is not None and _is_quiet(member, requirement, state, part.later):
            states.append(state)
            locks += _locks(part, member.standing, state)
            acting[requirement.place] = None
    margin_rows.store(part.valuation.id, states, keeps_history=part.keeps_history)
    outbox.instruct_all(locks)
    return [member.cell_id for member in acting if member is not None and member.cell_id not in part.later]


def _later(cell_ids: list[UUID], valuation: Valuation) -> frozenset[UUID]:
    if not Valuation.objects.filter(as_of__gt=valuation.as_of).exists():
        return frozenset()
    later = MarginState.objects.filter(cell_id__among=cell_ids, valuation__as_of__gt=valuation.as_of)
    return frozenset(later.values_list("cell_id", flat=True))


def _state(part: Part, standing: Standing, found: Requirement) -> Figures | None:
    """The figures of one relationship; None when something that they need is missing: `assess` will refuse."""
    owed = part.exposure[found.place]
    if owed is None or standing.terms is None or not _is_priced(part, standing):
        return None
    threshold = standing.threshold(part.now)
    return Figures(
        standing.key,
        owed,
        found.independent_amount_base_units,
        threshold,
        required_for(owed, found.independent_amount_base_units, threshold),
        standing.worth(part.valuation, part.assets),
        found.ruleset_hash,
        found.breakdown,
        found.admission,
    )


def _is_priced(part: Part, standing: Standing) -> bool:
    prices = part.valuation.prices
    return all(not (coin := part.assets[code].priced_as) or coin in prices for code in standing.tokens)


def _is_quiet(member: Member, found: Requirement, state: Figures, later: Collection[UUID]) -> bool:
    """Whether nothing follows from these figures but what the vaults lock."""
    standing = member.standing
    assert standing.terms is not None, "figures are of a relationship with terms"
    if standing.in_default or standing.state not in QUIET_STATES or (later and member.cell_id in later):
        return False
    if not _keeps_its_rights(standing, passed=found.passed):
        return False
    missing = state.required_base_units - state.held_base_units
    if missing <= 0 and not found.repair and not standing.calls:
        return True
    terms, asking = standing.terms, standing.calls
    return _stays(asking.get(MARGIN), missing, calls.margin_delivery(state, terms), terms) and _stays(
        asking.get(COVERAGE), found.repair, calls.delivery_of(found.repair, terms), terms
    )


def _keeps_its_rights(standing: Standing, *, passed: bool) -> bool:
    if standing.state == Cell.State.OPEN:
        return passed
    return not passed or standing.has_lapsed or standing.in_default


def _stays(call: StandingCall | None, missing: int, delivery: int | None, terms: Terms) -> bool:
    """Whether `calls.renew` would do nothing."""
    if call is None:
        return not delivery
    wanted = calls.asked_for(missing, delivery, terms)
    return missing > 0 and calls.stands(call.state, call.unmet_base_units, wanted)


def _locks(part: Part, standing: Standing, state: Figures) -> list[ChainInstruction]:
    """New numbers for the vaults that lock too much or too little."""
    required = state.required_base_units
    if not standing.vaults or standing.is_locked_right(required):
        return []
    assert standing.terms is not None, "figures are of a relationship with terms"
    due = vaults.requirements(
        standing.vaults, required, standing.holdings, standing.terms, part.valuation, part.assets.values()
    )
    if not due and not any(part.assets[code].priced_as for code in standing.tokens):
        standing.locks_right_for(required)
    return due
