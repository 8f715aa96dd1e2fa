"""What the sender does when a node lies, a fee is at its cap, two of it live, or a key changes."""

import threading
from typing import Any

import pytest
from django.db import connection
from eth_account import Account
from pytest_django import Settings

from intermediary.errors import Refusal
from intermediary.models import ChainInstruction
from settlement import approver, packing, poster, rights, sender, sender_alarms
from settlement.chain import Chain, default_chain
from settlement.cycle import settle_all
from settlement.demo_chain import fund_gas, mine
from settlement.deployment import address_of
from settlement.models import (
    ChainSender,
    ChainTransaction,
    TransactionAttempt,
)
from settlement.signer import LocalSigner, Signer, demo_signer
from settlement.transactor import Transactor
from settlement.watcher import step as watch
from tests.settlement.faults.proxy import proxy_of
from tests.settlement.test_crashes import CHAIN_ID, post_signed_batch, signers
from tests.settlement.world import MILLION, Client, assert_reconciled, debit, funded_client, held

pytestmark = pytest.mark.world(build=funded_client)


class Lying(Chain):
    """A node that answers some calls with something else."""

    lies: dict[str, Any] = {}

    def call(self, method: str, *parameters: Any) -> Any:
        return self.lies[method](parameters) if method in self.lies else super().call(method, *parameters)

    def batch(self, calls: Any) -> list[Any]:
        found = super().batch(calls)
        for place, (method, parameters) in enumerate(calls):
            if method in self.lies:
                found[place] = self.lies[method](parameters)
        return found


def test_null_receipts_of_a_mined_transaction_never_give_up_its_nonce(chain: Chain, who: Client) -> None:
    made = debit(who, MILLION)
    sent = post_signed_batch(chain)
    for _ in range(4):
        mine(chain)
    liar = Lying(chain.url)
    liar.lies = {"eth_getTransactionReceipt": lambda parameters: None}
    assert poster.step(liar, signers()) == 0
    sent.refresh_from_db()
    assert sent.state == "SENT"
    alarm = sender_alarms.open_alarms().get()
    assert (alarm.kind, alarm.role, "has no receipt" in alarm.detail) == ("nonce", "poster", True)
    settle_all()
    poster.step(chain, signers())
    assert not sender_alarms.open_alarms().exists()
    assert (ChainTransaction.objects.count(), ChainInstruction.objects.get(id=made.id).state) == (1, "FINAL")
    assert_reconciled()


@pytest.mark.parametrize("said", [0, 10**6])
def test_receipt_of_a_block_that_cannot_be_is_asked_for_again(chain: Chain, who: Client, said: int) -> None:
    made = debit(who, MILLION)
    sent = post_signed_batch(chain)
    stored = sent.attempts.get()
    chain.call("anvil_dropTransaction", stored.hash)
    receipt = {"status": "0x1", "blockNumber": hex(said), "blockHash": "0x" + "ab" * 32, "transactionHash": stored.hash}
    liar = Lying(chain.url)
    liar.lies = {"eth_getTransactionReceipt": lambda parameters: receipt}
    poster.step(liar, signers())
    sent.refresh_from_db()
    assert (sent.state, sent.block_number) == ("INCLUDED", said)
    watch(chain)
    sent.refresh_from_db()
    assert (sent.state, sent.block_number, sent.succeeded) == ("SENT", None, None)
    settle_all()
    assert (ChainTransaction.objects.get().state, ChainInstruction.objects.get(id=made.id).state) == ("FINAL", "FINAL")
    assert_reconciled()


def test_nonce_that_only_one_node_counts_is_not_taken(chain: Chain, who: Client) -> None:
    debit(who, MILLION)
    poster.step(chain, signers())
    approver.step(demo_signer("approver"), CHAIN_ID)
    liar = Lying(chain.url)
    honest = int(chain.call("eth_getTransactionCount", demo_signer("poster").address, "latest"), 16)
    liar.lies = {"eth_getTransactionCount": lambda said: hex(honest + (3 if said[1] == "latest" else 0))}
    assert poster.step(liar, signers()) == 0
    assert "nonce_in_doubt" in sender_alarms.open_alarms().get(kind="nonce", role="poster").detail
    assert not ChainTransaction.objects.exists()
    assert poster.step(chain, signers()) == 1
    assert ChainTransaction.objects.get().nonce == honest
    settle_all()
    assert_reconciled()


def signed_batch(who: Client) -> None:
    debit(who, MILLION)
    poster.step(default_chain(), signers())
    approver.step(demo_signer("approver"), CHAIN_ID)


def test_nonces_that_one_node_alone_calls_finally_used_are_not_skipped(
    chain: Chain, who: Client, settings: Settings
) -> None:
    honest = int(chain.call("eth_getTransactionCount", demo_signer("poster").address, "latest"), 16)
    signed_batch(who)
    with proxy_of(chain.url) as proxy:
        liar = Lying(chain.url)
        liar.lies = {"eth_getTransactionCount": lambda _: hex(honest + 3)}
        settings.CHAIN_RPC_URLS = [chain.url, proxy.url("witness")]
        assert poster.step(liar, signers()) == 0
    assert not ChainTransaction.objects.exists()
    assert "nonce_in_doubt" in sender_alarms.open_alarms().get(kind="nonce", role="poster").detail
    assert poster.step(chain, signers()) == 1
    assert ChainTransaction.objects.get().nonce == honest
    settle_all()
    assert_reconciled()


def test_nonces_used_elsewhere_are_skipped_when_every_node_counts_them_and_none_is_silent(
    chain: Chain, who: Client, settings: Settings
) -> None:
    wallet = Transactor(chain, demo_signer("poster"), mine)
    wallet.call(who.vault.asset.token_address, "DemoUSDC", "approve", who.key.address, 1)
    wallet.wait()
    for _ in range(3):
        mine(chain)
    used = int(chain.call("eth_getTransactionCount", demo_signer("poster").address, "latest"), 16)
    signed_batch(who)
    settings.CHAIN_RPC_URLS = [chain.url, "http://127.0.0.1:9"]
    assert (poster.step(chain, signers()), ChainTransaction.objects.count()) == (0, 0)
    assert "silent" in sender_alarms.open_alarms().get(kind="nonce", role="poster").detail
    with proxy_of(chain.url) as proxy:
        settings.CHAIN_RPC_URLS = [chain.url, proxy.url("witness")]
        proxy.add(lambda ask, forward: {"result": hex(used - 1)}, "eth_getTransactionCount")
        assert (poster.step(chain, signers()), ChainTransaction.objects.count()) == (0, 0)
        proxy.clear()
        assert poster.step(chain, signers()) == 1
    assert ChainTransaction.objects.get().nonce == used
    settings.CHAIN_RPC_URLS = [chain.url]
    settle_all()
    assert_reconciled()


def test_at_the_cap_a_person_is_told_and_the_same_bytes_are_sent_again(
    chain: Chain, who: Client, settings: Settings
) -> None:
    debit(who, MILLION)
    post_signed_batch(chain)
    stored = TransactionAttempt.objects.get()
    settings.CHAIN_FEE_CAP_WEI = stored.max_fee_wei
    chain.call("anvil_dropTransaction", stored.hash)
    for _ in range(3):
        mine(chain)
    poster.step(chain, signers())
    alarm = sender_alarms.open_alarms().get()
    assert (alarm.kind, alarm.role, alarm.transaction_hash) == ("fee_cap", "poster", stored.hash)
    assert alarm.sender == demo_signer("poster").address
    assert TransactionAttempt.objects.get().raw == stored.raw
    assert chain.call("eth_getTransactionByHash", stored.hash) is not None
    since = alarm.recorded_at
    poster.step(chain, signers())
    assert sender_alarms.open_alarms().get().recorded_at == since
    settle_all()
    poster.step(chain, signers())
    assert not sender_alarms.open_alarms().exists()


def test_signer_that_refuses_a_higher_fee_does_not_keep_back_the_bytes_it_has_signed(chain: Chain, who: Client) -> None:
    made = debit(who, MILLION)
    stored = post_signed_batch(chain).attempts.get()
    chain.call("anvil_dropTransaction", stored.hash)
    for _ in range(3):
        mine(chain)

    class Refusing(LocalSigner):
        def sign_transaction(self, transaction: dict[str, Any]) -> Any:
            raise Refusal("signer_refused", "The day's limit is reached.")

    local = demo_signer("poster")
    assert isinstance(local, LocalSigner)
    assert poster.step(chain, signers() | {"poster": Refusing(local.account)}) == 0
    assert sender_alarms.open_alarms().get().kind == "signer_refuses"
    for _ in range(3):
        mine(chain)
    watch(chain)
    assert TransactionAttempt.objects.get().hash == stored.hash
    assert ChainInstruction.objects.get(id=made.id).state == "FINAL"


def test_trouble_of_a_former_key_stands_until_it_is_over(chain: Chain, who: Client, settings: Settings) -> None:
    debit(who, MILLION)
    stored = post_signed_batch(chain).attempts.get()
    settings.CHAIN_FEE_CAP_WEI = stored.max_fee_wei
    chain.call("anvil_dropTransaction", stored.hash)
    for _ in range(3):
        mine(chain)
    fresh: dict[str, Signer] = {"poster": LocalSigner(Account.create()), "operator": demo_signer("operator")}
    since = []
    for _ in range(2):
        poster.step(chain, fresh)
        alarm = sender_alarms.open_alarms().get()
        assert (alarm.kind, alarm.sender) == ("fee_cap", demo_signer("poster").address)
        since.append(alarm.recorded_at)
    assert since[0] == since[1]
    for _ in range(3):
        mine(chain)
    watch(chain)  # closes it before the poster looks again
    assert ChainTransaction.objects.get().state == "FINAL"
    poster.step(chain, fresh)
    assert not sender_alarms.open_alarms().exists()


def test_two_posters_that_prepare_at_once_store_one_transaction(chain: Chain, who: Client) -> None:
    made = debit(who, MILLION)
    poster.step(chain, signers())
    approver.step(demo_signer("approver"), CHAIN_ID)
    batch = packing.waiting_for_the_chain().select_related("house", "approval").get()
    both_signed, given = threading.Barrier(2, timeout=20), []

    class Waiting(LocalSigner):
        def sign_transaction(self, transaction: dict[str, Any]) -> Any:
            signed = super().sign_transaction(transaction)
            both_signed.wait()
            return signed

    def prepare() -> None:
        local = demo_signer("poster")
        assert isinstance(local, LocalSigner)
        try:
            key = Waiting(local.account)
            account = sender.account_of("poster", key)
            call = poster._batch_call(batch)
            given.append(sender.prepare(Chain(chain.url), account, key, call, 10**6, batch=batch))
        finally:
            connection.close()

    threads = [threading.Thread(target=prepare) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(one is None for one in given) == [False, True]
    assert (ChainTransaction.objects.count(), TransactionAttempt.objects.count()) == (1, 1)
    settle_all()
    assert (ChainInstruction.objects.get(id=made.id).state, held(who)) == ("FINAL", 4 * MILLION)
    assert_reconciled()


def test_new_key_of_a_role_works_while_the_former_has_something_in_flight(
    chain: Chain, who: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = debit(who, MILLION)
    sent = post_signed_batch(chain)
    chain.call("anvil_dropTransaction", sent.attempts.get().hash)
    fresh: dict[str, Signer] = {"poster": LocalSigner(Account.create()), "operator": demo_signer("operator")}
    fund_gas(chain, fresh["poster"].address)
    admin = Transactor(chain, demo_signer("admin"), mine)
    admin.call(address_of("AccessManager"), "AccessManager", "grantRole", 1, fresh["poster"].address, 0)
    admin.wait()
    assert len(rights.differences(chain)) == 1
    for _ in range(2):
        mine(chain)
    poster.step(chain, fresh)  # the former key's bytes again, and no new ones of it
    assert TransactionAttempt.objects.get().transaction_id == sent.id
    mine(chain)
    poster.step(chain, fresh)
    second = debit(who, MILLION)
    for _ in range(2):
        poster.step(chain, fresh)
        approver.step(demo_signer("approver"), CHAIN_ID)
        poster.step(chain, fresh)
        for _ in range(3):
            mine(chain)
        watch(chain)
    states = set(ChainInstruction.objects.filter(id__in=[first.id, second.id]).values_list("state", flat=True))
    assert states == {"FINAL"}
    assert ChainSender.objects.filter(role="poster").count() == 2


def test_node_that_refuses_the_bytes_is_told_of(chain: Chain, who: Client) -> None:
    debit(who, MILLION)
    poster.step(chain, signers())
    approver.step(demo_signer("approver"), CHAIN_ID)
    chain.call("anvil_setBalance", demo_signer("poster").address, "0x0")
    liar = Lying(chain.url)
    liar.lies = {"eth_estimateGas": lambda parameters: hex(10**6)}
    poster.step(liar, signers())
    alarm = sender_alarms.open_alarms().get()
    assert (alarm.kind, alarm.role) == ("node_refuses", "poster")
    fund_gas(chain, demo_signer("poster").address)
    settle_all()
    poster.step(chain, signers())
    assert not sender_alarms.open_alarms().exists()


def test_key_has_one_role(chain: Chain, who: Client) -> None:
    poster.step(chain, signers())
    with pytest.raises(Refusal, match="key_in_use"):
        sender.account_of("operator", demo_signer("poster"))
