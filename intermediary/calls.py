"""Margin calls and their clocks.

One call of a kind is open at a time: one for margin, and one for coverage while the existing book fails the admission
test (D2); what is delivered serves both, so it meets both. When the market asks for more, a call grows by an increment
with a deadline of its own, so an earlier amount is neither extended nor shortened; when it asks for less, the newest
increment shrinks first. Deposits meet the oldest increment first. Deadlines are platform time, and stand still while
the platform cannot see deposits (D7): `stop_clocks` and `resume_clocks` belong to whoever watches the chain.

A lapsed call is not joined by a new one: the relationship can still deliver what is due until notice is given, and
everything that is missing then belongs to the default. Every change is a `CallEvent` that carries the state and the
amount still to be delivered after it, so that the events alone rebuild the call (W6).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import connection

from intermediary import access, audit, clock, events, ledger
from intermediary.csa import Delivery, csa
from intermediary.errors import BadInput, Refusal
from intermediary.margin_rows import Figures
from intermediary.models import (
    CallEvent,
    CallIncrement,
    Cell,
    ClockStop,
    DefaultCase,
    MarginCall,
    MarginState,
    Valuation,
)
from intermediary.money import from_base_units, round_up
from intermediary.terms import Terms

State, Kind = MarginCall.State, MarginCall.Kind
PENDING_STATES = (*MarginCall.OPEN_STATES, State.LAPSED)


def current(cell_id: UUID, kind: MarginCall.Kind = Kind.MARGIN) -> MarginCall | None:
    """The call of this kind that still asks for margin: open, or lapsed without notice yet."""
    found = MarginCall.objects.filter(cell_id=cell_id, direction=MarginCall.Direction.DELIVERY, kind=kind)
    return found.filter(state__in=PENDING_STATES).first()


def unmet(call: MarginCall) -> int:
    """What is still to be delivered on a call, settlement base units after haircut."""
    return sum(increment.unmet_base_units for increment in call.increments.all())


def renew(
    *,
    cell_id: UUID,
    valuation: Valuation,
    missing_base_units: int,
    delivery_base_units: int | None,
    terms: Terms,
    kind: MarginCall.Kind = Kind.MARGIN,
) -> MarginCall | None:
    """Bring the call in line with a new requirement; the caller holds the cell's lock.

    `missing` is required less held, or what the admission test is short of; `delivery` the amount to deliver for it,
    None below the minimum transfer. A first call needs one; a call that is open stays for what is missing, even below
    the minimum transfer.
    """
    assert connection.in_atomic_block, "a call belongs to a transaction"
    if DefaultCase.objects.filter(cell_id=cell_id).exclude(state__in=["CURED", "CLOSED"]).exists():
        return None
    call = current(cell_id, kind)
    if call is None:
        return _issue(cell_id, kind, valuation, delivery_base_units, terms) if delivery_base_units else None
    if missing_base_units <= 0:
        _close(call, State.SETTLED if call.state == State.LAPSED else State.NETTED, "the market came back")
        return call
    _supersede(call, valuation, asked_for(missing_base_units, delivery_base_units, terms), terms)
    return call


def asked_for(missing_base_units: int, delivery_base_units: int | None, terms: Terms) -> int:
    """What a call that is open already asks for in all: what is missing, even below the minimum transfer."""
    return delivery_base_units or round_up(Decimal(missing_base_units), terms.rounding_unit_base_units)


def stands(state: str, unmet_base_units: int, wanted_base_units: int) -> bool:
    """Whether a call with this much unmet stays as it is: it asks for that already, or has lapsed and may not grow."""
    return wanted_base_units == unmet_base_units or (wanted_base_units > unmet_base_units and state == State.LAPSED)


def delivery_of(missing_base_units: int, terms: Terms) -> int | None:
    """What is called for when this much is missing: rounded up to the unit, None below the minimum transfer."""
    if missing_base_units <= 0 or missing_base_units < terms.minimum_transfer_base_units:
        return None
    return round_up(Decimal(missing_base_units), terms.rounding_unit_base_units)


def margin_delivery(figures: MarginState | Figures, terms: Terms) -> int | None:
    """The Delivery Amount that these figures ask for under the terms; None where none is due."""
    decision = csa(
        figures.exposure_base_units,
        figures.independent_amount_base_units,
        figures.threshold_base_units,
        figures.held_base_units,
        terms.minimum_transfer_base_units,
        terms.rounding_unit_base_units,
    )
    return decision.amount_base_units if isinstance(decision, Delivery) else None


def coverage_missing(admission: Mapping[str, Any]) -> int:
    """Settlement base units of margin that the admission test of the existing book is short of (D2); 0: it passes."""
    return int(admission.get("repair", 0))


def apply_value(*, cell_id: UUID, value_base_units: int) -> None:
    """A deposit arrived: it counts for each call. The caller holds the cell's lock."""
    assert connection.in_atomic_block, "a deposit belongs to a transaction"
    for kind in Kind:
        call = current(cell_id, kind)
        if call is not None and value_base_units > 0:
            _meet(call, value_base_units)


def _meet(call: MarginCall, value_base_units: int) -> None:
    """Increments are met by a deposit, the oldest first."""
    left = value_base_units
    for increment in _unmet_increments(call):
        met = min(left, increment.unmet_base_units)
        increment.unmet_base_units, left = increment.unmet_base_units - met, left - met
        increment.save(update_fields=["unmet_base_units"])
    if not unmet(call):
        _close(call, State.SETTLED, "delivered")
    else:
        _refresh(call, f"delivered {_in_tokens(value_base_units - left)}")


def agree(*, user: User, call_id: UUID) -> MarginCall:
    """The client acknowledges the amount. It keeps its deadline."""
    call = _locked_for(user, call_id)
    if call.state == State.AGREED:
        return call
    _refuse_unless(call, (State.ISSUED,))
    _move(call, State.AGREED, "agreed by the client")
    audit.record(actor=user.get_username(), action="call.agree", subject=call.id)
    return call


def pledge(*, user: User, call_id: UUID, amount_base_units: int) -> MarginCall:
    """The client says how much is on its way. Only tokens that arrive meet the call."""
    call = _locked_for(user, call_id)
    _refuse_unless(call, MarginCall.OPEN_STATES)
    if amount_base_units <= 0:
        raise BadInput("pledge_not_positive", "A pledge is above zero.", amount_base_units=amount_base_units)
    call.pledged_base_units = amount_base_units
    call.save(update_fields=["pledged_base_units"])
    _move(call, State.PLEDGED, f"pledged {_in_tokens(amount_base_units)}")
    audit.record(actor=user.get_username(), action="call.pledge", subject=call.id, amount=amount_base_units)
    return call


@dataclass(frozen=True)
class DepositsSeen:
    """What whoever watches the chain knows of deposits: all that came before `until` (None: nobody has to look), and
    those that are not booked yet, `coming`: a relationship's first by the time it came on chain."""

    until: datetime | None = None
    coming: Mapping[UUID, datetime] = field(default_factory=dict)

    def may_meet(self, call: MarginCall) -> bool:
        """Whether a deposit that keeps the deadline may still be booked: it is waited for, or not seen yet."""
        arrived = self.coming.get(call.cell_id)
        return (arrived is not None and arrived <= call.deliver_by) or (
            self.until is not None and self.until <= call.deliver_by
        )


def lapse_due(now: datetime, *, deposits: Callable[[], DepositsSeen] = DepositsSeen) -> list[MarginCall]:
    """Lapse every open call with an increment that was due by `now` and is not met; none while clocks stand still, nor
    of a relationship in default, whose case says what follows.

    `deposits` says what is known of deposits that are not booked. A call that one of them may meet in time is left
    alone until that is known.

    A lapsed relationship takes no new risk. Deposits, withdrawals of free margin and every other cell go on.
    """
    assert connection.in_atomic_block, "a lapse belongs to a transaction"
    if clocks_stopped():
        return []
    in_default = DefaultCase.objects.exclude(state__in=["CURED", "CLOSED"]).values("cell")
    due = MarginCall.objects.filter(state__in=MarginCall.OPEN_STATES, deliver_by__lte=now)
    due = due.exclude(cell__in=in_default)
    cells = ledger.lock_cells(due.values_list("cell_id", flat=True))
    if not cells:
        return []
    lapsed, known = [], deposits()
    for call in due.filter(cell_id__in=cells):
        if known.may_meet(call):
            continue
        _move(call, State.LAPSED, "not delivered in time")
        events.emit(events.CALL_LAPSED, cell_id=call.cell_id, call_id=str(call.id))
        cell = cells[call.cell_id]
        if cell.state == Cell.State.OPEN:
            cell.state = Cell.State.NO_NEW_RISK
            cell.save(update_fields=["state"])
        lapsed.append(call)
    return lapsed


def clocks_stopped() -> bool:
    """Whether the platform cannot see deposits at the moment."""
    return ClockStop.objects.filter(ended_at=None).exists()


def stop_clocks(reason: str, *, since: datetime | None = None) -> ClockStop:
    """From `since` (now) on no deadline passes; the running stop when there is one."""
    running = ClockStop.objects.filter(ended_at=None).first()
    return running or ClockStop.objects.create(started_at=since or clock.now(), reason=reason)


def resume_clocks() -> list[ClockStop]:
    """Deposits are seen again: end the stop and move the deadlines that it held up by the time they stood still."""
    assert connection.in_atomic_block, "deadlines move in one transaction"
    ended = list(ClockStop.objects.select_for_update().filter(ended_at=None))
    now = clock.now()
    for stop in ended:
        stop.ended_at = now
        stop.save(update_fields=["ended_at"])
        _extend(stop, now)
    return ended


def _extend(stop: ClockStop, now: datetime) -> None:
    cells = ledger.lock_cells(MarginCall.objects.filter(state__in=PENDING_STATES).values_list("cell_id", flat=True))
    for call in MarginCall.objects.filter(state__in=PENDING_STATES, cell_id__in=cells):
        for increment in _unmet_increments(call):
            # What was due before the stop began was overdue already; a lapsed call's grace is held up all the same.
            if increment.deliver_by > stop.started_at or call.state == State.LAPSED:
                increment.deliver_by += now - max(stop.started_at, increment.at)
                increment.save(update_fields=["deliver_by"])
        _refresh(call, f"clock stood still: {stop.reason}"[:200])


def _issue(cell_id: UUID, kind: MarginCall.Kind, valuation: Valuation, amount: int, terms: Terms) -> MarginCall:
    deliver_by = clock.now() + terms.time_to_deliver
    call = MarginCall.objects.create(
        cell_id=cell_id, kind=kind, amount_base_units=amount, valuation=valuation, deliver_by=deliver_by
    )
    _increment(call, amount, terms.time_to_deliver)
    _record(call, "", "issued")
    return call


def _supersede(call: MarginCall, valuation: Valuation, wanted: int, terms: Terms) -> None:
    open_amount = unmet(call)
    if stands(call.state, open_amount, wanted):
        return
    call.valuation = valuation
    call.save(update_fields=["valuation"])
    if wanted > open_amount:
        _increment(call, wanted - open_amount, terms.time_to_deliver)
        _refresh(call, f"raised by {_in_tokens(wanted - open_amount)}")
        return
    left = open_amount - wanted
    for increment in reversed(_unmet_increments(call)):
        cut = min(left, increment.unmet_base_units)
        increment.unmet_base_units, left = increment.unmet_base_units - cut, left - cut
        increment.amount_base_units -= cut
        increment.save(update_fields=["unmet_base_units", "amount_base_units"])
    _refresh(call, f"lowered by {_in_tokens(open_amount - wanted)}")


def _in_tokens(amount_base_units: int) -> str:
    """An amount for a note that people read."""
    asset = ledger.settlement_asset()
    return f"{from_base_units(amount_base_units, asset.decimals):,.2f} {asset.code}"


def _increment(call: MarginCall, amount: int, time_to_deliver: timedelta) -> CallIncrement:
    return CallIncrement.objects.create(
        cell_id=call.cell_id,
        call=call,
        amount_base_units=amount,
        unmet_base_units=amount,
        deliver_by=clock.now() + time_to_deliver,
    )


def _unmet_increments(call: MarginCall) -> list[CallIncrement]:
    """Oldest deadline first."""
    return list(call.increments.filter(unmet_base_units__gt=0).order_by("deliver_by", "id"))


def _refresh(call: MarginCall, note: str) -> None:
    """Amount and deadline of the call follow its increments."""
    waiting = _unmet_increments(call)
    call.amount_base_units = sum(increment.amount_base_units for increment in call.increments.all())
    if waiting:
        call.deliver_by = waiting[0].deliver_by
    call.save(update_fields=["amount_base_units", "deliver_by"])
    _record(call, call.state, note)


def _close(call: MarginCall, state: MarginCall.State, note: str) -> None:
    """The call asks for nothing any more: delivered, or no longer needed."""
    CallIncrement.objects.filter(call=call).update(unmet_base_units=0)
    call.met_at = clock.now()
    call.save(update_fields=["met_at"])
    _move(call, state, note)


def _move(call: MarginCall, state: MarginCall.State, note: str) -> None:
    before, call.state = call.state, state
    call.save(update_fields=["state"])
    _record(call, before, note)


def _record(call: MarginCall, before: str, note: str) -> None:
    CallEvent.objects.create(
        cell_id=call.cell_id, call=call, before=before, after=call.state, amount_base_units=unmet(call), note=note
    )
    events.notify(events.PAGES_CHANNEL, f"cell:{call.cell_id}")


def _locked_for(user: User, call_id: UUID) -> MarginCall:
    assert connection.in_atomic_block, "an answer belongs to a transaction"
    ledger.lock_cells([access.call_for(user, call_id).cell_id])
    return MarginCall.objects.get(id=call_id)


def _refuse_unless(call: MarginCall, states: Sequence[MarginCall.State]) -> None:
    if call.state not in states:
        raise Refusal("call_not_open", f"This call is {call.get_state_display().lower()}.", state=call.state)
