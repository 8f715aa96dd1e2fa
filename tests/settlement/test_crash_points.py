"""Every point at which a process can die, with the real processes and SIGKILL, the chain behind the proxy.

Each test holds a process at one point (a call of it at the proxy, or a row at a locked table), kills it there, looks at
what it left, starts it again, and ends with the same question: one movement, on chain, in the logs and in the journal,
and books that agree with the chain to the base unit. Each costs three seconds of processor time, so most are `deep`.
"""

import pytest

from intermediary.models import ChainInstruction, JournalEntry
from settlement.bindings import read
from settlement.chain import Chain
from settlement.demo_chain import mine
from settlement.models import (
    Approval,
    Batch,
    BatchMovement,
    ChainBlock,
    ChainLog,
    ChainTransaction,
    ReconciliationBreak,
    ReconciliationRun,
    TransactionAttempt,
)
from tests.settlement.faults.processes import Platform, until
from tests.settlement.world import MILLION, Client, assert_reconciled, debit, funded_client, give, held, transfer

pytestmark = pytest.mark.world(build=funded_client)
FINAL_AFTER = 2  # blocks, on this chain


def state_of(made: ChainInstruction) -> str:
    return ChainInstruction.objects.get(id=made.id).state


def pending(chain: Chain) -> int:
    return int(chain.call("txpool_status")["pending"], 16)


def settle(platform: Platform, chain: Chain, *made: ChainInstruction) -> None:
    """Let everything run and blocks come until these are final; then stop it all, well."""
    platform.proxy.clear()
    platform.start(*({"poster", "approver", "watcher"} - platform.running.keys()))

    blocks = 1 + int(platform.settings.get("CHAIN_CONFIRMATIONS", "0")) // 4

    def come(number: int) -> None:
        for _ in range(number):
            mine(chain)

    def all_final() -> bool:
        if pending(chain) or ChainBlock.objects.filter(number=chain.head()).exists():
            come(blocks)
        return all(state_of(one) == "FINAL" for one in made)

    until(all_final, "everything final", said=platform.said)
    last = ReconciliationRun.objects.latest("id").block_number

    def compared_later() -> bool:
        come(1)
        return ReconciliationRun.objects.filter(block_number__gt=last).exists()

    until(compared_later, "another comparison", said=platform.said)
    platform.stop()


def assert_moved_once(chain: Chain, who: Client, moved: int = 1) -> None:
    """So many movements of a million: in the contract, its logs, the batches and the journal, each exactly once."""
    vault = who.vault
    assert read(chain, vault.address, "MarginVault", "seq") == moved
    shown = ChainLog.objects.filter(name="Moved", address=vault.address, block__canonical=True)
    assert (shown.count(), shown.filter(applied=True).count()) == (moved, moved)
    assert BatchMovement.objects.filter(outcome="SETTLED").count() == moved
    assert JournalEntry.objects.filter(kind="debit_instructed").count() == moved
    assert JournalEntry.objects.filter(kind="debit_settled").count() == moved
    left = (5 - moved) * MILLION
    assert held(who) == left == read(chain, vault.asset.token_address, "DemoUSDC", "balanceOf", vault.address)
    assert_reconciled()


@pytest.mark.deep
def test_killed_after_the_journal_commit_before_packing(chain: Chain, who: Client, platform: Platform) -> None:
    gate = platform.proxy.hold("eth_chainId", client="poster")
    made = debit(who, MILLION)
    platform.start("poster")
    until(gate.reached.is_set, "the poster's first question")
    platform.kill("poster")
    gate.lose()
    assert (state_of(made), Batch.objects.count()) == ("DRAFT", 0)
    settle(platform, chain, made)
    assert_moved_once(chain, who)


@pytest.mark.deep
def test_killed_after_packing(chain: Chain, who: Client, platform: Platform) -> None:
    made = debit(who, MILLION)
    platform.start("poster")
    until(Batch.objects.exists, "a batch that waits for the second key, which does not run")
    platform.kill("poster")
    assert (state_of(made), Batch.objects.get().state, Approval.objects.get().signature) == ("BATCHED", "PACKED", "")
    settle(platform, chain, made)
    assert_moved_once(chain, who)
    assert Batch.objects.count() == 1


@pytest.mark.deep
def test_killed_after_the_second_key_has_signed_and_before_it_is_stored(
    chain: Chain, who: Client, platform: Platform
) -> None:
    made = debit(who, MILLION)
    platform.start("poster")
    until(Approval.objects.exists, "a request")
    with platform.stuck_at("intermediary_auditrecord"):
        platform.start("approver")
        until(lambda: platform.waits_for("intermediary_auditrecord"), "the approver at its audit record")
        platform.kill("approver")
    assert Approval.objects.get().signature == ""
    settle(platform, chain, made)
    assert_moved_once(chain, who)


@pytest.mark.deep
def test_killed_after_signing_the_transaction_and_before_it_is_stored(
    chain: Chain, who: Client, platform: Platform
) -> None:
    made = debit(who, MILLION)
    with platform.stuck_at("settlement_transactionattempt"):
        platform.start("poster", "approver")
        until(lambda: platform.waits_for("settlement_transactionattempt"), "the poster at its signed bytes")
        platform.kill("poster")
    assert (ChainTransaction.objects.count(), pending(chain)) == (0, 0), "no nonce is used up"
    settle(platform, chain, made)
    assert_moved_once(chain, who)
    assert ChainTransaction.objects.count() == 1


@pytest.mark.deep
def test_killed_after_storing_the_attempt_before_sending_it(chain: Chain, who: Client, platform: Platform) -> None:
    gate = platform.proxy.hold("eth_sendRawTransaction", client="poster")
    made = debit(who, MILLION)
    platform.start("poster", "approver")
    until(gate.reached.is_set, "the poster sends")
    platform.kill("poster")
    gate.lose()
    stored = TransactionAttempt.objects.get()
    assert (stored.sent_block, pending(chain)) == (None, 0)
    settle(platform, chain, made)
    assert_moved_once(chain, who)
    assert TransactionAttempt.objects.get().raw == stored.raw, "the same bytes"


@pytest.mark.deep
def test_killed_after_sending_before_marking(chain: Chain, who: Client, platform: Platform) -> None:
    gate = platform.proxy.hold("eth_sendRawTransaction", client="poster", after=True)
    made = debit(who, MILLION)
    platform.start("poster", "approver")
    until(gate.reached.is_set, "the node has it")
    platform.kill("poster")
    gate.lose()
    assert (TransactionAttempt.objects.get().sent_block, pending(chain)) == (None, 1)
    settle(platform, chain, made)
    assert_moved_once(chain, who)
    assert (ChainTransaction.objects.count(), TransactionAttempt.objects.count()) == (1, 1)


@pytest.mark.deep
def test_killed_while_the_node_gives_no_answer(chain: Chain, who: Client, platform: Platform) -> None:
    """The call times out first: the poster goes on asking, and is killed while it does not know."""
    gate = platform.proxy.hold("eth_sendRawTransaction", client="poster", after=True)
    made = debit(who, MILLION)
    platform.start("poster", "approver")
    until(gate.reached.is_set, "the node has it")
    until(lambda: "timed out" in platform.said(), "the poster gives up waiting")
    again = platform.proxy.hold("eth_getTransactionReceipt", client="poster")
    until(again.reached.is_set, "the poster looks for it")
    platform.kill("poster")
    gate.lose()
    again.lose()
    settle(platform, chain, made)
    assert_moved_once(chain, who)
    assert (ChainTransaction.objects.count(), TransactionAttempt.objects.count()) == (1, 1)


@pytest.mark.deep
def test_killed_after_a_higher_fee_was_saved(chain: Chain, who: Client, platform: Platform) -> None:
    made = debit(who, MILLION)
    platform.start("poster", "approver")
    until(lambda: TransactionAttempt.objects.exclude(sent_block=None).exists(), "it is sent")
    gate = platform.proxy.hold("eth_sendRawTransaction", client="poster")
    chain.call("anvil_dropTransaction", TransactionAttempt.objects.get().hash)
    for _ in range(3):
        mine(chain)
    until(lambda: gate.reached.is_set() and TransactionAttempt.objects.count() == 2, "a second offer")
    platform.kill("poster")
    gate.lose()
    settle(platform, chain, made)
    assert_moved_once(chain, who)
    sent = ChainTransaction.objects.get()
    assert sent.transaction_hash in set(TransactionAttempt.objects.values_list("hash", flat=True))


@pytest.mark.deep
def test_killed_when_it_is_mined_and_its_receipt_not_seen(chain: Chain, who: Client, platform: Platform) -> None:
    made = debit(who, MILLION)
    platform.start("poster", "approver")
    until(lambda: TransactionAttempt.objects.exclude(sent_block=None).exists(), "it is sent")
    gate = platform.proxy.hold("eth_getTransactionReceipt", client="poster", after=True)
    until(gate.reached.is_set, "the poster asks for the receipt")
    mine(chain)
    platform.kill("poster")
    gate.lose()
    assert ChainTransaction.objects.get().state == "SENT"
    settle(platform, chain, made)
    assert_moved_once(chain, who)
    assert ChainTransaction.objects.count() == 1


def test_killed_between_the_log_and_the_journal(chain: Chain, who: Client, platform: Platform) -> None:
    made = debit(who, MILLION)
    platform.start("poster", "approver")
    until(lambda: pending(chain), "it is sent")
    for _ in range(1 + FINAL_AFTER):
        mine(chain)
    with platform.stuck_at("intermediary_journalentry"):
        platform.start("watcher")
        until(lambda: platform.waits_for("intermediary_journalentry"), "the watcher at the journal")
        platform.kill("watcher")
    assert ChainLog.objects.get(name="Moved").applied is False
    assert state_of(made) == "INCLUDED"
    settle(platform, chain, made)
    assert_moved_once(chain, who)


def test_two_of_each_move_everything_once(chain: Chain, who: Client, platform: Platform) -> None:
    made = [debit(who, MILLION) for _ in range(2)]
    platform.start("poster", "poster 2", "approver", "approver 2", "watcher", "watcher 2")
    later = debit(who, MILLION)
    settle(platform, chain, *made, later)
    assert_moved_once(chain, who, 3)
    assert ChainTransaction.objects.count() == Batch.objects.count()
    assert ChainTransaction.objects.filter(succeeded=False).count() == 0
    assert not ReconciliationBreak.objects.exists()


@pytest.mark.deep
@pytest.mark.parametrize("depth", [1, 10, 64])
def test_killed_and_started_again_on_a_chain_that_changed_its_mind(
    chain: Chain, who: Client, platform: Platform, depth: int
) -> None:
    """The block of the batch (and one of a deposit) goes, with all above it; the watcher dies again while it takes back
    what they showed. Blocks are final after seventy others here, as on a public chain."""
    platform.settings["CHAIN_CONFIRMATIONS"] = "70"
    mine(chain)  # a block whose state the node has of itself, to go back to
    made = debit(who, MILLION)
    platform.start("poster", "approver", "watcher")
    until(lambda: pending(chain), "it is sent", said=platform.said)
    give(chain, who.key.address, MILLION)  # mines the batch too
    if depth > 1:
        transfer(chain, who.key, who.vault.address, MILLION)
    for _ in range(depth - 2):
        mine(chain)
    until(lambda: ChainBlock.objects.filter(number=chain.head()).exists(), "all is read", said=platform.said)
    assert state_of(made) == "INCLUDED"
    platform.kill("poster", "watcher")
    dropped = ChainBlock.objects.get(number=chain.head()).hash
    chain.call("anvil_reorg", depth, [])
    with platform.stuck_at("settlement_chainblock"):
        platform.start("watcher")
        until(lambda: platform.waits_for("settlement_chainblock"), "the watcher takes blocks back", said=platform.said)
        platform.kill("watcher")
    settle(platform, chain, made)
    assert ChainBlock.objects.get(hash=dropped).canonical is False
    assert not JournalEntry.objects.filter(kind="deposit").exclude(recorded_at__lt=made.recorded_at).exists()
    assert_moved_once(chain, who)
    assert ChainTransaction.objects.count() == 1
