"""Nobody becomes longer in its own coin: by delta, of an affiliate too, and what stood before may only shrink."""

from dataclasses import replace
from decimal import Decimal

import pytest

from intermediary import clock, onboarding, ports, trading
from intermediary.config.replay import store_snapshot
from intermediary.errors import Refusal
from intermediary.models import Affiliation
from intermediary.ports import PlannedTrade
from risk import engine, what_if
from risk.gate import EngineGate
from tests.intermediary.margin_world import MILLION, Client, bitcoin, client, signatures
from tests.risk.builders import snapshot

pytestmark = pytest.mark.django_db
MARK = Decimal(95_000)


@pytest.fixture
def who() -> Client:
    """Long ten coins since before bitcoin was stated as an affiliate's own."""
    bitcoin()
    ports.bind_risk_gate(EngineGate())
    found, friend = client("D"), client("E")
    found.deposit(20 * MILLION)
    moment, market = clock.now(), snapshot({"BTC": str(MARK)})
    seen = {coin: replace(item, observed_at=moment) for coin, item in market.underlyings.items()}
    engine.open_tick(store_snapshot(replace(market, as_of=moment, underlyings=seen)), 1)
    trading.book_leg(cell_id=found.cell.id, instrument_id=bitcoin().id, quantity=Decimal(10), price=MARK)
    Affiliation.objects.create(party=friend.party, affiliate=found.party)
    for one in (found, friend):
        bare = replace(onboarding.current_terms(one.cell.id), haircut_bps=(("USDC", 0),))
        onboarding.sign_terms(actor="officer", cell_id=one.cell.id, terms=bare, **signatures(bare, one.key))
    onboarding.state_own_token(actor="officer", party=friend.party, underlying="BTC")
    return found


def check(who: Client, quantity: int) -> bool:
    trades = [PlannedTrade(bitcoin().id, Decimal(quantity), MARK)]
    return EngineGate().check_trades({who.cell.id: trades})[who.cell.id].passed


def test_a_longer_position_in_ones_own_coin_is_refused_and_every_other_is_not(who: Client) -> None:
    with pytest.raises(Refusal, match="own coin") as found:
        check(who, 1)
    assert found.value.code == "own_coin_longer"
    assert found.value.data == {"underlying": "BTC", "delta_usd_before": 950_000, "delta_usd_after": 1_045_000}
    assert check(who, -5)
    assert check(who, -10)
    assert check(who, -12), "short of its own coin it gains when that fails"


def test_a_what_if_says_beforehand_what_the_trade_would_be_refused_with(who: Client) -> None:
    with pytest.raises(Refusal) as refused:
        check(who, 1)
    answer = what_if.what_if(who.cell.id, [what_if.Considered("BTC-PERP", Decimal(1))])
    assert answer["verdict"]["passed"], "nothing else stands against it"
    assert answer["refusal"] == {
        "code": "own_coin_longer", "message": refused.value.message, "data": refused.value.data,
    }  # fmt: skip
    assert what_if.what_if(who.cell.id, [what_if.Considered("BTC-PERP", Decimal(-1))])["refusal"] is None


def test_another_party_may_be_long(who: Client) -> None:
    other = client("F")
    other.deposit(20 * MILLION)
    assert check(other, 1)
