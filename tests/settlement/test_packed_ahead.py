"""While the chain takes one batch the next is packed and signed; whatever becomes of the first, each movement moves
once."""

import pytest

from intermediary.config.operations.collect import collect
from intermediary.models import ChainInstruction, ChainTarget
from settlement import approver, decisions, holding, packing, poster
from settlement.chain import Chain
from settlement.cycle import settle_all
from settlement.demo_chain import mine
from settlement.models import Approval, Batch, BatchMovement, ChainTransaction
from settlement.packing import next_numbers
from settlement.signer import demo_signer
from settlement.watcher import step as watch
from tests.settlement.test_crashes import CHAIN_ID, signers, use_its_nonce
from tests.settlement.test_refused_calls import decide, go_on_refusing
from tests.settlement.world import MILLION, Client, assert_reconciled, debit, funded_client, held

pytestmark = pytest.mark.world(build=funded_client)


@pytest.fixture(autouse=True)
def two_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "BATCH_LIMIT", 2)


def packed() -> list[tuple[int, str, int, bool]]:
    """Number, state, movements and whether it is signed, of each batch in the order they were packed."""
    batches = Batch.objects.select_related("approval").order_by("recorded_at")
    return [(one.number, one.state, one.movements.count(), bool(one.approval.signature)) for one in batches]


def two_batches(chain: Chain) -> None:
    """The first is sent, the second is packed and signed behind it."""
    poster.step(chain, signers())
    sign()
    poster.step(chain, signers())
    poster.step(chain, signers())
    sign()


def sign() -> None:
    approver.step(demo_signer("approver"), CHAIN_ID)


def test_a_full_batch_is_packed_and_signed_behind_one_that_is_in_flight(chain: Chain, who: Client) -> None:
    made = [debit(who, amount) for amount in (1, 2, 3, 4, 5)]
    two_batches(chain)
    assert packed() == [(1, "PACKED", 2, True), (2, "PACKED", 2, True)]
    for _ in range(2):
        assert poster.step(chain, signers()) == 0, "the house takes the second after the first"
    assert (ChainTransaction.objects.count(), len(packed())) == (1, 2), "and a third waits for the second to go out"
    mine(chain)
    assert poster.step(chain, signers()) == 1, "it goes out as soon as the first is in a block"
    poster.step(chain, signers())
    assert len(packed()) == 2, "one movement waits for more"
    settle_all()
    assert [ChainInstruction.objects.get(id=one.id).state for one in made] == ["FINAL"] * 5
    assert packed() == [(1, "FINAL", 2, True), (2, "FINAL", 2, True), (3, "FINAL", 1, True)]
    numbers = BatchMovement.objects.order_by("contract_seq").values_list("contract_seq", "instruction_id")
    assert list(numbers) == [(number, one.id) for number, one in enumerate(made, 1)]
    assert_reconciled()


def test_a_batch_that_is_taken_apart_takes_the_signed_one_behind_it_along(chain: Chain, who: Client) -> None:
    """Its first transaction never gets into a block, and the chain does not take another one."""
    made = [debit(who, amount) for amount in (1, 2, 4, 8)]
    two_batches(chain)
    first, _ = Batch.objects.order_by("number")
    assert not packing.take_apart(first, {}), "it is on its way"
    use_its_nonce(chain, ChainTransaction.objects.get())
    go_on_refusing(chain)
    assert ChainTransaction.objects.get().state == "DISPLACED"
    assert list(holding.stuck_batches()) == [first], "the second is not tried before the first"
    decide(made[0], decisions.FAIL)
    assert [state for _, state, _, _ in packed()] == ["REFUSED", "REFUSED"]
    for _ in range(3):  # what was signed can fail when its number is used up, and `settle_all` waits for that
        poster.step(chain, signers())
        sign()
        for _ in range(3):
            mine(chain)
        watch(chain)
    decide(made[0], decisions.FAIL)
    settle_all()
    assert [ChainInstruction.objects.get(id=one.id).state for one in made] == ["FAILED", "FINAL", "FINAL", "FINAL"]
    assert not Approval.objects.filter(refusal__isnull=False).exists(), "what was signed for batch 2 is not in batch 1"
    assert packed()[2:] == [(1, "FINAL", 1, True), (2, "FINAL", 2, True)]
    assert held(who) == 5 * MILLION - 14
    assert_reconciled()


def test_what_the_approver_refuses_behind_one_in_flight_leaves_that_alone(chain: Chain, who: Client) -> None:
    made = [debit(who, amount) for amount in (1, 2, 3, 4)]
    poster.step(chain, signers())
    sign()
    poster.step(chain, signers())
    poster.step(chain, signers())
    behind = Batch.objects.get(number=2)
    BatchMovement.objects.filter(batch=behind, instruction=made[2]).update(contract_seq=9)
    sign()
    assert poster.step(chain, signers()) == 0
    assert packed()[:2] == [(1, "PACKED", 2, True), (2, "REFUSED", 2, False)]
    decide(made[2], decisions.AGAIN)
    settle_all()
    assert [ChainInstruction.objects.get(id=one.id).state for one in made] == ["FINAL"] * 4
    assert held(who) == 5 * MILLION - 10
    assert_reconciled()


def test_nobody_is_asked_to_sign_a_batch_that_was_taken_apart(chain: Chain, who: Client) -> None:
    """A refusal would alarm people, and so would a request that nobody answers."""
    for amount in (1, 2, 3, 4):
        debit(who, amount)
    poster.step(chain, signers())
    sign()
    poster.step(chain, signers())
    poster.step(chain, signers())
    assert collect().approvals.count == 1
    use_its_nonce(chain, ChainTransaction.objects.get())
    go_on_refusing(chain)
    decide(ChainInstruction.objects.earliest("id"), decisions.AGAIN)
    assert packed() == [(1, "REFUSED", 2, True), (2, "REFUSED", 2, False)]
    sign()
    stale = Approval.objects.get(batch__number=2)
    assert (stale.signature, stale.refusal, collect().approvals.count) == ("", None, 0)
    settle_all()
    assert packed()[2:] == [(1, "FINAL", 2, True), (2, "FINAL", 2, True)]
    assert not Approval.objects.filter(refusal__isnull=False).exists()
    assert_reconciled()


def test_the_next_number_of_a_vault_is_after_its_last_live_movement(chain: Chain, who: Client) -> None:
    for amount in (1, 2, 3):
        debit(who, amount)
    settle_all()
    vault, house = who.vault, ChainTarget.objects.get(kind="HOUSE")
    assert next_numbers({vault.id}) == {vault.id: 4}
    last = Batch.objects.get(house=house, number=2)
    assert next_numbers({vault.id}, before=last) == {vault.id: 3}
    BatchMovement.objects.filter(batch=last).update(outcome="FAILED")
    assert next_numbers({vault.id}) == {vault.id: 3}
    assert next_numbers({house.id}) == {house.id: 1}
    assert next_numbers(set()) == {}
