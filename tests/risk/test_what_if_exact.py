"""What a client is told before a trade is what the tick then stores, to the base unit: with options, more than one
coin, margin that moves with the market, a credit line, and gains and losses that are not yet paid."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from intermediary import clock, ports, trading
from intermediary.config.replay import store_snapshot
from intermediary.models import Instrument, MarginState, Mark, Trade, TradeCheck
from risk import engine, what_if
from risk.gate import EngineGate
from risk.models import Tick
from tests.intermediary import default_world
from tests.intermediary.margin_world import BTC, MILLION, USD, Client, client, fund_house
from tests.risk.builders import snapshot
from tests.risk.tick_world import fund_float, grant_line, settled_at

pytestmark = pytest.mark.django_db

BEFORE = {"BTC": "95000", "ETH": "4016"}
MOVED = {"BTC": "94310.5", "ETH": "4047.77"}
CYCLE = timedelta(hours=4)  # of variation margin: a tick within it leaves gains and losses as exposure
Book = Mapping[str, str]

# name -> what it holds, what it considers, WBTC of its margin in coins, whether a line stands behind it
CASES: dict[str, tuple[Book, Book, int, bool]] = {
    "a first option, sold": ({}, {"BTC-CALL": "-20"}, 0, False),
    "an option bought beside two perpetuals": (
        {"BTC-PERP": "20.00000001", "ETH-PERP": "-300"}, {"BTC-CALL": "-15.5"}, 0, False,
    ),
    "margin in bitcoin": ({"BTC-PERP": "-12", "ETH-PERP": "210.1"}, {"BTC-CALL": "7", "ETH-PERP": "-400"}, 150, False),
    "a line": ({"BTC-CALL": "-30", "ETH-PERP": "500"}, {"BTC-PERP": "25"}, 0, True),
    "all of it": ({"BTC-CALL": "-30", "ETH-PERP": "500"}, {"BTC-CALL": "4.00000001", "ETH-PERP": "-90"}, 150, True),
}  # fmt: skip


@pytest.fixture
def sides() -> tuple[Client, Client]:
    """Two of 40 million each; a perpetual on either coin and a call on one of them, listed before any market."""
    kinds, expiry = Instrument.Kind, clock.now() + timedelta(days=30)
    Instrument.objects.bulk_create(
        [
            Instrument(code="BTC-PERP", kind=kinds.PERPETUAL, underlying="BTC"),
            Instrument(code="ETH-PERP", kind=kinds.PERPETUAL, underlying="ETH"),
            Instrument(code="BTC-CALL", kind=kinds.CALL, underlying="BTC", expiry=expiry, strike=Decimal(100_000)),
        ]
    )
    fund_house(100 * MILLION)
    found = client("D"), client("W")
    for who in found:
        who.deposit(40 * MILLION)
        fund_float(who.cell)
    return found


def opened(marks: Mapping[str, str]) -> Tick:
    """The market of now with these marks, official; its requirements are not renewed yet."""
    moment, market = clock.now(), snapshot(marks)
    coins = {coin: replace(item, observed_at=moment) for coin, item in market.underlyings.items()}
    return engine.open_tick(store_snapshot(replace(market, as_of=moment, underlyings=coins)), 1, cycle=CYCLE)


def traded(who: Client, other: Client, code: str, quantity: Decimal) -> Trade:
    """Novated at the official mark, by the gate."""
    price = Mark.objects.filter(instrument__code=code).latest("id").price
    trade = trading.submit_trade(
        user=who.user,
        cell_id=who.cell.id,
        side="BUY" if quantity > 0 else "SELL",
        counterparty=other.cell.code,
        instrument=code,
        quantity=abs(quantity),
        price=price,
    )
    trading.affirm_trade(user=other.user, trade_id=trade.id)
    done = trading.novate(trade_id=trade.id)
    assert done.state == Trade.State.NOVATED, done.refusal
    return done


@pytest.mark.parametrize("then", [BEFORE, MOVED], ids=["still", "moved"])
@pytest.mark.parametrize("case", CASES)
def test_the_forecast_of_a_trade_is_what_the_next_tick_stores(
    sides: tuple[Client, Client], case: str, then: Mapping[str, str]
) -> None:
    who, other = sides
    held, wished, coins, has_line = CASES[case]
    first = opened(BEFORE)
    settled_at(first, who, dict(held))
    if coins:
        who.deposit(coins * BTC, "WBTC")
    if has_line:
        grant_line(who)
        default_world.settle()
    engine.run_shard(first.id, 0)
    ports.bind_risk_gate(EngineGate())

    following = opened(then)
    wishes = [what_if.Considered(code, Decimal(quantity)) for code, quantity in wished.items()]
    answer = what_if.what_if(who.cell.id, wishes)
    assert answer["verdict"]["passed"]
    trades = [traded(who, other, wish.instrument, wish.quantity) for wish in wishes]
    assert TradeCheck.objects.get(trade=trades[-1], cell=who.cell).numbers == answer["verdict"]
    engine.run_shard(following.id, 0)

    stored = MarginState.objects.get(cell=who.cell)
    assert stored.valuation_id == following.valuation_id
    assert answer["after"] == {name: getattr(stored, name) for name in answer["after"]}
    owed = abs(stored.exposure_base_units)
    assert owed > 10_000 * USD if held and then is MOVED else owed < USD, "an option ages between two ticks, too"
    assert stored.threshold_base_units == (2 * MILLION if has_line else 0)
    assert stored.independent_amount_base_units > 0
    assert (
        what_if.what_if(who.cell.id, [replace(wishes[0], quantity=Decimal("0.00000001"))])["before"] == answer["after"]
    )
