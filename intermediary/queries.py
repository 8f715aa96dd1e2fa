"""Reads that every face shares: the clock, the market, who is looking, the public register.

Pages of one relationship have their own reads (`intermediary.portal.reads`). Nothing here changes a row, and nothing
filters by tenant on its own account: a web request's database role sees only what is public or its own.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.contrib.auth.models import AnonymousUser, User
from django.db import connection

from intermediary import ports
from intermediary.models import Cell, DefaultCase, Layer, Party, Valuation

PERFORMING = (Cell.State.OPEN, Cell.State.NO_NEW_RISK)


@dataclass(frozen=True)
class PlatformClock:
    """Platform time as it stands, and how it runs on: `now + rate x elapsed`, never past `ceiling`."""

    mode: str
    now: datetime
    rate: Decimal
    ceiling: datetime | None


def platform_clock() -> PlatformClock:
    """The clock that rules, deadlines and pages share."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT mode, platform_now(), rate, ceiling FROM platform_clock")
        return PlatformClock(*cursor.fetchone())


def latest_valuation() -> Valuation | None:
    """The newest official valuation."""
    return Valuation.objects.order_by("-as_of").first()


def valuations_since(moment: datetime, *, at_most: int = 600) -> list[Valuation]:
    """Official valuations from `moment` on, oldest first; the newest `at_most` (a chart shows no more points)."""
    found = Valuation.objects.filter(as_of__gte=moment).order_by("-as_of")[:at_most]
    return list(reversed(found))


def cells_of(user: User | AnonymousUser) -> Sequence[Cell]:
    """The client relationships that a signed-in person acts for, by code; none for anyone else."""
    if not isinstance(user, User):
        return []
    return list(Cell.objects.filter(kind=Cell.Kind.CLIENT, party__members__user=user).order_by("code"))


def parties_of(user: User) -> Sequence[Party]:
    """The parties that a signed-in person acts for."""
    return list(Party.objects.filter(members__user=user))


def is_investor(user: User | AnonymousUser) -> bool:
    """Whether a signed-in person acts for a bond investor."""
    return isinstance(user, User) and Party.objects.filter(kind=Party.Kind.INVESTOR, members__user=user).exists()


@dataclass(frozen=True)
class PublicLayer:
    """One layer as anyone sees it; settlement base units."""

    kind: str
    attach_base_units: int
    detach_base_units: int
    loss_base_units: int
    funded: bool

    @property
    def label(self) -> str:
        """Its name."""
        return str(Layer.Kind(self.kind).label)

    @property
    def size_base_units(self) -> int:
        """Width of the layer."""
        return self.detach_base_units - self.attach_base_units

    @property
    def left_base_units(self) -> int:
        """What it can still pay."""
        return self.size_base_units - self.loss_base_units


@dataclass(frozen=True)
class RegisterRow:
    """One anonymous relationship: its layers, what a default has cost so far, and how likely a loss beyond them is;
    `uncovered_risk` is None in default and before the first measure."""

    cell_id: UUID
    code: str
    state: str
    layers: tuple[PublicLayer, ...]
    net_loss_base_units: int
    recoveries_base_units: int
    uncovered_base_units: int
    defaulted_at: datetime | None
    uncovered_risk: ports.UncoveredRisk | None

    @property
    def state_label(self) -> str:
        """Its state in words."""
        return str(Cell.State(self.state).label)

    @property
    def cover_base_units(self) -> int:
        """What all layers can still pay."""
        return sum(layer.left_base_units for layer in self.layers)

    @property
    def borne_base_units(self) -> int:
        """What the layers have paid."""
        return sum(layer.loss_base_units for layer in self.layers)


def register() -> list[RegisterRow]:
    """The public register: every client relationship under its anonymous code."""
    layers: dict[UUID, list[PublicLayer]] = {}
    for cell_id, *rest in _rows(
        "SELECT cell_id, kind, attach_base_units::text, detach_base_units::text, loss_base_units::text, funded"
        " FROM public_register AS register ORDER BY code, register.attach_base_units"
    ):
        kind, attach, detach, loss, funded = rest
        layers.setdefault(cell_id, []).append(PublicLayer(kind, int(attach), int(detach), int(loss), funded))
    risks = ports.uncovered_risk()
    return [
        RegisterRow(
            cell_id, code, state, tuple(layers.get(cell_id, ())), int(loss), int(back), int(open_), since,
            risks.get(cell_id) if state in PERFORMING else None,
        )
        for cell_id, code, state, loss, back, open_, since in _rows(
            "SELECT cell_id, code, state, net_loss_base_units::text, recoveries_base_units::text,"
            " uncovered_base_units::text, defaulted_at FROM public_relationship ORDER BY code"
        )
    ]  # fmt: skip


@dataclass(frozen=True)
class RecoveryCase:
    """A determined default of one anonymous relationship: N as it stands, and what came back on the claim so far. It is
    closed once nothing is expected any more: written off by two people, or nobody had lost anything."""

    cell_id: UUID
    state: str
    noticed_at: datetime
    net_loss_base_units: int
    recoveries_base_units: int
    receipts: int
    last_received_at: datetime | None

    @property
    def is_closed(self) -> bool:
        """Whether the right to be written up has ended with it."""
        return self.state == DefaultCase.State.CLOSED


def recovery_cases(cell_ids: Collection[UUID]) -> list[RecoveryCase]:
    """The determined defaults of these relationships, the oldest first."""
    return [
        RecoveryCase(cell_id, state, noticed_at, int(loss), int(back), receipts, last)
        for cell_id, state, noticed_at, loss, back, receipts, last in _rows(
            "SELECT cell_id, state, noticed_at, loss_base_units::text, recoveries_base_units::text, receipts,"
            " last_received_at FROM public_recovery WHERE cell_id = ANY(%s) ORDER BY noticed_at, case_id",
            [list(cell_ids)],
        )
    ]


def public_codes() -> dict[UUID, str]:
    """The anonymous code of every client relationship."""
    return dict(_rows("SELECT cell_id, code FROM public_relationship"))


def _rows(sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())
