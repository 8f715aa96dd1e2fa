"""Acts on chain that two people decided on: carried out call by call, under delays, whatever stops on the way."""

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DatabaseError, transaction
from django.db.models.functions import Now

from intermediary import clock, outbox
from intermediary.canonical import canonical_json
from intermediary.errors import Refusal
from intermediary.ids import uuid7
from intermediary.models import AccountKind, Cell, ChainInstruction, ChainTarget, TermsVersion
from intermediary.typed_data import digest_of
from settlement import approver, poster
from settlement.acts import amendments, deciding, driver, scheduling, stopping
from settlement.acts.rows import ChainAct
from settlement.acts.steps import Step
from settlement.bindings import read
from settlement.calls import call_of
from settlement.chain import Chain
from settlement.demo_chain import mine
from settlement.deployment import address_of
from settlement.models import Approval, ChainTransaction, HeldCall
from settlement.role_table import roles
from settlement.signer import demo_signer, demo_wallet
from settlement.transactor import Transactor
from settlement.vault_terms import predict_vaults
from settlement.watcher import step as watch
from tests.intermediary.builders import client_cell
from tests.people import person
from tests.settlement.test_crashes import CHAIN_ID, signers
from tests.settlement.world import CAP, MILLION, give, house_alone, pass_time, terms_of

Kind, State = ChainAct.Kind, ChainAct.State
KEYS = ("admin", "onboarder", "structurer", "trustee", "expert")
DAY = 86_400


pytestmark = pytest.mark.world(build=house_alone)


@pytest.fixture(autouse=True)
def days_pass_in_an_instant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "REST_SECONDS", 0.0)


def officers() -> tuple[Any, Any]:
    maker, checker = (person(f"{name} {uuid7()}", is_staff=True) for name in ("maker", "checker"))
    return maker, checker


def decide(kind: ChainAct.Kind, **asked: Any) -> ChainAct:
    """Two officers."""
    maker, checker = officers()
    with transaction.atomic():
        made = deciding.propose(maker=maker, kind=kind, asked=asked, reason="it is agreed")
        return deciding.approve(checker=checker, proposal_id=made.id, seen_hash=made.hash, reason="checked it")


def go_on(chain: Chain, rounds: int = 40) -> int:
    """Rounds of everybody's processes until nothing more is sent, twice, all of it being final in between; how many
    transactions that were."""
    keys = {name: demo_signer(name) for name in KEYS}
    sent = idle = 0
    for _ in range(rounds):
        now = driver.step(chain, keys) + poster.step(chain, signers())
        now += approver.step(demo_signer("approver"), CHAIN_ID)
        sent, idle = sent + now, 0 if now else idle + 1
        for _ in range(3 if idle else 1):
            mine(chain)
        if idle:
            watch(chain)
        if idle == 3:
            break
    return sent


def delay(chain: Chain, label: str, holder: str, seconds: int) -> None:
    """Put this role of this key under a delay, as production has it."""
    admin = Transactor(chain, demo_signer("admin"), mine)
    [role] = [one for one in roles() if one.label == label]
    admin.call(address_of("AccessManager"), "AccessManager", "grantRole", role.id, demo_signer(holder).address, seconds)
    admin.wait()


def signed_cell(code: str, index: int = 0) -> tuple[Cell, Any]:
    """A relationship with signed terms and nothing on chain."""
    cell, key = client_cell(code), demo_wallet(index)
    terms = terms_of(code, key)
    TermsVersion.objects.create(
        cell=cell, version=1, body=terms.canonical, hash=terms.hash, client_signer=key.address, client_signature="0x",
        house_signer=key.address, house_signature="0x",
    )  # fmt: skip
    return cell, terms


def signatures(chain: Chain, terms: Any, index: int = 0) -> dict[str, str]:
    """The client's, under the first amendment of each vault."""
    return {
        code: "0x"
        + demo_wallet(index)
        .sign_digest(
            digest_of(
                amendments.message(
                    chain_id=chain.id(), vault=vault, terms_hash=terms.hash, rulebook_hash=terms.rulebook_hash, nonce=1
                )
            )
        )
        .hex()
        for code, vault in predict_vaults(chain=chain, terms=terms).items()
    }


def test_a_relationship_is_opened_by_two_people_and_waits_out_its_delays(chain: Chain) -> None:
    cell, terms = signed_cell("W")
    delay(chain, "ONBOARDER", "onboarder", DAY)
    watch(chain)
    act = decide(Kind.RELATIONSHIP, relationship="W", signatures=signatures(chain, terms))
    go_on(chain)
    act.refresh_from_db()
    assert (act.state, act.step, act.said) == (State.OPEN, "accept the USDC vault", "scheduled")
    assert act.ready_at is not None
    assert not ChainTarget.objects.filter(cell=cell).exists()
    vault, house = predict_vaults(chain=chain, terms=terms)["USDC"], address_of("House", "USDC")
    assert read(chain, house, "House", "creditLimit", vault) == 0
    pass_time(chain, DAY + 1)
    go_on(chain)  # accepts the vault, records the terms, makes the retention, schedules its acceptance
    act.refresh_from_db()
    assert (act.step, act.said) == ("accept the retention", "scheduled")
    pass_time(chain, DAY + 1)
    go_on(chain)
    act.refresh_from_db()
    assert act.state == State.DONE
    assert act.steps_done == act.steps_known
    assert read(chain, house, "House", "creditLimit", vault) == terms.max_required_base_units
    assert read(chain, vault, "MarginVault", "termsHash").hex() == terms.hash
    targets = {one.kind: one for one in ChainTarget.objects.filter(cell=cell)}
    assert targets["VAULT"].address == vault
    assert read(chain, house, "House", "accepted", targets["RETENTION"].address) is True
    assert go_on(chain) == 0


def test_steps_that_somebody_else_made_are_not_made_again(chain: Chain) -> None:
    signed_cell("W")
    watch(chain)
    act = decide(Kind.RELATIONSHIP, relationship="W")
    keys = {name: demo_signer(name) for name in KEYS}
    driver.step(chain, keys)  # opens the vault: in flight, and this process is gone before it knows
    mine(chain)
    ChainTransaction.objects.update(state="DISPLACED")  # as if this database had never sent it
    ChainAct.objects.filter(id=act.id).update(step="", steps_done=0)
    for _ in range(3):
        mine(chain)
    go_on(chain)
    act.refresh_from_db()
    assert act.state == State.DONE
    assert set(act.transactions.exclude(state="DISPLACED").values_list("step", flat=True)) == {
        "accept the USDC vault",
        "make the USDC retention",
        "give the retention to SERVICER",
        "give the retention to TREASURER",
        "accept the retention",
    }


def test_a_step_goes_out_once_although_two_processes_carry_the_act_out(chain: Chain) -> None:
    signed_cell("W")
    watch(chain)
    act = decide(Kind.RELATIONSHIP, relationship="W")
    keys = {name: demo_signer(name) for name in KEYS}
    other = Chain(chain.url)
    for _ in range(12):
        driver.step(chain, keys)
        driver.step(other, keys)
        mine(chain)
    go_on(chain)
    act.refresh_from_db()
    sent = list(act.transactions.values_list("step", flat=True))
    assert (act.state, len(sent)) == (State.DONE, len(set(sent)))


def test_an_officer_stops_an_act_and_the_guardian_takes_back_what_is_scheduled(chain: Chain) -> None:
    delay(chain, "TREASURER", "operator", 2 * DAY)
    watch(chain)
    act = decide(Kind.CAP, asset="USDC", cap_base_units=str(2 * CAP))
    go_on(chain)
    act.refresh_from_db()
    assert (act.state, act.said, act.key) == (State.OPEN, "scheduled", "operator")
    with transaction.atomic():
        stopping.ask(officer=officers()[0], act_id=act.id, reason="not today")
    go_on(chain)
    act.refresh_from_db()
    assert act.state == State.STOPPED
    pass_time(chain, 2 * DAY + 1)
    go_on(chain)
    assert read(chain, address_of("House", "USDC"), "House", "outflowCap") == CAP
    assert act.transactions.filter(step__contains="take back", sender_id=demo_signer("admin").address).count() == 1


def test_what_a_guardian_takes_back_on_chain_is_not_scheduled_again(chain: Chain) -> None:
    delay(chain, "TREASURER", "operator", 2 * DAY)
    watch(chain)
    act = decide(Kind.CAP, asset="USDC", cap_base_units=str(2 * CAP))
    go_on(chain)
    found = driver.look(chain, act).step
    assert isinstance(found, Step)
    admin = Transactor(chain, demo_signer("admin"), mine)
    admin.send(
        address_of("AccessManager"),
        scheduling.cancel(demo_signer("operator").address, found.to, found.calldata()),
    )
    admin.wait()
    go_on(chain)
    act.refresh_from_db()
    assert (act.state, act.said) == (State.STOPPED, "stopped: what was scheduled was taken back on chain")


def test_what_lapsed_is_scheduled_again(chain: Chain) -> None:
    delay(chain, "TREASURER", "operator", 2 * DAY)
    watch(chain)
    act = decide(Kind.CAP, asset="USDC", cap_base_units=str(2 * CAP))
    go_on(chain)
    pass_time(chain, 10 * DAY)
    go_on(chain)
    pass_time(chain, 2 * DAY + 1)
    go_on(chain)
    act.refresh_from_db()
    assert act.state == State.DONE
    assert act.transactions.filter(step__contains="schedule").count() == 2
    assert read(chain, address_of("House", "USDC"), "House", "outflowCap") == 2 * CAP


def test_a_cap_is_raised_at_once_with_the_approvers_signature(chain: Chain) -> None:
    watch(chain)
    act = decide(Kind.CAP_NOW, asset="USDC", cap_base_units=str(3 * CAP))
    go_on(chain)
    act.refresh_from_db()
    assert (act.state, Approval.objects.get(act=act).signature != "") == (State.DONE, True)
    house = address_of("House", "USDC")
    assert (read(chain, house, "House", "outflowCap"), read(chain, house, "House", "outflowCapNonce")) == (3 * CAP, 1)


def test_the_approver_signs_no_cap_that_nobody_decided(chain: Chain) -> None:
    watch(chain)
    act = decide(Kind.CAP_NOW, asset="USDC", cap_base_units=str(3 * CAP))
    driver.step(chain, {})
    asked = Approval.objects.get(act=act)
    forged = json.loads(json.dumps(asked.body))
    forged["message"]["cap"] = 9 * CAP
    Approval.objects.create(kind=Approval.Kind.CAP, act=act, body=forged)
    approver.step(demo_signer("approver"), CHAIN_ID)
    refused = Approval.objects.exclude(id=asked.id).get(act=act)
    assert refused.refusal == {"request": "the request is not what the ledger gives"}


def test_the_database_takes_no_act_that_two_people_did_not_approve(chain: Chain) -> None:
    maker, checker = officers()
    with transaction.atomic():
        asked = {"asset": "USDC", "cap_base_units": "1"}
        proposal = deciding.propose(maker=maker, kind=Kind.CAP, asked=asked, reason="it is agreed")
    with pytest.raises(DatabaseError, match="act_needs_two_people"), transaction.atomic():
        ChainAct.objects.create(proposal=proposal, kind=Kind.CAP, body=proposal.body)
    with transaction.atomic():
        act = deciding.approve(checker=checker, proposal_id=proposal.id, seen_hash=proposal.hash, reason="checked it")
    with pytest.raises(DatabaseError, match="act_is_fixed"), transaction.atomic():
        ChainAct.objects.filter(id=act.id).update(body=canonical_json({"asset": "USDC"}))
    with pytest.raises(DatabaseError, match="act_needs_two_people"), transaction.atomic():
        ChainAct.objects.create(proposal=proposal, part=1, kind=Kind.CAP, body=canonical_json({"asset": "WBTC"}))


def test_what_cannot_be_asked_for(chain: Chain) -> None:
    signed_cell("W")
    maker, _ = officers()

    def refused(kind: ChainAct.Kind, **asked: Any) -> str:
        with pytest.raises(Refusal) as found, transaction.atomic():
            deciding.propose(maker=maker, kind=kind, asked=asked, reason="it is agreed")
        return found.value.code

    house = address_of("House", "USDC")
    call = {"contract": "House", "to": house, "arguments": ["0x" + "11" * 20], "key": "operator"}
    assert refused(Kind.CALL, **call, function="seize") == "not_callable"  # the outbox's
    assert refused(Kind.CALL, **call | {"key": "trustee"}, function="setDisposalDesk") == "not_callable"
    assert refused(Kind.CALL, **call | {"arguments": ["7", "8"]}, function="setDisposalDesk") == "bad_arguments"
    assert refused(Kind.CAP, asset="USDC", cap_base_units="0") == "bad_amount"
    assert refused(Kind.CAP, asset="USDC") == "bad_act"
    assert refused(Kind.AMEND, relationship="W", signatures={}) == "no_signature"
    assert refused(Kind.CLOSE, series="none") == "no_escrow"


def test_any_other_restricted_function_is_called_by_an_act(chain: Chain) -> None:
    watch(chain)
    desk = demo_wallet(7).address
    house = address_of("House", "USDC")
    act = decide(Kind.CALL, contract="House", to=house, function="setDisposalDesk", arguments=[desk], key="operator")
    go_on(chain)
    act.refresh_from_db()
    assert (act.state, read(chain, house, "House", "disposalDesk")) == (State.DONE, desk)


def test_a_rulebook_is_published_in_every_house(chain: Chain) -> None:
    watch(chain)
    hash_, effective = "ab" * 32, int((clock.now() + timedelta(days=40)).timestamp())
    decide(Kind.RULEBOOK, hash=hash_, uri="/rulebook/2/", effective=str(effective))
    go_on(chain)
    house = address_of("House", "USDC")
    assert read(chain, house, "House", "rulebook").hex() == hash_
    assert read(chain, house, "House", "rulebookEffective", bytes.fromhex(hash_)) == effective


def disposal(chain: Chain, amount: int) -> ChainInstruction:
    """Costs that the house is to pay, which it can."""
    house = ChainTarget.objects.get(kind="HOUSE")
    give(chain, house.address, 10 * MILLION)
    mine(chain)
    with transaction.atomic():
        return outbox.move(
            effect_id=uuid7(),
            target=house,
            cell_id=client_cell("X").id,
            kind=ChainInstruction.Kind.DISPOSE,
            source=AccountKind.FLOAT,
            destination=AccountKind.COSTS,
            amount_base_units=amount,
            memo="test",
            account="costs",
        )


def test_the_outbox_schedules_a_payment_out_of_a_house_and_makes_it_when_it_is_ready(chain: Chain) -> None:
    delay(chain, "TREASURER", "operator", 2 * DAY)
    watch(chain)
    paid = disposal(chain, MILLION)
    go_on(chain)
    HeldCall.objects.update(next_try_at=Now())  # looked at again some seconds after it was sent to be scheduled
    go_on(chain)
    paid.refresh_from_db()
    held = HeldCall.objects.get(instruction=paid)
    assert (paid.state, held.given_up, held.reason.startswith("scheduled, from ")) == ("DRAFT", False, True)
    assert held.next_try_at > clock.now() + timedelta(days=1)
    pass_time(chain, 2 * DAY + 1)
    HeldCall.objects.update(next_try_at=Now())
    go_on(chain)
    paid.refresh_from_db()
    assert paid.state == "FINAL"
    assert ChainTransaction.objects.filter(step__startswith="schedule", state="FINAL").count() == 1


def test_a_payment_whose_schedule_is_taken_back_waits_for_two_people(chain: Chain) -> None:
    delay(chain, "TREASURER", "operator", 2 * DAY)
    watch(chain)
    paid = disposal(chain, MILLION)
    go_on(chain)
    call = call_of(chain, paid, None)
    admin = Transactor(chain, demo_signer("admin"), mine)
    admin.send(address_of("AccessManager"), scheduling.cancel(demo_signer("operator").address, call.to, call.data))
    admin.wait()
    HeldCall.objects.update(next_try_at=Now())
    go_on(chain)
    held = HeldCall.objects.get(instruction=paid)
    assert (held.given_up, held.reason) == (True, "what was scheduled was taken back")


def test_the_command_lists_acts_and_prints_what_a_client_signs(chain: Chain) -> None:
    _, terms = signed_cell("W")
    watch(chain)
    out = StringIO()
    call_command("chain_acts", messages="W", stdout=out)
    said = json.loads(out.getvalue())["USDC"]
    assert said["message"]["termsHash"] == f"0x{terms.hash}"
    effective = int((clock.now() + timedelta(days=90)).timestamp())
    act = decide(Kind.RULEBOOK, hash="cd" * 32, uri="/rulebook/3/", effective=str(effective))
    call_command("chain_acts", stdout=out)
    assert f"{act.id}  Under way: Publish a rulebook" in out.getvalue()
    with pytest.raises(CommandError, match="no_such_relationship"):
        call_command("chain_acts", messages="nobody", stdout=out)
