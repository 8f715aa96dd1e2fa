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

from intermediary import ports, queries
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
from intermediary.money import from_base_units, multiply_exactly, requirement_from_float
from intermediary.templatetags.display import MINUS
from intermediary.terms import Terms

DECIMALS = 6  # of the settlement token
UNIT = 10.0**DECIMALS  # forecasts are dollars, floats
HISTORY_SPAN = timedelta(hours=36)
HISTORY_POINTS = 600  # more than a chart of this width can show
TRADES_SHOWN = 500  # newest first; older ones are in the statements


@dataclass(frozen=True)
class Forecast:
    """What a fall of every coin would ask for, at the present independent amount and margin; base units."""

    move: str
    loss_base_units: int
    required_base_units: int
    call_base_units: int


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


def forecasts(state: MarginState, terms: Terms | None) -> list[Forecast]:
    """The next expected call at each published fall; none when the engine gave no forecast."""
    smallest = terms.minimum_transfer_base_units if terms else 0
    found = []
    for move, loss_usd in state.breakdown.get("forecast_loss", {}).items():
        loss = requirement_from_float(float(loss_usd), DECIMALS)
        exposure = state.exposure_base_units + loss
        required = max(0, exposure + state.independent_amount_base_units - state.threshold_base_units)
        short = max(0, required - state.held_base_units)
        found.append(Forecast(move.replace("-", MINUS), loss, required, short if short >= smallest else 0))
    return found


def fall_to_call(state: MarginState, terms: Terms | None) -> float | None:
    """The smallest fall of every coin, in percent, at which a call would be issued, straight between the published
    falls; 0 when the margin is short already, None when the deepest published fall (or no forecast) brings none."""
    smallest = max(1, terms.minimum_transfer_base_units) if terms else 1
    uncalled = state.held_base_units + smallest + state.threshold_base_units
    room = uncalled - state.exposure_base_units - state.independent_amount_base_units
    if room <= 0:
        return 0.0
    fall, loss = 0.0, 0.0
    for move, loss_usd in state.breakdown.get("forecast_loss", {}).items():
        deeper, more = float(move.strip("-%")), float(loss_usd) * UNIT
        if more >= room:
            return fall + (deeper - fall) * (room - loss) / (more - loss)
        fall, loss = deeper, more
    return None


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


def layers(cell: Cell) -> list[Layer]:
    """The layers behind the relationship, in the order in which they pay."""
    return list(Layer.objects.filter(cell=cell).order_by("attach_base_units"))


def terms_versions(cell: Cell) -> list[TermsVersion]:
    """Signed terms, newest first."""
    return list(TermsVersion.objects.filter(cell=cell).order_by("-version"))


def valuation_of(state: MarginState | None) -> Valuation | None:
    """The valuation behind the figures of a page."""
    return state.valuation if state else queries.latest_valuation()
