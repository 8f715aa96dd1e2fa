"""A repayment rolled into the next series through the real contracts: what is kept back stays, what was repaid is
claimed, and the new notes are paid with it and the difference alone."""

from typing import Any

import pytest
from django.db import transaction
from pytest_django import Settings

from bonds.models import HolderClaim, Holding, NotePayment, RollForward
from bonds.offering import orders
from bonds.portal import book_queries, paying, rolled
from bonds.servicing import rolls
from intermediary.config.demo.wallet_rpc import WalletRpc
from settlement import series as on_chain
from settlement.bindings import read
from settlement.chain import Chain
from settlement.demo_chain import mine
from settlement.deployment import mint_tokens
from tests.bonds import roll_world, world
from tests.bonds.roll_world import FIRST, MILLION, SECOND, Rolling, holder
from tests.bonds.world import Secret
from tests.settlement import world as chain_world

pytestmark = pytest.mark.world(build=roll_world.world_to_roll)


@pytest.fixture
def chain(chain_url: str, settings: Settings, request: pytest.FixtureRequest) -> Chain:
    """See the fixture of the same name in tests.settlement."""
    return chain_world.chain_of_world(chain_url, settings, request)


@pytest.fixture
def rolling(chain: Chain, built_world: tuple[str, list[chain_world.Client]]) -> Rolling:
    return roll_world.begin(chain, built_world[1])


def asked_of(secret: Secret) -> dict[str, Any]:
    """The calls that the page of payment makes out for the wallet."""
    view = book_queries.own_order(secret.user, secret.order.id)
    assert view.due is not None
    return paying._asked(view, view.due, rolled.netted(view))


class Wallet:
    """The first holder's, which sends what a page has made out."""

    def __init__(self, chain: Chain) -> None:
        self.rpc = WalletRpc(chain.url, {"first": [FIRST]})
        self.chain = chain

    def ask(self, method: str, *parameters: object) -> Any:
        return self.rpc.answer("first", {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)})

    def number(self, to: str, data: str) -> int:
        return int(self.ask("eth_call", {"to": to, "data": data}, "latest")["result"], 16)

    def send(self, to: str, data: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.ask("eth_sendTransaction", {"from": FIRST.address, "to": to, "data": data})
        mine(self.chain)
        return answer


def test_claim_and_subscribe_net_of_what_is_kept_back(rolling: Rolling) -> None:
    """Of four million two are kept back; four of the new notes are allocated: two roll, two are brought."""
    chain, life, into = rolling.chain, rolling.life, rolling.into
    old = life.note
    with transaction.atomic():
        election = rolls.elect(
            user=holder(40), tranche_id=old.id, address=FIRST.address, into_id=into.id, minimum_spread_bps=400
        )
        kept = world.opening_of(holder(40), into, (400, 4 * MILLION))
        order = orders.commit(user=holder(40), tranche_id=into.id, commitment=kept.commitment, roll_forward=election.id)
        other = world.sealed(holder(41), into, (425, 2 * MILLION))
    mine_ = Secret(holder(40), order, kept.opening.text, kept.nonce)
    rolling.old_is_repaid()
    election.refresh_from_db()
    assert (election.state, election.amount_base_units) == ("ELECTED", 2 * MILLION)
    assert life.said("claimable", FIRST.address) == 2 * MILLION
    rolling.cleared(mine_, other)

    netted = rolled.netted(book_queries.own_order(holder(40), order.id))
    assert netted is not None
    assert (netted.due_base_units, netted.new_money_base_units) == (4 * MILLION, 2 * MILLION)
    asked, wallet = asked_of(mine_), Wallet(chain)
    (claim,) = asked["claims"]
    amount = int(asked["amount"])
    assert wallet.number(claim["note"], claim["claimable"]) == 2 * MILLION
    assert wallet.number(asked["escrow"], asked["allotment"]) == amount == 4 * MILLION
    assert life.cash_of(FIRST.address) == 0
    mint_tokens(chain=chain, asset="USDC", to=FIRST.address, amount_base_units=netted.new_money_base_units, mine=mine)
    assert "result" in wallet.send(asked["token"], asked["approve"])
    assert "error" in wallet.send(asked["escrow"], asked["subscribe"]), "the difference alone does not pay"
    assert "result" in wallet.send(claim["escrow"], claim["claim"])
    assert wallet.number(claim["note"], claim["claimable"]) == 0, "a second look leaves the claim out"
    assert wallet.number(asked["token"], asked["allowance"]) == amount, "and the approval"
    assert "result" in wallet.send(asked["escrow"], asked["subscribe"])
    assert life.cash_of(FIRST.address) == 0
    assert int(read(chain, into_note(rolling), "TrancheNote", "balanceOf", FIRST.address)) == 4 * MILLION
    assert life.said("principalOf", FIRST.address) == 2 * MILLION, "kept back for R1"

    pay_the_rest(rolling)
    rolling.issued()
    election.refresh_from_db()
    assert (election.state, election.rolled_base_units) == (RollForward.State.APPLIED, 2 * MILLION)
    assert HolderClaim.objects.get(party=election.party).amount_base_units == 2 * MILLION
    assert sum(NotePayment.objects.filter(party=election.party, tranche=into).values_list("units", flat=True)) == (
        4 * MILLION
    )
    assert Holding.objects.get(tranche=into, party=election.party).units == 4 * MILLION
    chain_world.assert_reconciled()


def into_note(rolling: Rolling) -> str:
    rolling.into.refresh_from_db()
    return rolling.into.note_address


def pay_the_rest(rolling: Rolling) -> None:
    """The second holder pays with new money."""
    escrow = rolling.offering.series.escrow_address
    mint_tokens(chain=rolling.chain, asset="USDC", to=SECOND.address, amount_base_units=2 * MILLION, mine=mine)
    on_chain.subscribe(chain=rolling.chain, escrow=escrow, investor=SECOND, tranche=0, units=2 * MILLION, mine=mine)
