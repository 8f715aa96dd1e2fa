"""Wishes are carried out one after the other, whatever becomes of the one before."""

from dataclasses import replace
from decimal import Decimal

from django.contrib.auth.models import User
from django.db import transaction

from intermediary import clock, ports, trading
from intermediary.config import requests
from intermediary.config.replay import store_snapshot
from intermediary.models import Cell, CommandRequest, MarginState, Trade
from risk import engine
from tests.conftest import TestDatabase
from tests.intermediary.margin_world import Client, Limits, bitcoin, client
from tests.risk.builders import snapshot


def wish(command: str, user: User, **body: str) -> CommandRequest:
    return CommandRequest.objects.create(command=command, user=user, body=body)


def submitted(buyer: Client, seller: Cell) -> Trade:
    return trading.submit_trade(
        user=buyer.user, cell_id=buyer.cell.id, side="BUY", counterparty=seller.code, instrument="BTC-PERP",
        quantity=Decimal(1), price=Decimal(95_000),
    )  # fmt: skip


def test_requirements_that_cannot_be_renewed_hold_up_no_other_wish(committing_db: TestDatabase) -> None:
    """The trade stands, its sides wait for their next valuation, and the wish behind it is carried out at once."""
    with transaction.atomic():
        bitcoin()
        buyer, seller = client("D", ruleset="of-tomorrow"), client("W")
        trades = [submitted(buyer, seller.cell) for _ in range(2)]
    market = snapshot({"BTC": "95000"})
    engine.open_tick(store_snapshot(replace(market, as_of=clock.now())), 1)
    ports.bind_risk_gate(Limits())
    wish("affirm_trade", seller.user, trade_id=str(trades[0].id))
    last = wish("cancel_trade", seller.user, trade_id=str(trades[1].id))
    assert requests.run_pending() == 2
    assert [Trade.objects.get(id=trade.id).state for trade in trades] == ["NOVATED", "CANCELLED"]
    last.refresh_from_db()
    assert last.state == CommandRequest.State.DONE
    assert MarginState.objects.get().cell == seller.cell, "the other side's requirement was renewed"
