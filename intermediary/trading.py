"""Trades: captured, affirmed, novated into two legs against the intermediary; and the official marks.

A trade is submitted by one side and affirmed by the other. Novation books both legs in one transaction, each in its
own cell, after the admission test of both (D2), or refuses. Each leg leaves a lot that remembers the opposite
relationship; offsets use lots up first-in first-out. Over all cells every instrument nets to zero (D6).

Quantities have at most 8 decimals and prices at most 10, so that quantity x price is exact in the columns' 18 places.
"""

import logging
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Q, Sum

from intermediary import access, audit, clock, events, ledger, ports
from intermediary.errors import BadInput, Refusal
from intermediary.ids import uuid7
from intermediary.models import Cell, DefaultCase, Instrument, Lot, Position, Trade, TradeCheck, Valuation
from intermediary.money import add_exactly, multiply_exactly

logger = logging.getLogger(__name__)

QUANTITY_PLACES = Decimal("1E-8")
PRICE_PLACES = Decimal("1E-10")
# What both sides read when the gate refuses for what one of them holds: that is nobody else's business.
TOLD_OF_A_BOOK = {
    "price_stale": "The last official prices are too old for what a side of this trade holds.",
    "instrument_not_valued": "A side of this trade holds something that the last official market cannot value.",
}
VALUE_LIMIT = Decimal("1E15")  # dollars of one trade: far above any market, far below the columns' 30 whole digits


def submit_trade(
    *, user: User, cell_id: UUID, side: str, counterparty: str, instrument: str, quantity: Decimal, price: Decimal
) -> Trade:
    """Record what one side says was agreed: `side` BUY or SELL of `quantity` coins at `price` dollars a coin.

    Nobody may speak for both sides. Which relationships exist is public under their anonymous codes.
    """
    assert connection.in_atomic_block, "a trade belongs to a transaction"
    traders = Cell.objects.filter(kind__in=[Cell.Kind.CLIENT, Cell.Kind.VENUE])
    own = traders.filter(id=cell_id).first()
    other = traders.filter(code=counterparty).first()
    traded = Instrument.objects.filter(code=instrument).first()
    if own is None or not access.may_act_for(user, own):
        raise access.not_found()
    if other is None or traded is None:
        raise BadInput("trade_unknown_name", "There is no such counterparty or instrument.")
    if side not in ("BUY", "SELL"):
        raise BadInput("trade_side", "A side is BUY or SELL.", side=side)
    _refuse_inexact(quantity, price)
    if other.id == own.id or access.may_act_for(user, other):
        raise Refusal("trade_with_oneself", "One person cannot speak for both sides of a trade.")
    ledger.lock_cells([own.id, other.id])
    buyer, seller = (own, other) if side == "BUY" else (other, own)
    trade = Trade.objects.create(
        instrument=traded, buyer=buyer, seller=seller, quantity=quantity, price=price, submitted_by=user
    )
    audit.record(actor=user.get_username(), action="trade.submit", subject=trade.id, side=side, cell=own.code)
    _tell(trade)
    return trade


def affirm_trade(*, user: User, trade_id: UUID) -> Trade:
    """The other side agrees. Novation follows, in a process that can judge risk."""
    trade = _locked_for(user, trade_id)
    if trade.state == Trade.State.AFFIRMED:
        return trade
    _refuse_unless_submitted(trade)
    own = trade.buyer if access.may_act_for(user, trade.buyer) else trade.seller
    if trade.submitted_by is not None and access.may_act_for(trade.submitted_by, own):
        raise Refusal("trade_own_side", "Your own side submitted this trade; the other side affirms it.")
    trade.state, trade.affirmed_by = Trade.State.AFFIRMED, user
    trade.save(update_fields=["state", "affirmed_by"])
    audit.record(actor=user.get_username(), action="trade.affirm", subject=trade.id, cell=own.code)
    _tell(trade)
    return trade


def cancel_trade(*, user: User, trade_id: UUID) -> Trade:
    """Either side takes back a trade that the other has not affirmed yet, or turns it down."""
    trade = _locked_for(user, trade_id)
    if trade.state == Trade.State.CANCELLED:
        return trade
    _refuse_unless_submitted(trade)
    trade.state = Trade.State.CANCELLED
    trade.save(update_fields=["state"])
    audit.record(actor=user.get_username(), action="trade.cancel", subject=trade.id)
    _tell(trade)
    return trade


def novate(*, trade_id: UUID) -> Trade:
    """Book both legs, or store the refusal on the trade. A trade that is done already is returned as it stands.

    Both sides read the trade, so its refusal names the rule only; each side's numbers are in its own `TradeCheck`.
    Raises `trade_not_affirmed`; every other rule ends in a REFUSED trade.
    """
    assert connection.in_atomic_block, "novation belongs to a transaction"
    sides = Trade.objects.values_list("buyer_id", "seller_id").get(id=trade_id)
    cells = ledger.lock_cells(sides)
    trade = Trade.objects.select_for_update(of=("self",)).select_related("instrument").get(id=trade_id)
    if trade.state in (Trade.State.NOVATED, Trade.State.REFUSED, Trade.State.CANCELLED):
        return trade
    if trade.state != Trade.State.AFFIRMED:
        raise Refusal("trade_not_affirmed", "The other side has not affirmed this trade.", state=trade.state)
    try:
        _refuse_unless_tradable(trade, cells)
        _refuse_unless_admitted(trade, cells)
    except Refusal as refusal:
        trade.state = Trade.State.REFUSED
        trade.refusal = {"code": refusal.code, "message": refusal.message, "data": refusal.data}
        trade.save(update_fields=["state", "refusal"])
        _tell(trade)
        return trade
    for cell_id, opposite_id, quantity in _legs(trade):
        _open_lot(trade, cell_id, opposite_id, quantity)
        book_leg(cell_id=cell_id, instrument_id=trade.instrument_id, quantity=quantity, price=trade.price)
    trade.state, trade.novated_at = Trade.State.NOVATED, clock.now()
    trade.save(update_fields=["state", "novated_at"])
    _tell(trade)
    return trade


def book_leg(*, cell_id: UUID, instrument_id: UUID, quantity: Decimal, price: Decimal) -> Position:
    """Add a signed quantity at a price to a position; the caller holds the cell's lock.

    quantity += q, settled_value += q x price: exact, so the exposure of the leg is q x (price - mark).
    """
    assert connection.in_atomic_block, "a leg belongs to a transaction"
    _refuse_inexact(quantity.copy_abs(), price)
    position, _ = Position.objects.get_or_create(cell_id=cell_id, instrument_id=instrument_id)
    position.quantity = add_exactly(position.quantity, quantity)
    position.settled_value = add_exactly(position.settled_value, multiply_exactly(quantity, price))
    position.save(update_fields=["quantity", "settled_value"])
    return position


def record_valuation(
    *,
    as_of: datetime,
    source: str,
    snapshot_id: str,
    prices: Mapping[str, Decimal | str],
    marks: Mapping[UUID, Decimal],
) -> Valuation:
    """Write one official valuation: prices of underlyings, marks of instruments (rounded to 10 decimals, half even).

    The same moment and snapshot again give the valuation that stands; another snapshot for it is refused, as is a
    moment before the last one. An instrument without a mark holds back who holds it (`variation.exposure` refuses), and
    nobody else.
    """
    assert connection.in_atomic_block, "a valuation belongs to a transaction"
    last = Valuation.objects.first()
    if last is not None and as_of <= last.as_of:
        stands = Valuation.objects.filter(as_of=as_of, snapshot_id=snapshot_id).first()
        if stands is not None:
            return stands
        raise Refusal("valuation_not_later", f"The last valuation is of {last.as_of}.", as_of=as_of.isoformat())
    if bad := [str(key) for key, price in marks.items() if not price.is_finite() or price < 0]:
        raise BadInput("mark_not_a_price", "A mark is a finite price, not below zero.", instruments=bad)
    valuation = Valuation.objects.create(
        as_of=as_of,
        source=source,
        snapshot_id=snapshot_id,
        prices={underlying: str(price) for underlying, price in prices.items()},
    )
    # Hundreds at every tick, which waits for them: as arrays.
    ids, amounts = [uuid7() for _ in marks], [price.quantize(PRICE_PLACES) for price in marks.values()]
    with connection.cursor() as cursor:
        cursor.execute(_STORE_MARKS, [valuation.id, ids, list(marks), amounts])
    return valuation


_STORE_MARKS = """
    INSERT INTO intermediary_mark (valuation_id, id, instrument_id, price)
    SELECT %s::uuid, * FROM unnest(%s::uuid[], %s::uuid[], %s::numeric[])"""


def position_nets() -> dict[str, Decimal]:
    """Net quantity of every instrument over all cells, by code; every one of them is zero (D6)."""
    sums = Position.objects.values_list("instrument__code").annotate(net=Sum("quantity")).order_by("instrument__code")
    return {code: Decimal(net) for code, net in sums}


def _legs(trade: Trade) -> tuple[tuple[UUID, UUID, Decimal], tuple[UUID, UUID, Decimal]]:
    """(cell, opposite, signed quantity) of both sides."""
    return (
        (trade.buyer_id, trade.seller_id, trade.quantity),
        (trade.seller_id, trade.buyer_id, trade.quantity.copy_negate()),
    )


def _open_lot(trade: Trade, cell_id: UUID, opposite_id: UUID, quantity: Decimal) -> None:
    """Use up older lots of the opposite sign, first-in first-out, and open a lot of what is left."""
    left = quantity
    older = Lot.objects.filter(
        Q(open_quantity__lt=0) if quantity > 0 else Q(open_quantity__gt=0),
        cell_id=cell_id,
        instrument_id=trade.instrument_id,
    )
    for lot in older.order_by("id"):
        if not left:
            break
        offset = min(left.copy_abs(), lot.open_quantity.copy_abs()).copy_sign(left)
        lot.open_quantity = add_exactly(lot.open_quantity, offset)
        left = add_exactly(left, offset.copy_negate())
        lot.save(update_fields=["open_quantity"])
    Lot.objects.create(
        cell_id=cell_id,
        trade=trade,
        instrument_id=trade.instrument_id,
        opposite_id=opposite_id,
        quantity=quantity,
        open_quantity=left,
        price=trade.price,
    )


def _refuse_unless_tradable(trade: Trade, cells: Mapping[UUID, Cell]) -> None:
    for cell in cells.values():
        if cell.state != Cell.State.OPEN:
            raise Refusal("relationship_takes_no_new_risk", "A relationship of this trade takes no new risk now.")
    if DefaultCase.objects.filter(cell_id__in=cells).exclude(state__in=["CURED", "CLOSED"]).exists():
        raise Refusal("relationship_takes_no_new_risk", "A relationship of this trade takes no new risk now.")
    if trade.instrument.expiry is not None and trade.instrument.expiry <= clock.now():
        raise Refusal("instrument_expired", f"{trade.instrument.code} has expired.", instrument=trade.instrument.code)


def _refuse_unless_admitted(trade: Trade, cells: Mapping[UUID, Cell]) -> None:
    """Run the admission test on both client sides and keep each verdict in its own cell."""
    changes = {
        cell_id: [ports.PlannedTrade(trade.instrument_id, quantity, trade.price)]
        for cell_id, _, quantity in _legs(trade)
        if cells[cell_id].kind == Cell.Kind.CLIENT
    }
    try:
        results = ports.risk_gate().check_trades(changes)
    except Refusal as refusal:
        if refusal.code not in TOLD_OF_A_BOOK:
            raise
        logger.info("trade %s: %s", trade.id, refusal)
        raise Refusal(refusal.code, TOLD_OF_A_BOOK[refusal.code]) from refusal
    for cell_id, result in results.items():
        TradeCheck.objects.create(cell_id=cell_id, trade=trade, passed=result.passed, numbers=result.numbers())
    if not all(results[cell_id].passed for cell_id in changes):
        raise Refusal("admission_failed", "A side of this trade does not pass its admission test.")


def _refuse_inexact(quantity: Decimal, price: Decimal) -> None:
    for name, value, places in (("quantity", quantity, QUANTITY_PLACES), ("price", price, PRICE_PLACES)):
        if not value.is_finite() or value <= 0 or value >= VALUE_LIMIT or value != value.quantize(places):
            raise BadInput(f"trade_{name}", f"A {name} is above zero and a multiple of {places:f}.", value=str(value))
    if multiply_exactly(quantity, price) >= VALUE_LIMIT:
        raise BadInput("trade_too_large", f"One trade is below {VALUE_LIMIT:,.0f} dollars.")


def _locked_for(user: User, trade_id: UUID) -> Trade:
    """The trade with its cells: locked before anything is audited, as in every command, so that none wait in a ring."""
    assert connection.in_atomic_block, "a trade belongs to a transaction"
    found = access.trade_for(user, trade_id)
    ledger.lock_cells([found.buyer_id, found.seller_id])
    rows = Trade.objects.select_for_update(of=("self",)).select_related("buyer", "seller", "submitted_by")
    return rows.get(id=trade_id)


def _refuse_unless_submitted(trade: Trade) -> None:
    if trade.state != Trade.State.SUBMITTED:
        raise Refusal("trade_not_open", "This trade is decided already.", state=trade.state)


def _tell(trade: Trade) -> None:
    for cell_id in (trade.buyer_id, trade.seller_id):
        events.notify(events.PAGES_CHANNEL, f"cell:{cell_id}")
