"""The process that carries acts out, killed between any two lines: what two people decided happens once."""

import pytest

from settlement.acts.rows import ChainAct
from settlement.bindings import read
from settlement.chain import Chain
from settlement.demo_chain import mine
from settlement.deployment import address_of
from settlement.models import ChainBlock, ChainTransaction, TransactionAttempt
from settlement.signer import demo_signer
from settlement.watcher import step as watch
from tests.settlement.faults.processes import Platform, until
from tests.settlement.test_acts import decide
from tests.settlement.world import house_alone

pytestmark = pytest.mark.world(build=house_alone)
HASH, EFFECTIVE = "ab" * 32, 4_000_000_000


def published(chain: Chain) -> int:
    return int(read(chain, address_of("House", "USDC"), "House", "rulebookEffective", bytes.fromhex(HASH)))


def used(chain: Chain) -> int:
    return int(chain.call("eth_getTransactionCount", demo_signer("onboarder").address, "latest"), 16)


def under_way() -> ChainAct:
    return decide(ChainAct.Kind.RULEBOOK, hash=HASH, uri="/rulebook/2/", effective=str(EFFECTIVE))


def assert_done_once(chain: Chain, platform: Platform, act: ChainAct, before: int) -> None:
    """Everything runs again, and blocks come."""
    platform.proxy.clear()
    platform.start("acts", "watcher")

    def done() -> bool:
        pending = int(chain.call("txpool_status")["pending"], 16)
        if pending or ChainBlock.objects.filter(number=chain.head()).exists():
            mine(chain)
        act.refresh_from_db()
        return act.state == ChainAct.State.DONE

    until(done, "the act is done", said=platform.said)
    platform.stop()
    assert (published(chain), used(chain)) == (EFFECTIVE, before + 1)
    [sent] = ChainTransaction.objects.all()
    assert (sent.state, sent.act_id) == ("FINAL", act.id)


@pytest.mark.parametrize("after", [False, True], ids=["stored_not_sent", "sent_not_noted"])
def test_killed_at_the_sending(chain: Chain, platform: Platform, after: bool) -> None:
    watch(chain)
    before, act = used(chain), under_way()
    gate = platform.proxy.hold("eth_sendRawTransaction", client="acts", after=after)
    platform.start("acts")
    until(gate.reached.is_set, "it sends", said=platform.said)
    platform.kill("acts")
    gate.lose()
    stored = TransactionAttempt.objects.get()
    assert (stored.sent_block, int(chain.call("txpool_status")["pending"], 16)) == (None, int(after))
    assert_done_once(chain, platform, act, before)
    assert TransactionAttempt.objects.get().raw == stored.raw, "the same bytes"


@pytest.mark.deep
def test_killed_when_it_is_signed_and_not_stored(chain: Chain, platform: Platform) -> None:
    watch(chain)
    before, act = used(chain), under_way()
    with platform.stuck_at("settlement_transactionattempt"):
        platform.start("acts")
        until(lambda: platform.waits_for("settlement_transactionattempt"), "it stores", said=platform.said)
        platform.kill("acts")
    assert not ChainTransaction.objects.exists(), "no nonce is used up"
    assert_done_once(chain, platform, act, before)


@pytest.mark.deep
def test_killed_when_it_is_mined_and_its_receipt_not_seen(chain: Chain, platform: Platform) -> None:
    watch(chain)
    before, act = used(chain), under_way()
    platform.start("acts")
    until(lambda: TransactionAttempt.objects.exclude(sent_block=None).exists(), "it is sent", said=platform.said)
    gate = platform.proxy.hold("eth_getTransactionReceipt", client="acts", after=True)
    mine(chain)
    until(gate.reached.is_set, "it asks for the receipt", said=platform.said)
    platform.kill("acts")
    gate.lose()
    assert ChainTransaction.objects.get().state == "SENT"
    assert_done_once(chain, platform, act, before)
