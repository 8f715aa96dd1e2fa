"""The requirements of many relationships at once: the figures of `margining.assess` in a handful of queries.

Most relationships are quiet most of the time: the requirement changes, their vaults are told, and nothing else follows
from it. `read` locks a part of the relationships and reads all that their requirements depend on, `renew` stores the
figures of the quiet ones together and instructs their vaults. Nothing is done here to a relationship with which
something else must happen (a call opens, changes or ends, the right to new risk changes, a default lives): `renew`
names it, and the caller takes it alone through `margining.assess`, which gives the same figures and acts. The rules
themselves (`csa`, `calls.stands`, `vaults.requirements`, the worth of margin) stand elsewhere, once.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Sum

from intermediary import books, calls, clock, ledger, margin_rows, outbox, vaults
from intermediary.allowance import allowances
from intermediary.collateral import counted, value_of_holdings
from intermediary.csa import required_for
from intermediary.margin_rows import Figures
from intermediary.models import (
    Asset,
    Cell,
    ChainInstruction,
    DefaultCase,
    MarginCall,
    MarginState,
    Valuation,
)
from intermediary.onboarding import terms_of_cells
from intermediary.terms import Terms
from intermediary.vaults import Vault


@dataclass(frozen=True)
class Requirement:
    """What risk found for one relationship; the same words as `margining.assess` takes."""

    cell_id: UUID
    independent_amount_base_units: int
    ruleset_hash: str
    breakdown: dict[str, Any]
    admission: dict[str, Any]


@dataclass(frozen=True)
class StandingCall:
    """A call that still asks for margin."""

    state: str
    unmet_base_units: int


@dataclass(frozen=True)
class Part:
    """Some relationships, locked, with what their requirements depend on at one valuation. Base units.

    `exposure` is rounded up, and None where a mark is missing; `terms` leaves out who has none; `later` are those
    that stand at a later valuation already; `troubled` those with a lapsed call or a live default.
    """

    valuation: Valuation
    cells: Mapping[UUID, Cell]
    assets: Mapping[str, Asset]
    terms: Mapping[UUID, Terms]
    exposure: Mapping[UUID, int | None]
    threshold: Mapping[UUID, int]
    holdings: Mapping[UUID, Mapping[str, int]]
    vaults: Mapping[UUID, Sequence[Vault]]
    calls: Mapping[tuple[UUID, str], StandingCall]
    troubled: frozenset[UUID]
    in_default: frozenset[UUID]
    later: frozenset[UUID]


def read(cell_ids: Iterable[UUID], valuation: Valuation) -> Part:
    """Lock these relationships and read them, some fifteen queries whatever their number."""
    assert connection.in_atomic_block, "a requirement belongs to a transaction"
    cells = ledger.lock_cells(cell_ids)
    ids = list(cells)
    lapsed, standing = _calls(ids)
    in_default = _in_default(ids)
    assets = {asset.code: asset for asset in Asset.objects.all()}
    later = MarginState.objects.filter(cell_id__among=ids, valuation__as_of__gt=valuation.as_of)
    return Part(
        valuation=valuation,
        cells=cells,
        assets=assets,
        terms=terms_of_cells(ids),
        exposure=_exposures(ids, valuation, assets.values()),
        threshold=_thresholds(ids),
        holdings=counted(ids),
        vaults=vaults.read(ids),
        calls=standing,
        troubled=lapsed | in_default,
        in_default=in_default,
        later=frozenset(later.values_list("cell_id", flat=True)),
    )


def renew(part: Part, found: Iterable[Requirement]) -> list[UUID]:
    """Store the requirements of the quiet relationships and let their vaults follow; returns the others of the part,
    with whom something must happen or for whom nothing was found."""
    states = [state for requirement in found if (state := _state(part, requirement)) and _is_quiet(part, state)]
    margin_rows.store(part.valuation.id, states)
    outbox.instruct_all([instruction for state in states for instruction in _locks(part, state)])
    return sorted(part.cells.keys() - part.later - {state.cell_id for state in states})


def _state(part: Part, found: Requirement) -> Figures | None:
    """The figures of one relationship; None when something that they need is missing: `assess` will refuse."""
    cell_id = found.cell_id
    owed, terms, holdings = part.exposure[cell_id], part.terms.get(cell_id), part.holdings.get(cell_id, {})
    if owed is None or terms is None or not _is_priced(part, holdings, part.vaults.get(cell_id, ())):
        return None
    threshold = part.threshold[cell_id]
    return Figures(
        cell_id=cell_id,
        exposure_base_units=owed,
        independent_amount_base_units=found.independent_amount_base_units,
        threshold_base_units=threshold,
        required_base_units=required_for(owed, found.independent_amount_base_units, threshold),
        held_base_units=value_of_holdings(holdings, part.valuation, terms, part.assets),
        ruleset_hash=found.ruleset_hash,
        breakdown=found.breakdown,
        admission=found.admission,
    )


def _is_priced(part: Part, holdings: Mapping[str, int], vaults_: Sequence[Vault]) -> bool:
    used = [part.assets[code] for code in holdings] + [vault.asset for vault in vaults_ if vault.required_in_force]
    return all(not asset.priced_as or asset.priced_as in part.valuation.prices for asset in used)


def _is_quiet(part: Part, state: Figures) -> bool:
    """Whether nothing follows from these figures but what the vaults lock."""
    cell = part.cells[state.cell_id]
    if cell.id in part.in_default or cell.state not in (Cell.State.OPEN, Cell.State.NO_NEW_RISK):
        return False
    return (
        cell.id not in part.later
        and _keeps_its_rights(part, cell, passed=bool(state.admission["passed"]))
        and _keeps_its_call(part, state)
        and _keeps_its_coverage_call(part, state)
    )


def _keeps_its_rights(part: Part, cell: Cell, *, passed: bool) -> bool:
    if cell.state == Cell.State.OPEN:
        return passed
    return not passed or cell.id in part.troubled


def _keeps_its_call(part: Part, state: Figures) -> bool:
    terms = part.terms[state.cell_id]
    missing = state.required_base_units - state.held_base_units
    delivery = calls.margin_delivery(state, terms)
    return _stays(part.calls.get((state.cell_id, MarginCall.Kind.MARGIN)), missing, delivery, terms)


def _keeps_its_coverage_call(part: Part, state: Figures) -> bool:
    terms, missing = part.terms[state.cell_id], calls.coverage_missing(state.admission)
    call = part.calls.get((state.cell_id, MarginCall.Kind.COVERAGE))
    return _stays(call, missing, calls.delivery_of(missing, terms), terms)


def _stays(call: StandingCall | None, missing: int, delivery: int | None, terms: Terms) -> bool:
    """Whether `calls.renew` would do nothing."""
    if call is None:
        return not delivery
    wanted = calls.asked_for(missing, delivery, terms)
    return missing > 0 and calls.stands(call.state, call.unmet_base_units, wanted)


def _locks(part: Part, state: Figures) -> list[ChainInstruction]:
    """New numbers for the vaults that lock too much or too little."""
    present, terms = part.vaults.get(state.cell_id), part.terms[state.cell_id]
    if not present:
        return []
    holdings, assets = part.holdings.get(state.cell_id, {}), part.assets.values()
    return vaults.requirements(present, state.required_base_units, holdings, terms, part.valuation, assets)


def _exposures(cell_ids: Sequence[UUID], valuation: Valuation, assets: Iterable[Asset]) -> dict[UUID, int | None]:
    decimals = next(asset for asset in assets if asset.is_settlement).decimals
    owed = books.exposures(cell_ids, valuation.id)
    return {key: None if found is None else books.base_units_up(found, decimals) for key, found in owed.items()}


def _thresholds(cell_ids: Sequence[UUID]) -> dict[UUID, int]:
    """`margining.threshold_of` of each."""
    granted = allowances(cell_ids, clock.now())
    return {key: granted[key].threshold_base_units if key in granted else 0 for key in cell_ids}


def _calls(cell_ids: Sequence[UUID]) -> tuple[frozenset[UUID], dict[tuple[UUID, str], StandingCall]]:
    """Who has a lapsed call, and each relationship's `calls.current` of each kind."""
    pending = MarginCall.objects.filter(cell_id__among=cell_ids, state__in=calls.PENDING_STATES).order_by("id")
    lapsed: set[UUID] = set()
    standing: dict[tuple[UUID, str], StandingCall] = {}
    for call in pending.annotate(unmet=Sum("increments__unmet_base_units")):
        if call.state == MarginCall.State.LAPSED:
            lapsed.add(call.cell_id)
        if call.direction == MarginCall.Direction.DELIVERY:
            standing[call.cell_id, call.kind] = StandingCall(call.state, int(call.unmet or 0))
    return frozenset(lapsed), standing


def _in_default(cell_ids: Sequence[UUID]) -> frozenset[UUID]:
    live = DefaultCase.objects.filter(cell_id__among=cell_ids).exclude(state__in=["CURED", "CLOSED"])
    return frozenset(live.values_list("cell_id", flat=True))
