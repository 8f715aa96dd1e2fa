"""The desk's book: every relationship with what it owes, what is held, and what would carry its stressed loss.

Amounts are settlement base units. Numbers come from the last requirement of each relationship; nothing is computed
here that the engine has not computed already.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from intermediary import ledger, onboarding, ports
from intermediary.call_forecast import coin_margin, fall_to_call
from intermediary.margin_parts import MarginParts, added_up, parts_of
from intermediary.models import Account, AccountKind, Cell, DefaultCase, Layer, MarginCall, MarginState
from intermediary.queries import PERFORMING
from intermediary.stack import Stack, stack_of
from intermediary.terms import Terms
from risk.queries import held_back
from risk.stress_queries import Distance, nearest_calls

OVER = (DefaultCase.State.CURED, DefaultCase.State.CLOSED)


@dataclass(frozen=True)
class CallRow:
    """One call that still asks for margin, and what is missing of it."""

    call: MarginCall
    unmet_base_units: int


@dataclass(frozen=True)
class BookRow:
    """One relationship as the desk sees it. `margin` is None before the first requirement and once the relationship is
    terminated: then its case says what it owes. `uncovered_risk` is None in default and before the first measure,
    `nearest_call` (over any coin or all, either way) also where no move brings a call."""

    cell: Cell
    margin: MarginState | None
    layers: tuple[Layer, ...]
    calls: tuple[CallRow, ...]
    case: DefaultCase | None
    terms: Terms | None
    coins_base_units: int  # what of the margin held moves with the market
    uncovered_risk: ports.UncoveredRisk | None
    nearest_call: Distance | None
    held_back: str | None  # why its requirement was not renewed in the last market; None where it was

    @property
    def called_base_units(self) -> int:
        """What is called and not met: one deposit counts for a call of each kind, so the larger."""
        return max((row.unmet_base_units for row in self.calls), default=0)

    @property
    def fall_to_call(self) -> float | None:
        """Distance to a margin call: the smallest fall of every coin, in percent, that brings one; None beyond the
        deepest published fall, for a default, and before the first requirement."""
        return fall_to_call(self.margin, self.terms, self.coins_base_units) if self.margin and not self.case else None

    @property
    def headroom_base_units(self) -> int | None:
        """Held less required; None before the first requirement."""
        return self.margin.headroom_base_units if self.margin else None

    @property
    def headroom_share(self) -> float | None:
        """Headroom as a share of the requirement."""
        if self.margin is None or not self.margin.required_base_units:
            return None
        return self.margin.headroom_base_units / self.margin.required_base_units

    @property
    def made(self) -> MarginParts | None:
        """What the requirement is made of."""
        return parts_of(self.margin) if self.margin else None

    @property
    def stack(self) -> Stack | None:
        """Margin and layers against the loss of the scenario that binds."""
        return stack_of(self.margin.admission) if self.margin else None

    @property
    def stressed_loss_base_units(self) -> int | None:
        """Loss beyond margin in the worst scenario of the admission test."""
        return self.margin.admission.get("net_loss") if self.margin else None

    @property
    def short_by_base_units(self) -> int:
        """What the layers could not take in that scenario."""
        return int(self.margin.admission.get("short_by", 0)) if self.margin else 0

    @property
    def resources_base_units(self) -> int:
        """What funded layers can still pay."""
        return sum(layer.size_base_units - layer.loss_base_units for layer in self.layers if layer.funded)

    @property
    def urgency(self) -> tuple[int, float]:
        """Sorts the book: defaults, then calls, then the thinnest headroom."""
        rank = 0 if self.case else 1 if self.calls else 2
        share = self.headroom_share
        return rank, share if share is not None else float("inf")


@dataclass(frozen=True)
class Book:
    """All relationships and their totals."""

    rows: tuple[BookRow, ...]
    totals: dict[str, int]

    @property
    def made(self) -> MarginParts | None:
        """What the requirements of all who perform are made of together."""
        return added_up(row.made for row in self.rows if row.made)


def book() -> Book:
    """The whole book, most urgent first."""
    cells = list(Cell.objects.filter(kind=Cell.Kind.CLIENT).select_related("party").order_by("code"))
    margins = {state.cell_id: state for state in MarginState.objects.select_related("valuation")}
    layers = _by_cell(Layer.objects.order_by("cell_id", "attach_base_units"))
    calls = _by_cell(
        MarginCall.objects.filter(state__in=_calls_shown(), direction="DELIVERY")
        .order_by("-kind", "id")
        .prefetch_related("increments")
    )
    cases = {case.cell_id: case for case in DefaultCase.objects.exclude(state__in=OVER)}
    terms, risks = onboarding.terms_of_cells([cell.id for cell in cells]), ports.uncovered_risk()
    nearest, coins = nearest_calls(), coin_margin(list(margins.values()), terms)
    refused = held_back()
    rows = []
    for cell in cells:
        rows.append(
            BookRow(
                cell=cell,
                margin=margins.get(cell.id) if cell.state != Cell.State.DEFAULTED else None,
                layers=tuple(layers.get(cell.id, ())),
                calls=tuple(_call(call) for call in calls.get(cell.id, ())),
                case=cases.get(cell.id),
                terms=terms.get(cell.id),
                coins_base_units=coins.get(cell.id, 0),
                uncovered_risk=risks.get(cell.id) if cell.state in PERFORMING else None,
                nearest_call=nearest.get(cell.id) if cell.state in PERFORMING else None,
                held_back=refused.get(cell.code),
            )
        )
    rows.sort(key=lambda row: row.urgency)
    return Book(tuple(rows), _totals(rows))


def _calls_shown() -> list[str]:
    return [*MarginCall.OPEN_STATES, MarginCall.State.LAPSED]


def _call(call: MarginCall) -> CallRow:
    return CallRow(call, sum(part.unmet_base_units for part in call.increments.all()))


def _by_cell(found: Iterable[Any]) -> dict[UUID, list[Any]]:
    grouped: dict[UUID, list[Any]] = {}
    for one in found:
        grouped.setdefault(one.cell_id, []).append(one)
    return grouped


def _totals(rows: Sequence[BookRow]) -> dict[str, int]:
    """Margin of those who perform: a defaulted relationship is no longer margined, its case says what it owes."""
    performing = [row for row in rows if row.cell.state != Cell.State.DEFAULTED]
    states = [row.margin for row in performing if row.margin]
    return {
        "performing": len(performing),
        "exposure": sum(state.exposure_base_units for state in states),
        "required": sum(state.required_base_units for state in states),
        "held": sum(state.held_base_units for state in states),
        "headroom": sum(state.headroom_base_units for state in states),
        "called": sum(row.called_base_units for row in rows),
        "calls": sum(len(row.calls) for row in rows),
        "short": sum(row.short_by_base_units for row in performing),
        "layers": sum(row.resources_base_units for row in rows),
        "uncovered": sum(row.case.uncovered_base_units for row in rows if row.case),
        "float": _held_in(AccountKind.FLOAT),
        "recovery": _held_in(AccountKind.RECOVERY),
    }


def _held_in(kind: AccountKind) -> int:
    accounts = Account.objects.filter(kind=kind, asset__is_settlement=True)
    asset = accounts.values_list("asset_id", flat=True).first()
    return ledger.total([kind], asset) if asset else 0
