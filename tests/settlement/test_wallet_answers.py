"""The demo's clients answer their calls once, however often they are asked, stopped or helped."""

from datetime import timedelta

import pytest
from django.db import transaction

from intermediary import calls, clock, ledger, outbox
from intermediary.config.demo import keys, wallet
from intermediary.config.demo.wallet_sending import send_tokens
from intermediary.config.demo.world import Cast
from intermediary.config.demo.world import Client as Member
from intermediary.models import (
    AccountKind,
    CallIncrement,
    ChainInstruction,
    ChainTarget,
    MarginCall,
    Party,
    TermsVersion,
    Valuation,
)
from settlement.chain import Chain
from settlement.cycle import settle_all
from settlement.demo_chain import mine
from tests.people import member, person
from tests.settlement.world import MILLION, Client, client, give, house_with_contracts, on_chain, transfer

CODE = "R-1"
WHO = Member("alice", "Alice", Party.Kind.FUND, "KY", CODE, "answers", reserve_usd=0, answers_after_minutes=5)
CAST = Cast(clients=(WHO,), contracts=(), bargains=(), investors=())
RESERVE = 10 * MILLION


def alice_and_her_reserve(chain: Chain) -> Client:
    """A client with signed terms, a person and ten million in its wallet."""
    house_with_contracts(chain.url)
    made = client(chain, CODE, 0)
    assert made.cell.party is not None
    terms = made.terms
    TermsVersion.objects.create(
        cell=made.cell, version=1, body=terms.canonical, hash=terms.hash, client_signer=terms.client,
        client_signature="0x", house_signer=terms.client, house_signature="0x",
    )  # fmt: skip
    user = person("client.alice")
    member(user, made.cell.party)
    give(chain, made.key.address, RESERVE)
    settle_all(chain=chain)
    return made


def alices_world() -> tuple[str, Client]:
    return on_chain(alice_and_her_reserve)


pytestmark = pytest.mark.world(build=alices_world)


@pytest.fixture
def alice(who: Client) -> Client:
    return who


@pytest.fixture
def call(alice: Client) -> MarginCall:
    """A call of four million, older than the client's delay."""
    valuation = Valuation.objects.create(as_of=clock.now(), source="test", snapshot_id="0" * 64, prices={})
    later = clock.now() + timedelta(hours=2)
    made = MarginCall.objects.create(
        cell=alice.cell, amount_base_units=4 * MILLION, valuation=valuation, deliver_by=later
    )
    CallIncrement.objects.create(
        cell=alice.cell, call=made, amount_base_units=4 * MILLION, unmet_base_units=4 * MILLION, deliver_by=later
    )
    MarginCall.objects.filter(id=made.id).update(at=made.at - timedelta(minutes=6))
    return made


def paid(alice: Client, chain: Chain) -> int:
    """What the wallet has given away."""
    asset = ledger.settlement_asset()
    return RESERVE - wallet.balance(chain, asset, alice.key.address)


def look(chain: Chain) -> None:
    """The wallets look once; the test mines."""
    wallet.step(chain, CAST, mine)


def test_a_call_is_answered_in_full_once_and_pledged(alice: Client, call: MarginCall, chain: Chain) -> None:
    for _ in range(3):
        look(chain)
        call.refresh_from_db()
        assert (paid(alice, chain), call.state) == (4 * MILLION, MarginCall.State.PLEDGED)
    assert call.pledged_base_units == 4 * MILLION
    settle_all()
    call.refresh_from_db()
    assert (call.state, calls.unmet(call)) == (MarginCall.State.SETTLED, 0)
    look(chain)
    assert paid(alice, chain) == 4 * MILLION


def test_before_its_delay_it_does_nothing(alice: Client, call: MarginCall, chain: Chain) -> None:
    MarginCall.objects.filter(id=call.id).update(at=clock.now())
    look(chain)
    assert paid(alice, chain) == 0


@pytest.mark.parametrize("mined", [False, True])
def test_a_crash_between_transfer_and_pledge_pays_once(
    alice: Client, call: MarginCall, chain: Chain, mined: bool
) -> None:
    send_tokens(chain, alice.key, ledger.settlement_asset(), alice.vault.address, 4 * MILLION, None)
    if mined:
        mine(chain)
    look(chain)  # the process that started again
    mine(chain)
    look(chain)
    call.refresh_from_db()
    assert (paid(alice, chain), call.state) == (4 * MILLION, MarginCall.State.PLEDGED)


def test_what_a_person_has_sent_by_hand_is_not_sent_again(alice: Client, call: MarginCall, chain: Chain) -> None:
    transfer(chain, alice.key, alice.vault.address, MILLION)
    look(chain)
    assert paid(alice, chain) == 4 * MILLION
    settle_all()
    look(chain)
    assert paid(alice, chain) == 4 * MILLION
    call.refresh_from_db()
    assert call.state == MarginCall.State.SETTLED


def test_what_the_ledger_has_booked_already_counts_once(alice: Client, call: MarginCall, chain: Chain) -> None:
    transfer(chain, alice.key, alice.vault.address, MILLION)
    settle_all()
    assert ledger.balance(alice.cell.id, AccountKind.CLIENT_MARGIN, "USDC") == MILLION
    look(chain)
    assert paid(alice, chain) == 4 * MILLION


def test_a_call_that_grows_after_the_pledge_is_answered_again(alice: Client, call: MarginCall, chain: Chain) -> None:
    look(chain)
    CallIncrement.objects.create(
        cell=alice.cell, call=call, amount_base_units=MILLION, unmet_base_units=MILLION, deliver_by=call.deliver_by
    )
    look(chain)
    assert paid(alice, chain) == 5 * MILLION


def test_a_wallet_that_holds_too_little_sends_nothing(alice: Client, call: MarginCall, chain: Chain) -> None:
    transfer(chain, alice.key, ChainTarget.objects.get(kind="HOUSE").address, 7 * MILLION)
    look(chain)
    call.refresh_from_db()
    assert (paid(alice, chain), call.state) == (7 * MILLION, MarginCall.State.ISSUED)


@pytest.mark.parametrize("mined", [False, True])
def test_the_market_pays_once_for_what_it_was_sold(alice: Client, chain: Chain, mined: bool) -> None:
    market, asset = keys.market(), ledger.settlement_asset()
    give(chain, market.address, wallet.INITIAL_FUNDS)
    house = ChainTarget.objects.get(kind=ChainTarget.Kind.HOUSE)
    with transaction.atomic():
        sold = outbox.instruct(
            target=house,
            cell_id=alice.cell.id,
            kind=ChainInstruction.Kind.DISPOSE,
            account="market",
            expected_base_units=str(3 * MILLION),
        )
    for state in (ChainInstruction.State.BATCHED, ChainInstruction.State.INCLUDED, ChainInstruction.State.FINAL):
        ChainInstruction.objects.filter(id=sold.id).update(state=state)
    send_tokens(chain, market, asset, house.address, 3 * MILLION, None)
    if mined:
        mine(chain)
    look(chain)
    mine(chain)
    look(chain)
    assert wallet.INITIAL_FUNDS - wallet.balance(chain, asset, market.address) == 3 * MILLION
