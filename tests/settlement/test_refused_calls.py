"""What the chain, a node or the approver will not take: nothing is lost, nothing fails by itself, people decide."""

from typing import Any

import pytest
from django.db import transaction

from intermediary import ledger, outbox
from intermediary.errors import Refusal
from intermediary.ids import uuid7
from intermediary.models import AccountKind, ChainInstruction
from settlement import approver, decisions, holding, packing, poster
from settlement.chain import Chain, ChainRefused
from settlement.cycle import settle_all, unfinished
from settlement.demo_chain import mine
from settlement.models import Batch, ChainTransaction, HeldCall, ReconciliationBreak
from settlement.signer import demo_signer
from settlement.watcher import step as watch
from tests.people import person
from tests.settlement.test_crashes import CHAIN_ID, signers
from tests.settlement.test_default_and_series import approved_notice, instruct
from tests.settlement.world import MILLION, Client, assert_reconciled, debit, funded_client, held

pytestmark = pytest.mark.world(build=funded_client)
Kind = ChainInstruction.Kind


class MoodyChain(Chain):
    """A node that answers some calls with an error of its own; where it estimates no gas it tries nothing."""

    def __init__(self, url: str, method: str, error: dict[str, Any]) -> None:
        super().__init__(url)
        self.method, self.error = method, error

    def call(self, method: str, *parameters: Any) -> Any:
        is_trial = method == "eth_call" and "gas" in parameters[0]
        if method == self.method or (is_trial and self.method == "eth_estimateGas"):
            raise ChainRefused("chain_refused", f"{method}: {self.error['message']}", data=self.error.get("data"))
        return super().call(method, *parameters)


def go_on_refusing(chain: Chain) -> None:
    """A node says no to the batch that is next until people are asked."""
    moody = MoodyChain(chain.url, "eth_estimateGas", {"message": "execution reverted"})
    for _ in range(holding.REFUSALS_BEFORE_BREAK + 1):
        poster.step(moody, signers())
        Batch.objects.update(refused_at=None)  # two seconds later


def decide(instruction: ChainInstruction, act: str) -> None:
    """Two officers."""
    maker, checker = (person(f"{name} {uuid7()}", is_staff=True) for name in ("maker", "checker"))
    with transaction.atomic():
        made = decisions.propose(maker=maker, instruction_id=instruction.id, act=act, reason="looked at it")
        decisions.approve(checker=checker, proposal_id=made.id, seen_hash=made.hash, reason="agreed")


def breaks() -> list[str]:
    return list(ReconciliationBreak.objects.filter(resolved_block=None).values_list("kind", flat=True))


@pytest.mark.parametrize("message", ["rate limited", "header not found", "insufficient funds for gas * price + value"])
def test_a_nodes_own_trouble_fails_no_default_notice(chain: Chain, who: Client, message: str) -> None:
    notice = instruct(who.vault, who, Kind.NOTICE, MILLION, evidence=approved_notice(who).hash)
    moody = MoodyChain(chain.url, "eth_estimateGas", {"message": message})
    poster.step(moody, signers())
    approver.step(demo_signer("approver"), CHAIN_ID)
    poster.step(moody, signers())
    assert HeldCall.objects.get(instruction=notice).given_up is False
    settle_all()
    assert ChainInstruction.objects.get(id=notice.id).state == "FINAL"


def test_a_call_that_reverts_after_a_good_trial_is_tried_again(
    chain: Chain, who: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    notice = instruct(who.vault, who, Kind.NOTICE, MILLION, evidence=approved_notice(who).hash)
    poster.step(chain, signers())
    approver.step(demo_signer("approver"), CHAIN_ID)
    with monkeypatch.context() as patched:
        patched.setattr(poster, "_estimate", lambda *_: 20_000)
        patched.setattr(poster, "SPARE_GAS", 10_000)
        poster.step(chain, signers())
    for _ in range(4):
        mine(chain)
        poster.step(chain, signers())
        watch(chain)
    assert ChainTransaction.objects.filter(instruction=notice, state="REVERTED").count() == 1
    assert ChainInstruction.objects.get(id=notice.id).state == "DRAFT"
    settle_all()
    assert ChainInstruction.objects.get(id=notice.id).state == "FINAL"
    assert_reconciled()


def test_a_definite_no_waits_for_two_people_and_goes_out_once_it_can(chain: Chain, who: Client) -> None:
    retention = who.targets["RETENTION"]
    book(who, AccountKind.EQUITY, AccountKind.FIRST_LOSS, MILLION)
    with transaction.atomic():
        made = outbox.move(
            effect_id=uuid7(),
            target=retention,
            cell_id=who.cell.id,
            kind=Kind.APPLY,
            source=AccountKind.FIRST_LOSS,
            destination=AccountKind.FLOAT,
            amount_base_units=MILLION,
            memo="test",
        )
    settle_all()
    assert (HeldCall.objects.get(instruction=made).reason, unfinished()) == ("Insufficient", 0)
    assert ChainInstruction.objects.get(id=made.id).state == "DRAFT"
    assert "call" in breaks()
    with pytest.raises(Refusal, match="must_be_tried_again"):
        decide(made, decisions.FAIL)
    decide(made, decisions.AGAIN)
    assert not HeldCall.objects.get(instruction=made).given_up


def book(who: Client, source: AccountKind, destination: AccountKind, amount: int) -> None:
    lines = [ledger.Line(source, "USDC", -amount), ledger.Line(destination, "USDC", amount)]
    with transaction.atomic():
        ledger.post(entry_id=uuid7(), cell_id=who.cell.id, kind="made_up", memo="no such money", lines=lines)


def test_a_movement_that_the_approver_refused_is_decided_by_two_people(chain: Chain, who: Client) -> None:
    made = [debit(who, amount) for amount in (1, 2)]
    poster.step(chain, signers())
    batch = Batch.objects.get()
    refuse(batch, made)
    poster.step(chain, signers())
    assert [ChainInstruction.objects.get(id=draft.id).state for draft in made] == ["BATCHED", "BATCHED"]
    decide(made[0], decisions.AGAIN)
    decide(made[1], decisions.FAIL)
    settle_all()
    assert [ChainInstruction.objects.get(id=draft.id).state for draft in made] == ["FINAL", "FAILED"]
    assert held(who) == 5 * MILLION - 1
    assert_reconciled()


def refuse(batch: Batch, movements: list[ChainInstruction]) -> None:
    batch.approval.refusal = {str(one.id): "not in the ledger" for one in movements}
    batch.approval.save(update_fields=["refusal"])


def test_a_signed_batch_that_the_chain_goes_on_refusing_shows_and_can_be_taken_apart(chain: Chain, who: Client) -> None:
    made = debit(who, MILLION)
    poster.step(chain, signers())
    approver.step(demo_signer("approver"), CHAIN_ID)
    go_on_refusing(chain)
    for _ in range(3):
        mine(chain)
        watch(chain)
    assert "call" in breaks()
    with pytest.raises(Refusal, match="nothing_to_decide"):
        decide(debit(who, 1), decisions.AGAIN)
    decide(made, decisions.AGAIN)
    assert list(Batch.objects.values_list("state", flat=True)) == ["REFUSED"]
    settle_all()
    assert ChainInstruction.objects.get(id=made.id).state == "FINAL"
    assert_reconciled()


def test_a_movement_of_a_signed_batch_fails_when_another_batch_has_taken_its_number(chain: Chain, who: Client) -> None:
    made = debit(who, MILLION)
    poster.step(chain, signers())
    approver.step(demo_signer("approver"), CHAIN_ID)
    go_on_refusing(chain)
    decide(made, decisions.FAIL)
    assert list(decisions.waiting()) == [made]
    made.refresh_from_db()
    assert "taken out of signed batch 1" in decisions.why(made)
    assert (ChainInstruction.objects.get(id=made.id).state, held(who)) == ("BATCHED", 4 * MILLION)
    with pytest.raises(Refusal, match="still_postable"):
        decide(made, decisions.FAIL)
    debit(who, 1)
    for _ in range(3):  # `settle_all` waits for the first one too
        poster.step(chain, signers())
        approver.step(demo_signer("approver"), CHAIN_ID)
        for _ in range(3):
            mine(chain)
        watch(chain)
    assert list(Batch.objects.order_by("id").values_list("number", "state")) == [(1, "REFUSED"), (1, "FINAL")]
    decide(made, decisions.FAIL)
    assert (ChainInstruction.objects.get(id=made.id).state, held(who)) == ("FAILED", 5 * MILLION - 1)
    assert_reconciled()


def test_a_batch_is_taken_apart_once_and_not_when_it_has_gone_out(chain: Chain, who: Client) -> None:
    first = debit(who, MILLION)
    poster.step(chain, signers())
    batch = Batch.objects.get()
    refuse(batch, [])
    assert [packing.take_apart(batch, {}), packing.take_apart(batch, {str(first.id): "late"})] == [True, False]
    assert ChainInstruction.objects.get(id=first.id).state == "DRAFT"
    poster.step(chain, signers())
    again = Batch.objects.latest("id")
    approver.step(demo_signer("approver"), CHAIN_ID)
    poster.step(chain, signers())
    assert not packing.take_apart(again, {str(first.id): "the chain has it"})
    settle_all()
    assert ChainInstruction.objects.get(id=first.id).state == "FINAL"
    assert_reconciled()
