"""The gate at commit time: what a trade's own price does to both sides, and that a market must be seen to be traded."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from intermediary import clock, ports, trading
from intermediary.config.replay import store_snapshot
from intermediary.errors import Refusal
from intermediary.models import Instrument, Mark, Position, Trade, TradeCheck
from intermediary.ports import LayerSizes, PlannedTrade
from risk import engine
from risk.gate import EngineGate
from tests.intermediary.margin_world import MILLION, USD, Client, agreed, bitcoin, client
from tests.risk.builders import snapshot

pytestmark = pytest.mark.django_db

MARK = 95_000
NO_LAYERS = LayerSizes(0, 0, 0)


@pytest.fixture
def before_any_market() -> tuple[Client, Client]:
    """A buyer and a seller with 20 million each."""
    bitcoin()
    found = client("D"), client("W")
    for who in found:
        who.deposit(20 * MILLION)
    ports.bind_risk_gate(EngineGate())
    return found


@pytest.fixture
def sides(before_any_market: tuple[Client, Client]) -> tuple[Client, Client]:
    """The same, and bitcoin official at 95,000 a moment ago."""
    official(clock.now())
    return before_any_market


def official(moment: datetime, *, seen: datetime | None = None) -> None:
    """Bitcoin at 95,000 becomes official as of a moment; the market was last seen then, or earlier."""
    market = snapshot({"BTC": str(MARK)})
    coins = {coin: replace(item, observed_at=seen or moment) for coin, item in market.underlyings.items()}
    engine.open_tick(store_snapshot(replace(market, as_of=moment, underlyings=coins)), 1)


def novated(sides: tuple[Client, Client], quantity: int, price: str | int) -> Trade:
    return trading.novate(trade_id=agreed(*sides, quantity, price).id)


def code_of(trade: Trade) -> str:
    """Why it was refused."""
    assert trade.state == Trade.State.REFUSED
    assert trade.refusal is not None
    return str(trade.refusal["code"])


def test_a_price_far_from_the_mark_moves_no_margin(sides: tuple[Client, Client]) -> None:
    """Two that are one could agree on anything: the loser's layers and bond would pay the winner."""
    for price in (2 * MARK, MARK // 2, "99750.01", "90249.99"):
        trade = novated(sides, 10, price)
        assert code_of(trade) == "price_off_market", price
    assert trade.refusal["data"] == {  # type: ignore[index]  # it is refused
        "instrument": "BTC-PERP", "price": "90249.99", "mark": "95000", "at_most_off": "4750",
    }  # fmt: skip
    assert not Position.objects.exists()


@pytest.mark.parametrize("price", ["99750", "90250"])
def test_a_price_at_the_edge_of_the_band_is_a_price(sides: tuple[Client, Client], price: str) -> None:
    assert novated(sides, 10, price).state == Trade.State.NOVATED


def test_an_option_may_be_off_by_the_move_of_its_underlying(sides: tuple[Client, Client]) -> None:
    """A percentage of a small premium would forbid what a small move of the market brings."""
    kind, expiry = Instrument.Kind.CALL, clock.now() + timedelta(days=30)
    call = Instrument.objects.create(code="C", kind=kind, underlying="BTC", expiry=expiry, strike=Decimal(150_000))
    official(clock.now())
    mark = Mark.objects.filter(instrument=call).latest("id").price
    assert mark < 1_000
    one = Decimal(1)
    EngineGate().check_trades({sides[0].cell.id: [PlannedTrade(call.id, one, mark + 4_750)]})
    with pytest.raises(Refusal, match="price_off_market"):
        EngineGate().check_trades({sides[0].cell.id: [PlannedTrade(call.id, one, mark + 4_751)]})


def test_what_a_price_costs_counts_as_owed_before_it_is_paid(sides: tuple[Client, Client]) -> None:
    """In the stress test and in the margin that the trade needs; to the other side it counts as owed to it."""
    buyer, seller = (who.cell.id for who in sides)

    def exposures(price: int) -> tuple[int, int]:
        found = EngineGate().check_trades(
            {
                buyer: [PlannedTrade(bitcoin().id, Decimal(10), Decimal(price))],
                seller: [PlannedTrade(bitcoin().id, Decimal(-10), Decimal(price))],
            }
        )
        return found[buyer].data["exposure"], found[seller].data["exposure"]

    assert exposures(MARK) == (0, 0)
    assert exposures(MARK + 4_000) == (40_000 * USD, -40_000 * USD)
    assert exposures(MARK - 4_000) == (-40_000 * USD, 40_000 * USD)


def test_a_trade_needs_margin_for_what_its_price_costs(sides: tuple[Client, Client]) -> None:
    """A book that lacks margin at the mark lacks more above it, by exactly what the price costs."""
    buyer, _ = sides

    def missing(price: int) -> int:
        planned = [PlannedTrade(bitcoin().id, Decimal(2_000), Decimal(price))]
        return int(EngineGate().check_trades({buyer.cell.id: planned})[buyer.cell.id].data["missing_margin"])

    assert missing(MARK + 3_800) == missing(MARK) + 2_000 * 3_800 * USD


def test_every_trade_since_the_valuation_counts(sides: tuple[Client, Client]) -> None:
    """What one trade costs is not forgotten at the next one."""
    first = novated(sides, 10, 99_000)
    assert first.state == Trade.State.NOVATED
    second = novated(sides, 10, 99_000)
    check = TradeCheck.objects.get(trade=second, cell=sides[0].cell)
    assert check.numbers["data"]["exposure"] == 80_000 * USD


def test_m6_no_new_risk_on_an_official_market_that_is_too_old(before_any_market: tuple[Client, Client]) -> None:
    """The limit is that of the terms: valuations are hourly, and three are missing."""
    sides = before_any_market
    official(clock.now() - timedelta(hours=3, seconds=1))
    assert code_of(novated(sides, 1, MARK)) == "price_stale"
    with pytest.raises(Refusal, match="price_stale"):
        EngineGate().check_line(sides[0].cell.id, 0, NO_LAYERS)
    official(clock.now())
    assert novated(sides, 1, MARK).state == Trade.State.NOVATED


def test_m6_no_new_risk_on_a_coin_that_a_fresh_market_had_not_seen(sides: tuple[Client, Client]) -> None:
    official(clock.now(), seen=clock.now() - timedelta(hours=2, seconds=1))
    refused = novated(sides, 1, MARK)
    assert code_of(refused) == "price_stale"
    assert refused.refusal["data"] == {}, "both sides read it, and what one holds is not the other's to know"  # type: ignore[index]
    with pytest.raises(Refusal, match="price_stale") as told:
        EngineGate().check_trades({sides[0].cell.id: [PlannedTrade(bitcoin().id, Decimal(1), Decimal(MARK))]})
    assert told.value.data["unseen"] == ["BTC"]
