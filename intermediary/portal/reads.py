"""What a client's pages show of its own relationship: margin, calls, trades, credit. Reads only.

Signs are the client's here: a gain is positive. (Exposure keeps its own sign: positive is owed by the client.)
Every query runs under the tenant's row security; a relationship that is not the reader's has no rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import F, Q, Sum

from intermediary import ports, queries, vaults
from intermediary.models import (
    CallEvent,
    CallIncrement,
    Cell,
    CreditLine,
    DefaultCase,
    Instrument,
    Layer,
    MarginCall,
    MarginPoint,
    MarginState,
    Mark,
    Membership,
    Position,
    TermsVersion,
    Trade,
    Valuation,
)
from intermediary.money import from_base_units, multiply_exactly
from intermediary.terms import Terms

DECIMALS = 6  # of the settlement token
HISTORY_SPAN = timedelta(hours=36)
HISTORY_POINTS = 600  # more than a chart of this width can show
TRADES_SHOWN = 500  # newest first; older ones are in the statements


def margin_state(cell: Cell) -> MarginState | None:
    """The current requirement and what stands against it."""
    return MarginState.objects.select_related("valuation").filter(cell=cell).first()


def open_calls(cell: Cell) -> list[MarginCall]:
    """Delivery calls that wait for an answer, lapsed ones included until they are met or noticed: at most one of each
    kind, the one for margin first. Each with `unmet_base_units`, and `due_first_base_units` of it at its deadline."""
    waiting = [*MarginCall.OPEN_STATES, MarginCall.State.LAPSED]
    unmet, first = Sum("increments__unmet_base_units"), Q(increments__deliver_by__lte=F("deliver_by"))
    found = MarginCall.objects.filter(cell=cell, direction="DELIVERY", state__in=waiting).annotate(
        unmet_base_units=unmet, due_first_base_units=Sum("increments__unmet_base_units", filter=first)
    )
    return sorted(found, key=lambda call: call.kind != MarginCall.Kind.MARGIN)


def default_case(cell: Cell) -> DefaultCase | None:
    """The relationship's own default, the newest."""
    return DefaultCase.objects.filter(cell=cell).first()


def calls(cell: Cell) -> list[MarginCall]:
    """All calls, newest first."""
    return list(MarginCall.objects.filter(cell=cell).order_by("-id")[:200])


def increments(call: MarginCall) -> list[CallIncrement]:
    """The parts of a call, each with a deadline of its own; a part that is no longer asked for was not met by anybody
    and is left out (the call's history tells of it)."""
    return list(CallIncrement.objects.filter(call=call, amount_base_units__gt=0).order_by("deliver_by"))


def call_events(call: MarginCall) -> list[CallEvent]:
    """What happened to a call, oldest first."""
    return list(CallEvent.objects.filter(call=call).order_by("id"))


def recent_points(cell: Cell) -> list[MarginPoint]:
    """The margin history of the last hours, oldest first: as much of it as a chart can show."""
    newest = MarginPoint.objects.filter(cell=cell).select_related("valuation").order_by("-valuation__as_of")
    points = list(reversed(newest[:HISTORY_POINTS]))
    return [point for point in points if point.valuation.as_of >= points[-1].valuation.as_of - HISTORY_SPAN]


def history_chart(cell: Cell) -> dict[str, Any] | None:
    """Requirement against held margin; None below two points."""
    points = recent_points(cell)
    if len(points) < 2:
        return None

    def line(name: str, tone: str, amounts: Sequence[int], **more: Any) -> dict[str, Any]:
        values = [
            [point.valuation.as_of.isoformat(), float(from_base_units(amount, DECIMALS))]
            for point, amount in zip(points, amounts, strict=True)
        ]
        return {"name": name, "tone": tone, "points": values, "step": True} | more

    return {
        "kind": "lines",
        "unit": "USDC",
        "scale": False,
        "series": [
            line("Held", "accent", [point.held_base_units for point in points], area=True),
            line("Required", "ink", [point.required_base_units for point in points]),
        ],
    }


@dataclass(frozen=True)
class PositionRow:
    """One position at the latest mark; dollars. `gain` is what variation margin has not paid yet; `doubt` is that of
    the underlying's mark where it is less than good."""

    instrument: Instrument
    quantity: Decimal
    mark: Decimal | None
    value: Decimal | None
    gain: Decimal | None
    doubt: ports.MarkDoubt | None


def positions(cell: Cell) -> list[PositionRow]:
    """Open positions by instrument."""
    latest, marks = queries.latest_valuation(), latest_marks()
    doubts = ports.mark_doubts(latest.snapshot_id) if latest else {}
    held = Position.objects.filter(cell=cell).exclude(quantity=0, settled_value=0).select_related("instrument")
    rows = []
    for position in held.order_by("instrument__code"):
        mark = marks.get(position.instrument_id)
        value = None if mark is None else multiply_exactly(position.quantity, mark)
        gain = None if value is None else value - position.settled_value
        doubt = doubts.get(position.instrument.underlying)
        rows.append(PositionRow(position.instrument, position.quantity, mark, value, gain, doubt))
    return rows


def latest_marks() -> dict[UUID, Decimal]:
    """Instrument to its latest official price."""
    latest = queries.latest_valuation()
    return dict(Mark.objects.filter(valuation=latest).values_list("instrument_id", "price")) if latest else {}


@dataclass(frozen=True)
class TradeRow:
    """A trade from the reader's side. `quantity` is signed: positive is bought."""

    trade: Trade
    quantity: Decimal
    opposite: str
    awaits_me: bool


def trades(cell: Cell) -> list[TradeRow]:
    """The relationship's trades, newest first. The other side is known by its anonymous code."""
    codes = queries.public_codes()
    ours = set(Membership.objects.filter(party__cells=cell).values_list("user_id", flat=True))
    found = Trade.objects.filter(Q(buyer_id=cell.id) | Q(seller_id=cell.id)).select_related("instrument")
    rows = []
    for trade in found.order_by("-id")[:TRADES_SHOWN]:
        bought = trade.buyer_id == cell.id
        other = trade.seller_id if bought else trade.buyer_id
        waits = trade.state == Trade.State.SUBMITTED and trade.submitted_by_id not in ours
        rows.append(TradeRow(trade, trade.quantity if bought else -trade.quantity, codes.get(other, "Venue"), waits))
    return rows


def active_line(cell: Cell) -> CreditLine | None:
    """The credit line in force."""
    return CreditLine.objects.filter(cell=cell, state=CreditLine.State.ACTIVE).first()


def awaiting_line(cell: Cell) -> CreditLine | None:
    """The line that is approved and takes force when the offering that would cover it is settled."""
    return CreditLine.objects.filter(cell=cell, state=CreditLine.State.AWAITING).first()


def layers(cell: Cell) -> list[Layer]:
    """The layers behind the relationship, in the order in which they pay."""
    return list(Layer.objects.filter(cell=cell).order_by("attach_base_units"))


def terms_versions(cell: Cell) -> list[TermsVersion]:
    """Signed terms, newest first."""
    return list(TermsVersion.objects.filter(cell=cell).order_by("-version"))


def lower_caps(cell: Cell, agreed: Terms) -> tuple[int | None, dict[str, int]]:
    """(debit cap, highest requirement by token) of the vaults, where an address commits to less than the terms that
    were amended since; base units of the token."""
    present = vaults.read([cell.id]).get(cell.id, [])
    most = {code: cap for code, cap in vaults.caps_of(present).items() if cap < agreed.most_required(code)}
    debit_caps = [one.debit_cap for one in present if one.asset.is_settlement and one.debit_cap is not None]
    return next((cap for cap in debit_caps if cap < agreed.debit_cap_base_units), None), most


def valuation_of(state: MarginState | None) -> Valuation | None:
    """The valuation behind the figures of a page."""
    return state.valuation if state else queries.latest_valuation()
