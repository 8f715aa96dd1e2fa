"""A node that stalls, forgets and lies, by the fault-injecting proxy: what is noticed, and what does no harm."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from django.db import transaction
from pytest_django import Settings

from intermediary import outbox
from intermediary.errors import Refusal
from intermediary.ids import uuid7
from intermediary.models import AccountKind, ChainInstruction, ChainTarget
from settlement import approver, poster, sender_alarms
from settlement.bindings import contract, read, topic
from settlement.calls import FIRST_LOSS_LAYER
from settlement.chain import Chain, ChainRefused, ChainUnreachable
from settlement.cycle import settle_all
from settlement.demo_chain import mine
from settlement.models import (
    Batch,
    BatchMovement,
    ChainBlock,
    ChainLog,
    ChainTransaction,
    ReconciliationBreak,
    TransactionAttempt,
)
from settlement.signer import demo_signer
from settlement.watcher import step as watch
from settlement.watcher import tip
from tests.settlement.faults.proxy import Proxy, proxy_of
from tests.settlement.faults.rules import (
    Answer,
    Ask,
    Fault,
    Forward,
    altered,
    behind,
    delayed,
    lagging,
    lost_after,
    lost_before,
    null,
    refused,
    twice,
    without_logs,
)
from tests.settlement.test_crashes import CHAIN_ID, signers
from tests.settlement.world import MILLION, Client, assert_reconciled, debit, deposit, funded_client, give, held

pytestmark = pytest.mark.world(build=funded_client)
Kind = ChainInstruction.Kind


@pytest.fixture
def proxy(chain: Chain) -> Iterator[Proxy]:
    with proxy_of(chain.url) as running:
        yield running


@pytest.fixture
def seen(proxy: Proxy) -> Chain:
    """The chain as the platform sees it."""
    return Chain(proxy.url("platform"))


def numbers_on_chain(chain: Chain, who: Client) -> tuple[int, int]:
    """How many movements the vault has counted, and what it holds."""
    balance = read(chain, who.vault.asset.token_address, "DemoUSDC", "balanceOf", who.vault.address)
    return read(chain, who.vault.address, "MarginVault", "seq"), balance


def assert_moved_once(chain: Chain, who: Client, left: int) -> None:
    """One movement, in contract, logs and journal alike, and books that agree to the base unit."""
    assert numbers_on_chain(chain, who) == (1, left)
    assert ChainLog.objects.filter(name="Moved", block__canonical=True, applied=True).count() == 1
    assert BatchMovement.objects.filter(outcome="SETTLED").count() == 1
    assert held(who) == left
    assert_reconciled()


def rounds(chain: Chain, seen: Chain, count: int = 4) -> None:
    """What the three processes do, so many times, each outliving what their loop outlives."""
    for _ in range(count):
        outlive(lambda: poster.step(seen, signers()))
        outlive(lambda: approver.step(demo_signer("approver"), CHAIN_ID))
        outlive(lambda: poster.step(seen, signers()))
        for _ in range(3):
            mine(chain)
        outlive(lambda: watch(seen))


def outlive(step: Callable[[], object]) -> None:
    with contextlib.suppress(ChainUnreachable, ChainRefused):
        step()


@pytest.mark.parametrize("fault", [lost_before, lost_after, twice, refused], ids=lambda fault: fault.__name__)
def test_a_movement_is_made_once_whatever_becomes_of_the_call_that_sends_it(
    chain: Chain, who: Client, proxy: Proxy, seen: Chain, fault: Fault
) -> None:
    debit(who, MILLION)
    proxy.add(fault, "eth_sendRawTransaction", times=2)
    rounds(chain, seen)
    assert_moved_once(chain, who, 4 * MILLION)
    assert (ChainTransaction.objects.count(), TransactionAttempt.objects.count()) == (1, 1)


@pytest.mark.parametrize(
    "fault", [lost_before, lost_after, refused, delayed(0.05)], ids=["lost", "after", "no", "late"]
)
def test_every_question_may_go_unanswered_once(
    chain: Chain, who: Client, proxy: Proxy, seen: Chain, fault: Fault
) -> None:
    debit(who, MILLION)
    for method in sorted({method for _, method in proxy.asked} | {"eth_getLogs", "eth_call", "eth_getBlockByNumber"}):
        proxy.add(fault, method, times=2)
    rounds(chain, seen)
    assert_moved_once(chain, who, 4 * MILLION)


def test_a_node_that_is_behind_is_no_reorganisation(chain: Chain, who: Client, proxy: Proxy, seen: Chain) -> None:
    """Another machine behind the same address: it knows the chain up to a while ago, and nothing that differs."""
    for _ in range(8):
        mine(chain)
    watch(seen)
    before, blocks = tip(), ChainBlock.objects.filter(canonical=True).count()
    proxy.add(behind(6), client="platform")
    watch(seen)
    assert tip() == before
    assert (ChainBlock.objects.filter(canonical=True).count(), ChainBlock.objects.filter(canonical=False).count()) == (
        blocks,
        0,
    )
    debit(who, MILLION)
    rounds(chain, seen)
    assert ReconciliationBreak.objects.count() == 0
    proxy.clear()
    settle_all(chain=seen)
    assert_moved_once(chain, who, 4 * MILLION)


def test_a_machine_that_lags_behind_its_address_breaks_no_finality(
    chain: Chain, who: Client, proxy: Proxy, seen: Chain
) -> None:
    """It denies final blocks of ours: that it has none there says nothing of the chain."""
    for _ in range(8):
        mine(chain)
    watch(seen)
    before = tip()
    mine(chain)
    proxy.add(lagging(6), client="platform")
    watch(seen)
    assert tip() == before
    assert not ChainBlock.objects.filter(canonical=False).exists()
    chain.call("anvil_reorg", 2, [])
    watch(seen)  # what it does not know yet, it cannot have dropped
    proxy.clear()
    debit(who, MILLION)
    settle_all(chain=seen)
    assert ChainBlock.objects.filter(canonical=False).exists()
    assert_moved_once(chain, who, 4 * MILLION)
    assert not ReconciliationBreak.objects.exists()


@pytest.mark.parametrize("name", ["Moved", "BatchPosted", "Transfer"])
def test_a_log_that_the_node_left_out_is_missed_and_read_again(
    chain: Chain, who: Client, proxy: Proxy, seen: Chain, name: str
) -> None:
    left_out = topic({"Moved": "MarginVault", "BatchPosted": "House", "Transfer": "DemoUSDC"}[name], name)
    debit(who, MILLION)
    proxy.add(without_logs(lambda log: log["topics"][0] == left_out), "eth_getLogs")
    rounds(chain, seen, 2)
    proxy.clear()
    settle_all(chain=seen)
    assert_moved_once(chain, who, 4 * MILLION)


def test_a_deposit_whose_log_was_left_out_is_missed_by_its_balance_and_credited_once(
    chain: Chain, who: Client, proxy: Proxy, seen: Chain
) -> None:
    proxy.add(without_logs(lambda log: True), "eth_getLogs")
    deposit(chain, who, MILLION)
    for _ in range(3):
        mine(chain)
    watch(seen)
    found = ReconciliationBreak.objects.get(resolved_block=None)
    assert (found.kind, found.ledger_value, found.chain_value) == ("amount", str(5 * MILLION), str(6 * MILLION))
    proxy.clear()
    mine(chain)
    watch(seen)
    mine(chain)
    watch(seen)
    assert held(who) == 6 * MILLION
    assert_reconciled()


def test_a_denied_receipt_never_sends_a_call_again(chain: Chain, who: Client, proxy: Proxy, seen: Chain) -> None:
    """The node says it knows no such transaction, while its nonce is used, finally: it is asked who used it."""
    made = funding(chain, who)
    proxy.add(null, "eth_getTransactionReceipt", "eth_getTransactionByHash")
    proxy.add(without_logs(lambda log: True), "eth_getLogs")
    rounds(chain, seen, 6)
    proxy.clear()
    settle_all(chain=seen)
    assert ChainInstruction.objects.get(id=made.id).state == "FINAL"
    assert ChainTransaction.objects.filter(instruction=made).count() == 1
    assert read(chain, who.targets["RETENTION"].address, "Retention", "held", FIRST_LOSS_LAYER) == 2 * MILLION
    assert held(who, AccountKind.FIRST_LOSS) == 2 * MILLION


def test_an_invented_transaction_of_our_key_never_sends_a_call_again(
    chain: Chain, who: Client, proxy: Proxy, seen: Chain, settings: Settings
) -> None:
    """The node hides our receipt, calls its latest block final, and shows in it what our key never signed under the
    same nonce: the call would be made anew, and a retention funded twice."""
    settings.CHAIN_RPC_URLS = [seen.url]  # nobody contradicts it
    made = funding(chain, who)
    poster.step(seen, signers())
    sent = ChainTransaction.objects.get(instruction=made)
    stored = sent.attempts.get()

    def invented(ask: Ask, forward: Forward) -> Answer:
        which, *rest = ask.params
        answer = forward(replace(ask, params=["latest" if which == "finalized" else which, *rest]))
        block = answer["result"]
        if rest == [True] and block:
            for one in block["transactions"]:
                if one["hash"] == stored.hash:
                    one |= {"hash": "0x" + "ab" * 32, "to": "0x" + "cd" * 20, "input": "0x"}
        return answer

    def latest(ask: Ask, forward: Forward) -> Answer:
        return forward(replace(ask, params=[ask.params[0], "latest"]))

    mine(chain)
    proxy.add(invented, "eth_getBlockByNumber")
    proxy.add(latest, "eth_getTransactionCount")
    proxy.add(null, "eth_getTransactionReceipt", "eth_getTransactionByHash")
    for _ in range(3):
        poster.step(seen, signers())
    sent.refresh_from_db()
    made.refresh_from_db()
    assert (sent.state, made.state) == ("SENT", "BATCHED")
    assert sender_alarms.open_alarms().get(role="operator").kind == "nonce"
    proxy.clear()
    settle_all(chain=seen)
    assert ChainTransaction.objects.filter(instruction=made).count() == 1
    assert read(chain, who.targets["RETENTION"].address, "Retention", "held", FIRST_LOSS_LAYER) == 2 * MILLION
    assert_reconciled()


def funding(chain: Chain, who: Client) -> ChainInstruction:
    """A single call that the contract would take twice: money of the house into a retention."""
    give(chain, ChainTarget.objects.get(kind="HOUSE").address, 10 * MILLION)
    settle_all()
    with transaction.atomic():
        return outbox.move(
            effect_id=uuid7(),
            target=who.targets["RETENTION"],
            cell_id=who.cell.id,
            kind=Kind.FUND,
            source=AccountKind.FLOAT,
            destination=AccountKind.FIRST_LOSS,
            amount_base_units=2 * MILLION,
            memo="fund",
        )


@pytest.mark.parametrize(
    "said",
    [{"status": "0x0"}, {"blockNumber": hex(10**6)}, {"blockHash": "0x" + "ab" * 32}],
    ids=lambda said: next(iter(said)),
)
@pytest.mark.parametrize("single", [False, True], ids=["batch", "call"])
def test_a_receipt_that_lies_about_what_happened_changes_nothing(
    chain: Chain, who: Client, proxy: Proxy, seen: Chain, said: dict[str, str], single: bool
) -> None:
    made = funding(chain, who) if single else debit(who, MILLION)
    proxy.add(altered(**said), "eth_getTransactionReceipt")
    rounds(chain, seen, 5)
    proxy.clear()
    settle_all(chain=seen)
    assert ChainInstruction.objects.get(id=made.id).state == "FINAL"
    assert ChainTransaction.objects.exclude(batch=None, instruction=None).count() == 1
    if not single:
        assert_moved_once(chain, who, 4 * MILLION)
    else:
        assert read(chain, who.targets["RETENTION"].address, "Retention", "held", FIRST_LOSS_LAYER) == 2 * MILLION


def test_a_call_that_reverted_is_not_booked_because_a_receipt_says_it_succeeded(
    chain: Chain, who: Client, proxy: Proxy, seen: Chain
) -> None:
    made = funding(chain, who)
    poster.step(seen, signers())
    sent = TransactionAttempt.objects.get()
    chain.call("anvil_dropTransaction", sent.hash)
    empty_house(chain)
    chain.call("eth_sendRawTransaction", sent.raw)
    proxy.add(altered(status="0x1"), "eth_getTransactionReceipt")
    rounds(chain, seen, 2)
    assert ChainInstruction.objects.get(id=made.id).state == "BATCHED"
    assert held(who, AccountKind.FIRST_LOSS) == 0
    proxy.clear()
    rounds(chain, seen, 1)
    assert ChainTransaction.objects.get(instruction=made).state == "REVERTED"
    assert ChainInstruction.objects.get(id=made.id).state == "DRAFT"


def empty_house(chain: Chain) -> None:
    """The house's tokens are gone before the call is mined."""
    house = ChainTarget.objects.get(kind="HOUSE")
    chain.call("anvil_impersonateAccount", house.address)
    chain.call("anvil_setBalance", house.address, hex(10**18))
    data = contract("DemoUSDC").encode("transfer", ["0x" + "11" * 20, 10 * MILLION])
    fee = hex(200 * 10**9)
    chain.call(
        "eth_sendTransaction",
        {
            "from": house.address,
            "to": house.asset.token_address,
            "data": "0x" + data.hex(),
            "maxFeePerGas": fee,
            "maxPriorityFeePerGas": fee,
        },
    )
    mine(chain)


def test_finality_that_was_taken_back_stops_what_leaves_and_shows(chain: Chain, who: Client, seen: Chain) -> None:
    watch(seen)
    deposit(chain, who, MILLION)
    for _ in range(3):
        mine(chain)
    watch(seen)
    chain.call("anvil_reorg", 4, [])
    with pytest.raises(Refusal, match="dropped final block"):
        watch(seen)
    assert ReconciliationBreak.objects.get(resolved_block=None).kind == "reorg"
    debit(who, MILLION)
    poster.step(seen, signers())
    approver.step(demo_signer("approver"), CHAIN_ID)
    assert poster.step(seen, signers()) == 0
    assert Batch.objects.exclude(approval__signature="").count() == 1
