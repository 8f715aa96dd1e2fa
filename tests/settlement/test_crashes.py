"""Crashes and a chain that changes its mind: each function is called in the order in which the process died."""

from typing import Any

import pytest
from eth_account import Account
from pytest_django import Settings

from intermediary.models import ChainInstruction, ChainTarget
from settlement import approver, displaced, lookout, packing, poster, sender, sender_alarms
from settlement.chain import Chain
from settlement.cycle import settle_all
from settlement.demo_chain import fund_gas, mine
from settlement.models import (
    Approval,
    BatchMovement,
    ChainBlock,
    ChainSender,
    ChainTransaction,
    Lookout,
    TransactionAttempt,
)
from settlement.signer import Signer, demo_signer
from settlement.transactor import Transactor
from settlement.watcher import step as watch
from settlement.watcher import tip
from tests.settlement.faults.proxy import proxy_of
from tests.settlement.faults.rules import null
from tests.settlement.world import MILLION, Client, assert_reconciled, debit, deposit, funded_client, held

pytestmark = pytest.mark.world(build=funded_client)
CHAIN_ID = 31337


def signers() -> dict[str, Signer]:
    return {role: demo_signer(role) for role in ("poster", "operator")}


def post_signed_batch(chain: Chain) -> ChainTransaction:
    """Pack, approve, post; the transaction is in the mempool."""
    poster.step(chain, signers())
    assert approver.step(demo_signer("approver"), CHAIN_ID) == 1
    assert poster.step(chain, signers()) == 1
    return ChainTransaction.objects.get()


def use_its_nonce(chain: Chain, sent: ChainTransaction) -> None:
    """Another transaction of the poster's key takes it, finally."""
    chain.call("anvil_dropTransaction", sent.attempts.get().hash)
    Transactor(chain, demo_signer("poster"), mine).send(demo_signer("poster").address, b"")
    for _ in range(4):
        mine(chain)


def test_poster_killed_between_store_and_send_resends_the_same_bytes(
    chain: Chain, who: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = debit(who, MILLION)
    poster.step(chain, signers())
    approver.step(demo_signer("approver"), CHAIN_ID)
    monkeypatch.setattr(sender, "send", die)
    with pytest.raises(KeyboardInterrupt):
        poster.step(chain, signers())
    monkeypatch.undo()
    stored = TransactionAttempt.objects.get()
    assert stored.sent_block is None
    assert chain.call("eth_getTransactionByHash", stored.hash) is None
    assert poster.step(chain, signers()) == 0
    assert TransactionAttempt.objects.exclude(sent_block=None).exists()
    assert chain.call("eth_getTransactionByHash", stored.hash) is not None
    settle_all()
    assert TransactionAttempt.objects.get().raw == stored.raw
    assert ChainInstruction.objects.get(id=made.id).state == "FINAL"
    assert_reconciled()


def die(*args: object) -> None:
    raise KeyboardInterrupt


def test_poster_killed_after_sending_and_before_marking_sends_nothing_new(chain: Chain, who: Client) -> None:
    debit(who, MILLION)
    sent = post_signed_batch(chain)
    TransactionAttempt.objects.update(sent_block=None)
    ChainTransaction.objects.update(state="PREPARED")
    sent.refresh_from_db()
    settle_all()
    assert (ChainTransaction.objects.count(), TransactionAttempt.objects.count()) == (1, 1)
    assert held(who) == 4 * MILLION
    assert_reconciled()


def test_transaction_that_no_block_takes_is_offered_again_dearer_under_the_same_nonce(
    chain: Chain, who: Client
) -> None:
    debit(who, MILLION)
    sent = post_signed_batch(chain)
    first = TransactionAttempt.objects.get()
    chain.call("anvil_dropTransaction", first.hash)
    for _ in range(3):
        mine(chain)
    poster.step(chain, signers())
    second = sent.attempts.exclude(id=first.id).get()
    assert second.max_fee_wei * 8 >= first.max_fee_wei * 9
    settle_all()
    sent.refresh_from_db()
    assert (sent.transaction_hash, ChainTransaction.objects.count()) == (second.hash, 1)
    assert_reconciled()


def test_nonce_used_elsewhere_displaces_the_transaction_and_the_batch_goes_out_once(chain: Chain, who: Client) -> None:
    debit(who, MILLION)
    sent = post_signed_batch(chain)
    use_its_nonce(chain, sent)
    settle_all()
    states = list(ChainTransaction.objects.order_by("nonce").values_list("state", flat=True))
    assert states == ["DISPLACED", "FINAL"]
    assert held(who) == 4 * MILLION
    assert_reconciled()


def test_nonce_is_given_up_when_every_node_has_the_transaction_that_used_it(
    chain: Chain, who: Client, settings: Settings
) -> None:
    debit(who, MILLION)
    sent = post_signed_batch(chain)
    use_its_nonce(chain, sent)
    with proxy_of(chain.url) as proxy:
        settings.CHAIN_RPC_URLS = [chain.url, proxy.url("witness"), "http://127.0.0.1:9"]
        proxy.add(null, "eth_getTransactionReceipt")
        poster.step(chain, signers())
        sent.refresh_from_db()
        assert sent.state == "SENT"
        assert "not all nodes" in sender_alarms.open_alarms().get(kind="nonce").detail
        proxy.clear()
        poster.step(chain, signers())  # the third is silent, and holds nothing up
    sent.refresh_from_db()
    assert sent.state == "DISPLACED"


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_transaction_that_a_node_describes_is_told_from_one_that_nobody_signed(chain: Chain, kind: int) -> None:
    key, nobody = Account.create(), Account.create().address
    prices: dict[str, Any] = {"maxFeePerGas": 10**10, "maxPriorityFeePerGas": 10**9} if kind == 2 else {}
    prices |= {"gasPrice": 10**10} if kind < 2 else {}
    listed = [{"address": nobody, "storageKeys": ["0x" + "07" * 32]}]
    prices |= {"type": kind, "accessList": listed} if kind else {}
    fund_gas(chain, key.address)
    asked = {"chainId": CHAIN_ID, "nonce": 0, "gas": 60_000, "to": nobody, "value": 5, "data": "0x00ab"} | prices
    chain.call("eth_sendRawTransaction", "0x" + key.sign_transaction(asked).raw_transaction.hex())
    mine(chain)
    shown = next(iter(sender.sent_by(chain, key.address, 0, chain.head())))
    assert displaced.is_signed_by(shown, key.address, CHAIN_ID)
    changes: list[dict[str, Any]] = [{"nonce": "0x1"}, {"to": key.address}, {"to": None}, {"input": "0x"}]
    changes += [{"hash": "0x" + "ab" * 32}, {"s": "0x1"}, {"r": None}, {"type": "0x9"}]
    for changed in changes:
        assert not displaced.is_signed_by(shown | changed, key.address, CHAIN_ID), changed
    assert not displaced.is_signed_by(shown, key.address, CHAIN_ID + 1)
    assert not displaced.is_signed_by(shown | {"from": nobody}, nobody, CHAIN_ID)


@pytest.mark.parametrize("depth", [1, 2])
def test_reorganised_block_takes_back_what_it_showed_and_the_batch_is_sent_again(
    chain: Chain, who: Client, depth: int
) -> None:
    watch(chain)
    made = debit(who, MILLION)
    sent = post_signed_batch(chain)
    for _ in range(depth):
        mine(chain)
    poster.step(chain, signers())
    watch(chain)
    assert state_of(made) == "INCLUDED"
    assert held(who) == 4 * MILLION
    seen = ChainBlock.objects.filter(canonical=True).order_by("-number")[:depth]
    dropped = {block.hash for block in seen}
    chain.call("anvil_reorg", depth, [])
    watch(chain)
    assert state_of(made) == "BATCHED"
    assert set(ChainBlock.objects.filter(canonical=False).values_list("hash", flat=True)) >= dropped
    sent.refresh_from_db()
    assert sent.state == "SENT"
    settle_all()
    assert state_of(made) == "FINAL"
    assert (ChainTransaction.objects.count(), TransactionAttempt.objects.count()) == (1, 1)
    assert_reconciled()


def state_of(made: ChainInstruction) -> str:
    return ChainInstruction.objects.get(id=made.id).state


def test_deposit_of_a_block_that_was_dropped_is_never_credited(chain: Chain, who: Client) -> None:
    watch(chain)
    deposit(chain, who, MILLION)
    read_until = watch(chain, [chain]).agreed_until
    newest = tip()
    assert newest is not None
    assert read_until == newest.block_time
    lookout.note(read_until)
    chain.call("anvil_reorg", 1, [])
    settle_all()
    known = Lookout.objects.get().read_until
    assert known is not None
    assert known < read_until, "what was dropped is not known until it is noted again"
    assert held(who) == 5 * MILLION
    assert_reconciled()


def test_two_pollers_pack_an_instruction_once(chain: Chain, who: Client) -> None:
    debit(who, MILLION)
    house = ChainTarget.objects.get(kind="HOUSE")
    assert packing.pack(house, CHAIN_ID) is not None
    assert packing.pack(house, CHAIN_ID) is None
    assert BatchMovement.objects.count() == 1


def test_approver_refuses_an_amount_that_the_ledger_does_not_show(chain: Chain, who: Client) -> None:
    """The poster's machine is taken over: it asks for twice what the journal says."""
    debit(who, MILLION)
    house = ChainTarget.objects.get(kind="HOUSE")
    batch = packing.pack(house, CHAIN_ID)
    assert batch is not None
    forged = batch.approval.body
    forged["message"]["movements"][0]["amount"] = 2 * MILLION
    batch.approval = Approval.objects.create(kind=Approval.Kind.BATCH, body=forged)
    batch.save(update_fields=["approval"])
    approver.answer(batch.approval.id, demo_signer("approver"), CHAIN_ID)
    batch.approval.refresh_from_db()
    assert batch.approval.signature == ""
    assert batch.approval.refusal == {"request": "the request is not what the ledger gives"}


def test_approver_refuses_an_instruction_whose_entry_moves_another_amount(chain: Chain, who: Client) -> None:
    taken = debit(who, MILLION)
    honest = debit(who, 3)
    forged = ChainInstruction.objects.create(
        target=who.vault,
        cell=who.cell,
        seq=3,
        kind="DEBIT",
        amount_base_units=4 * MILLION,
        arguments=taken.arguments,
        entry=taken.entry,
    )
    poster.step(chain, signers())
    approver.step(demo_signer("approver"), CHAIN_ID)
    refusal = Approval.objects.get().refusal
    assert refusal == {str(forged.id): "the journal entry does not move this amount between these accounts"}
    packing.release_refused()
    ChainInstruction.objects.filter(id=forged.id).update(state="FAILED")
    settle_all()
    assert [state_of(made) for made in (taken, honest)] == ["FINAL", "FINAL"]
    assert set(ChainSender.objects.values_list("role", flat=True)) == {"poster"}  # no single call, no other key
    assert_reconciled()
