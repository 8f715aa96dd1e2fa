"""What a requirement rests on beside book and market, kept by a process between valuations.

Terms, margin, vaults, calls, the credit line, layers and defaults change with what people do; the market moves all the
time. So a worker keeps them as it keeps books (`intermediary.books`): under the name that the database gives them
anew with every change of one of them, in the transaction of the change (`BookVersion.standing`). Names are read first
and rows after, so a name never stands for older rows than those it was given to. A line that ends does so by the
clock: its end is kept with it. For workers; pages read rows.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import NamedTuple
from uuid import UUID

from django.db import connection
from django.db.models import Sum

from intermediary import books, calls, clock, vaults
from intermediary.allowance import Allowance, allowances
from intermediary.books import HeldBook
from intermediary.collateral import counted, value_of_holdings
from intermediary.models import Asset, Cell, DefaultCase, Layer, MarginCall, Party, Valuation
from intermediary.models.bulk import TIMES
from intermediary.onboarding import terms_of_cells
from intermediary.terms import Terms
from intermediary.vaults import Vault


@dataclass(frozen=True, slots=True)
class StandingCall:
    """A call that still asks for margin."""

    state: str
    unmet_base_units: int


@dataclass(frozen=True, slots=True)
class Standing:
    """One relationship's; base units. `terms` are None where none are signed, `allowance` where no line is active.
    `is_gross`: no opinion says that its positions net."""

    state: str
    terms: Terms | None
    allowance: Allowance | None
    holdings: Mapping[str, int]
    vaults: Sequence[Vault]
    calls: Mapping[str, StandingCall]
    has_lapsed: bool
    in_default: bool
    is_gross: bool
    layers: Sequence[Layer]
    tokens: tuple[str, ...]  # of which something is held, or locked
    key: str  # of the cell, as text
    # Found out once, as long as no price enters: requirements for which the vaults lock what they should, and the
    # value of the margin.
    locked_right: list[int]
    fixed_worth: list[int]

    def threshold(self, now: datetime) -> int:
        """`margining.threshold_of` at this time."""
        if self.allowance is None or self.allowance.ends_at <= now:
            return 0
        return self.allowance.threshold_base_units

    def worth(self, valuation: Valuation, assets: Mapping[str, Asset]) -> int:
        """Value of the margin after haircut, `terms` given; computed once where no price enters."""
        assert self.terms is not None, "without terms nothing counts"
        if self.fixed_worth:
            return self.fixed_worth[0]
        value = value_of_holdings(self.holdings, valuation, self.terms, assets)
        if not any(assets[code].priced_as for code in self.holdings):
            self.fixed_worth.append(value)
        return value

    def is_locked_right(self, required: int) -> bool:
        """Whether the vaults need no new numbers for this requirement, for all that is known: what they should lock
        rises with it, so between two requirements for which they need none they need none."""
        known = self.locked_right
        return bool(known) and known[0] <= required <= known[-1]

    def locks_right_for(self, required: int) -> None:
        """Remember that the vaults need no new numbers for this requirement. Only where no price enters."""
        known = [required, *self.locked_right]
        self.locked_right[:] = [min(known), max(known)]


class Member(NamedTuple):
    """A relationship, locked, with what it stands on and holds now."""

    cell_id: UUID
    standing: Standing
    book: HeldBook


_kept: dict[UUID, tuple[str, Standing]] = {}  # by cell, under its name


def lock(cell_ids: Collection[UUID]) -> list[Member]:
    """Lock these relationships as every writer does, and read them, in the order of their keys.

    Two queries, and a dozen more for those of which something has changed, whatever their number.
    """
    assert connection.in_atomic_block, "a lock belongs to a transaction"
    ids = sorted(set(cell_ids), key=attrgetter("int"))
    listed = ["{" + ",".join(map(str, ids)) + "}"]
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, listed)
        # A statement of its own: whoever waits for a lock sees what the other did only in the next one.
        cursor.execute(_NAMES, listed)
        names = cursor.fetchall()
    assert len(names) == len(ids), "every relationship has names"
    standing_now = [
        kept[1] if (kept := _kept.get(key)) is not None and kept[0] == name[2] else None
        for key, name in zip(ids, names, strict=True)
    ]
    changed = {ids[index]: names[index][2] for index, found in enumerate(standing_now) if found is None}
    for key, standing in _read(list(changed)).items():
        _kept[key] = changed[key], standing
    held = books.read_in_order(ids, [name[:2] for name in names])
    found = (now or _kept[key][1] for key, now in zip(ids, standing_now, strict=True))
    return list(map(Member, ids, found, held))


def forget() -> None:
    """Keep nothing: what a new process knows."""
    _kept.clear()


def _read(cell_ids: Sequence[UUID]) -> dict[UUID, Standing]:
    if not cell_ids:
        return {}
    of_cells = Cell.objects.filter(id__among=cell_ids).values_list("id", "state", "party__netting_opinion")
    signed, held, present = terms_of_cells(cell_ids), counted(cell_ids), vaults.read(cell_ids)
    lines, layers = allowances(cell_ids, clock.now()), _layers(cell_ids)
    lapsed, asking = _calls(cell_ids)
    live = DefaultCase.objects.filter(cell_id__among=cell_ids).exclude(state__in=["CURED", "CLOSED"])
    in_default = set(live.values_list("cell_id", flat=True))
    return {
        key: Standing(
            state=state,
            terms=signed.get(key),
            allowance=lines.get(key),
            holdings=held.get(key, {}),
            vaults=present.get(key, ()),
            calls=asking.get(key, {}),
            has_lapsed=key in lapsed,
            in_default=key in in_default,
            is_gross=opinion == Party.NettingOpinion.NONE,
            layers=layers.get(key, ()),
            tokens=_tokens(held.get(key, {}), present.get(key, ())),
            key=str(key),
            locked_right=[],
            fixed_worth=[],
        )
        for key, state, opinion in of_cells
    }


def _tokens(holdings: Mapping[str, int], present: Sequence[Vault]) -> tuple[str, ...]:
    return tuple({*holdings, *(vault.asset.code for vault in present if vault.required_in_force)})


def _calls(cell_ids: Sequence[UUID]) -> tuple[set[UUID], dict[UUID, dict[str, StandingCall]]]:
    """Who has a lapsed call, and each relationship's `calls.current` of each kind."""
    pending = MarginCall.objects.filter(cell_id__among=cell_ids, state__in=calls.PENDING_STATES).order_by("id")
    lapsed: set[UUID] = set()
    asking: dict[UUID, dict[str, StandingCall]] = {}
    for call in pending.annotate(unmet=Sum("increments__unmet_base_units")):
        if call.state == MarginCall.State.LAPSED:
            lapsed.add(call.cell_id)
        if call.direction == MarginCall.Direction.DELIVERY:
            asking.setdefault(call.cell_id, {})[call.kind] = StandingCall(call.state, int(call.unmet or 0))
    return lapsed, asking


def _layers(cell_ids: Sequence[UUID]) -> dict[UUID, list[Layer]]:
    found: dict[UUID, list[Layer]] = {}
    for layer in Layer.objects.filter(cell_id__among=cell_ids).defer(*TIMES):
        found.setdefault(layer.cell_id, []).append(layer)
    return found


_LOCK = """
    SELECT count(*) FROM (SELECT FROM intermediary_cell WHERE id = ANY(%s::uuid[]) ORDER BY id FOR UPDATE) AS locked"""
_NAMES = """
    SELECT held::text, settled::text, standing::text
    FROM intermediary_bookversion WHERE cell_id = ANY(%s::uuid[]) ORDER BY cell_id"""
