"""Under which number the approver signs claims and emergency caps, and that a number has one live signature."""

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from intermediary import defaults
from intermediary.config.operations.collect import collect
from intermediary.models import ChainInstruction, DefaultCase
from settlement import approver, decisions, numbers, poster
from settlement.acts import driver
from settlement.acts.rows import ChainAct
from settlement.bindings import read
from settlement.chain import Chain
from settlement.cycle import settle_all
from settlement.deployment import address_of
from settlement.models import Approval, TransactionAttempt
from settlement.signed import NotYet
from settlement.signer import demo_signer
from settlement.watcher import step as watch
from tests.conftest import RoleSwitch
from tests.settlement.test_acts import decide, go_on
from tests.settlement.test_crashes import CHAIN_ID, signers
from tests.settlement.test_default_and_series import approved_notice, instruct
from tests.settlement.world import CAP, MILLION, Client, assert_reconciled, funded_client, required_of

pytestmark = pytest.mark.world(build=funded_client)


@pytest.fixture(autouse=True)
def days_pass_in_an_instant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "REST_SECONDS", 0.0)


def ahead(asked: Approval, by: int) -> Approval:
    """The same request under a later number, as whoever holds the poster's login may ask for it."""
    body: dict[str, Any] = json.loads(json.dumps(asked.body))
    body["message"]["nonce"] += by
    return Approval.objects.create(kind=asked.kind, instruction=asked.instruction, act=asked.act, body=body)


def answers(*asked: Approval) -> list[str]:
    """What became of each: signed, refused, or neither."""
    approver.step(demo_signer("approver"), CHAIN_ID)
    for one in asked:
        one.refresh_from_db()
    return ["signed" if one.signature else "refused" if one.refusal else "" for one in asked]


def requested(chain: Chain, who: Client) -> Approval:
    """A notice that two people approved, and the poster's request."""
    watch(chain)
    evidence = approved_notice(who).hash
    case = str(DefaultCase.objects.get().id)
    instruct(who.vault, who, ChainInstruction.Kind.NOTICE, MILLION, evidence=evidence, case=case)
    poster.step(chain, signers())
    return Approval.objects.get(kind="CLAIM")


def test_a_claim_is_signed_under_its_vaults_next_number_only(chain: Chain, who: Client) -> None:
    asked = requested(chain, who)
    next_, later = ahead(asked, 1), ahead(asked, 2)
    assert answers(asked, next_, later) == ["signed", "", "refused"]
    with pytest.raises(IntegrityError, match="approval_number_is_signed_once"), transaction.atomic():
        Approval.objects.filter(id=ahead(asked, 0).id).update(signature="0x00")
    settle_all()
    assert read(chain, who.vault.address, "MarginVault", "claimNonce") == 1
    assert answers(next_) == ["refused"], "it is claimed"
    instruction = ChainInstruction.objects.get(approvals=asked)
    evidence = instruction.arguments["evidence"].removeprefix("0x")
    assert numbers.off_claim(instruction, evidence, 2) == "the chain shows this claim under number 1"
    instruction.amount_base_units += 1
    assert numbers.off_claim(instruction, evidence, 2) == ""
    assert numbers.off_claim(instruction, evidence, 1) == "the next number is 2, not 1"


def test_no_claim_is_signed_after_the_cure(chain: Chain, who: Client) -> None:
    asked = requested(chain, who)
    DefaultCase.objects.update(state=DefaultCase.State.CURED)
    assert answers(asked) == ["refused"]
    assert asked.refusal == {str(asked.instruction_id): "no live default that two people approved stands behind it"}


def cured(who: Client) -> DefaultCase:
    """The case whose notice waits, after the shortfall was delivered."""
    case = required_of(who, MILLION)
    with transaction.atomic():
        return defaults.cure(case_id=case.id)


def test_a_notice_that_is_not_signed_at_the_cure_ends_without_anybodys_decision(chain: Chain, who: Client) -> None:
    asked = requested(chain, who)
    assert collect().approvals.count == 1
    assert cured(who).state == DefaultCase.State.CURED
    assert answers(asked) == [""], "a refusal would alarm people, and so would a request that nobody answers"
    assert (collect().approvals.count, collect().approvals_refused) == (0, 0)
    settle_all()
    assert set(ChainInstruction.objects.values_list("kind", "state")) == {("NOTICE", "FAILED")}
    assert not decisions.waiting().exists()
    assert read(chain, who.vault.address, "MarginVault", "claimNonce") == 0
    assert_reconciled()


def test_the_approvers_own_login_is_enough_to_answer_a_claim(chain: Chain, who: Client, as_role: RoleSwitch) -> None:
    asked = requested(chain, who)
    with as_role("approver"):
        assert answers(asked) == ["signed"]


def test_a_notice_that_is_signed_at_the_cure_goes_out_and_is_withdrawn(chain: Chain, who: Client) -> None:
    """Its signature could be used by whoever has the operator's key: so it is used, and taken back."""
    assert answers(requested(chain, who)) == ["signed"]
    cured(who)
    settle_all()
    states = dict(ChainInstruction.objects.values_list("kind", "state"))
    assert states == {"NOTICE": "FINAL", "RELEASE_NOTICE": "FINAL"}
    assert not decisions.waiting().exists()
    assert not read(chain, who.vault.address, "MarginVault", "noticeLive")


def test_no_claim_is_signed_while_its_default_is_being_cured(chain: Chain, who: Client) -> None:
    """The approver looks at the instruction after the cure has let go of it, not at what it was before."""
    asked = requested(chain, who)
    answered: list[str] = []

    def answer() -> None:
        try:
            answered.extend(answers(asked))
        finally:
            connection.close()

    other = threading.Thread(target=answer)
    with transaction.atomic():
        cured(who)
        other.start()
        other.join(2)
        assert not answered, "it waits for the end of this transaction"
    other.join(30)
    assert answered == [""]


def test_a_cure_that_comes_while_its_claim_is_being_signed_waits_for_it_and_stops_nobody(
    chain: Chain, who: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both write to the audit trail, one at a time: not before the cure knows what was signed."""
    asked, signer, done = requested(chain, who), demo_signer("approver"), list[str]()
    has_begun, go_on, sign = threading.Event(), threading.Event(), signer.sign_typed

    def sign_slowly(message: dict[str, Any]) -> bytes:
        has_begun.set()
        assert go_on.wait(30)
        return sign(message)

    def run(name: str, work: Callable[[], object]) -> None:
        try:
            work()
            done.append(name)
        finally:
            connection.close()

    monkeypatch.setattr(type(signer), "sign_typed", lambda _, message: sign_slowly(message))
    answering = threading.Thread(target=run, args=("answer", lambda: approver.answer(asked.id, signer, CHAIN_ID)))
    curing = threading.Thread(target=run, args=("cure", lambda: cured(who)))
    answering.start()
    assert has_begun.wait(30)
    curing.start()
    curing.join(2)
    go_on.set()
    for one in (answering, curing):
        one.join(30)
    assert done == ["answer", "cure"]
    assert ChainInstruction.objects.filter(kind="RELEASE_NOTICE").exists(), "it is signed: it goes out"


def test_a_claim_waits_until_the_one_before_is_final(chain: Chain, who: Client) -> None:
    asked = requested(chain, who)
    assert answers(asked) == ["signed"]
    poster.step(chain, signers())
    chain.call("evm_mine")
    watch(chain)
    instruction = ChainInstruction.objects.get(approvals=asked)
    with pytest.raises(NotYet):
        numbers.off_claim(instruction, "00" * 32, 2)


def test_a_cap_is_signed_once_an_act_and_a_number(chain: Chain) -> None:
    watch(chain)
    first = decide(ChainAct.Kind.CAP_NOW, asset="USDC", cap_base_units=str(3 * CAP))
    second = decide(ChainAct.Kind.CAP_NOW, asset="USDC", cap_base_units=str(4 * CAP))
    driver.step(chain, {})
    asked = Approval.objects.get()
    next_, later = ahead(asked, 1), ahead(asked, 2)
    others = Approval.objects.create(kind="CAP", act=second, body=cap_of(asked, 4 * CAP))
    assert answers(asked, next_, later, others) == ["signed", "refused", "refused", ""], "one has its signature"
    with pytest.raises(IntegrityError, match="approval_number_is_signed_once"), transaction.atomic():
        Approval.objects.filter(id=others.id).update(signature="0x00")
    go_on(chain)
    for act in (first, second):
        act.refresh_from_db()
    assert (first.state, second.state) == (ChainAct.State.DONE, ChainAct.State.DONE)
    house = address_of("House", "USDC")
    assert read(chain, house, "House", "outflowCapNonce") == 2
    assert read(chain, house, "House", "outflowCap") == 4 * CAP


def cap_of(asked: Approval, cap: int) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(json.dumps(asked.body))
    body["message"]["cap"] = cap
    return body


def signed_and_stopped(chain: Chain) -> None:
    """An emergency cap whose signature nobody uses."""
    watch(chain)
    first = decide(ChainAct.Kind.CAP_NOW, asset="USDC", cap_base_units=str(3 * CAP))
    driver.step(chain, {})
    assert answers(Approval.objects.get()) == ["signed"]
    for state in (ChainAct.State.STOPPING, ChainAct.State.STOPPED):
        ChainAct.objects.filter(id=first.id).update(state=state)


def test_a_stopped_act_leaves_its_number_to_the_next(chain: Chain) -> None:
    signed_and_stopped(chain)
    second = decide(ChainAct.Kind.CAP_NOW, asset="USDC", cap_base_units=str(4 * CAP))
    go_on(chain)
    second.refresh_from_db()
    assert second.state == ChainAct.State.DONE


def test_a_cap_that_another_act_set_takes_no_number(chain: Chain, as_role: RoleSwitch) -> None:
    """The signature of the stopped one was never used, although the house had that cap afterwards."""
    signed_and_stopped(chain)
    delayed = decide(ChainAct.Kind.CAP, asset="USDC", cap_base_units=str(3 * CAP))
    go_on(chain)
    now = decide(ChainAct.Kind.CAP_NOW, asset="USDC", cap_base_units=str(4 * CAP))
    driver.step(chain, {})
    with pytest.raises(NotYet):
        numbers.off_cap(now, address_of("House", "USDC"), 2)
    with as_role("approver"):
        assert answers(Approval.objects.get(act=now)) == ["signed"]
    go_on(chain)
    for act in (delayed, now):
        act.refresh_from_db()
    assert (delayed.state, now.state) == (ChainAct.State.DONE, ChainAct.State.DONE)
    assert read(chain, address_of("House", "USDC"), "House", "outflowCapNonce") == 1


def test_what_no_bytes_of_ours_show_may_have_taken_a_number(chain: Chain) -> None:
    """As after a restore: the change of the cap is final, and nobody here knows the transaction that made it."""
    watch(chain)
    decide(ChainAct.Kind.CAP_NOW, asset="USDC", cap_base_units=str(3 * CAP))
    go_on(chain)
    attempts = TransactionAttempt.objects.filter(transaction__act__kind=ChainAct.Kind.CAP_NOW)
    attempts.update(raw="0x" + "00" * 32)
    house, next_ = address_of("House", "USDC"), decide(ChainAct.Kind.CAP_NOW, asset="USDC", cap_base_units=str(CAP))
    assert [numbers.off_cap(next_, house, number) for number in (1, 2)] == ["", ""]
    with pytest.raises(NotYet):
        numbers.off_cap(next_, house, 3)
    assert numbers.off_cap(next_, house, 4) == "the next number is 1, not 4"
