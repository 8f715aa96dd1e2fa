"""What a requirement rests on beside book and market, kept by a process between valuations.

Terms, margin, vaults, calls, the credit line, layers and defaults change with what people do; the market moves all the
time. So a worker keeps them as it keeps books (`intermediary.books`): under the name that the database gives them
anew with every change of one of them, in the transaction of the change (`BookVersion.standing`). Names are read first
and rows after, so a name never stands for older rows than those it was given to. A line that ends does so by the
clock: its end is kept with it. For workers; pages read rows.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple
from uuid import UUID

from django.db import connection
from django.db.models import Sum

from intermediary import books, calls, clock, vaults
from intermediary.allowance import Allowance, allowances
from intermediary.books import HeldBook
from intermediary.collateral import counted
from intermediary.models import Cell, DefaultCase, Layer, MarginCall, Party
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


class Member(NamedTuple):
    """A relationship, locked, with what it stands on and holds now."""

    cell_id: UUID
    standing: Standing
    book: HeldBook


_kept: dict[UUID, tuple[str, Standing]] = {}  # by cell, under its name


def in_order(cell_ids: Collection[UUID]) -> tuple[UUID, ...]:
    """Each once, in the order of their keys."""
    return tuple(sorted(set(cell_ids), key=attrgetter("int")))


def as_array(ids: Sequence[UUID]) -> str:
    """Keys as PostgreSQL reads an array of them: thousands as one parameter."""
    return "{" + ",".join(map(str, ids)) + "}"


def lock_and_name(ids: str) -> list[str]:
    """Lock these relationships (`as_array`, in order); the names that the database gives each now, as one word."""
    assert connection.in_atomic_block, "a lock belongs to a transaction"
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [ids])
        # A statement of its own: whoever waits for a lock sees what the other did only in the next one.
        cursor.execute(_NAMES, [ids])
        names: str | None = cursor.fetchone()[0]
    return names.split(",") if names else []


def members(ids: Sequence[UUID], words: Sequence[str]) -> list[Member]:
    """What is known of these under these names, each locked, in their order: nothing is asked of the database but for
    those of which something has changed, a dozen queries whatever their number."""
    names = [word.split() for word in words]
    changed = {}
    for key, (_, _, name) in zip(ids, names, strict=True):
        kept = _kept.get(key)
        if kept is None or kept[0] != name:
            changed[key] = name
    for key, standing in _read(list(changed)).items():
        _kept[key] = changed[key], standing
    held = books.read_in_order(ids, [(held, settled) for held, settled, _ in names])
    return [Member(key, _kept[key][1], book) for key, book in zip(ids, held, strict=True)]


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
    SELECT string_agg(held::text || ' ' || settled::text || ' ' || standing::text, ',' ORDER BY cell_id)
    FROM intermediary_bookversion WHERE cell_id = ANY(%s::uuid[])"""
