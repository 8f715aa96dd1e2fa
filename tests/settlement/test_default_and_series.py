"""Single calls of the operator's key: notices, seizures, retentions, a series and its losses."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from django.db.models.functions import Now

from intermediary import clock, events, outbox
from intermediary.canonical import canonical_json, sha256_hex
from intermediary.errors import Refusal
from intermediary.ids import uuid7
from intermediary.models import AccountKind, ChainInstruction, ChainTarget, DefaultCase, Event, Proposal
from settlement.acts.rows import ChainAct
from settlement.bindings import read
from settlement.chain import Chain
from settlement.cited import contract_seq_of, makes
from settlement.cycle import settle_all, unfinished
from settlement.demo_chain import fund_gas, mine
from settlement.models import Approval, ChainTransaction, HeldCall
from settlement.series import SeriesSpec, SeriesTargets, allot, close_offering, deploy_series, set_eligible, subscribe
from settlement.signer import demo_signer, demo_wallet
from settlement.transactor import Transactor
from tests.people import person
from tests.settlement.test_acts import decide, go_on
from tests.settlement.world import MILLION, Client, assert_reconciled, deposit, funded_client, give, held, pass_time

pytestmark = pytest.mark.world(build=funded_client)
Kind = ChainInstruction.Kind
Route = tuple[AccountKind, AccountKind]


def approved(who: Client, kind: Proposal.Kind, **said: Any) -> Proposal:
    """A proposal about this relationship that two people approved."""
    maker, checker = person(f"maker {uuid7()}"), person(f"checker {uuid7()}")
    body = canonical_json({"cell": who.cell.code} | said)
    proposal = Proposal.objects.create(
        kind=kind,
        cell=who.cell,
        body=body,
        hash=sha256_hex(body),
        maker=maker,
        reason="unmet call",
        expires_at=clock.now() + timedelta(days=1),
    )
    proposal.state, proposal.checker, proposal.decided_at = Proposal.State.APPROVED, checker, Now()
    proposal.approved_hash, proposal.decision_reason = proposal.hash, "agreed"
    proposal.save()
    return proposal


def approved_notice(who: Client) -> Proposal:
    """A default notice that two people approved, and its case."""
    proposal, now = approved(who, Proposal.Kind.DEFAULT_NOTICE, call=str(uuid7())), clock.now()
    DefaultCase.objects.create(cell=who.cell, notice=proposal, noticed_at=now, cure_by=now, claim_base_units=1)
    return proposal


def instruct(target: ChainTarget, who: Client, kind: Kind, amount: int = 0, **arguments: Any) -> ChainInstruction:
    with transaction.atomic():
        return outbox.instruct(target=target, cell_id=who.cell.id, kind=kind, amount_base_units=amount, **arguments)


def move(
    target: ChainTarget,
    who: Client,
    kind: Kind,
    route: tuple[AccountKind, AccountKind],
    amount: int,
    **arguments: Any,
) -> ChainInstruction:
    with transaction.atomic():
        return outbox.move(
            effect_id=uuid7(),
            target=target,
            cell_id=who.cell.id,
            kind=kind,
            source=route[0],
            destination=route[1],
            amount_base_units=amount,
            memo="test",
            **arguments,
        )


def assert_each_call_is_known_again(*kinds: Kind) -> None:
    """As an older backup would have to, by what each call that went out says: it is that of its instruction alone."""
    instructions = ChainInstruction.objects.filter(kind__in=kinds)
    sent = ChainTransaction.objects.filter(instruction__in=instructions, succeeded=True)
    assert set(kinds) == set(sent.values_list("instruction__kind", flat=True))
    for call in sent.select_related("instruction"):
        assert [one for one in instructions if makes(one, call.to, call.data)] == [call.instruction]
        assert contract_seq_of(call.data) == call.contract_seq


def test_notice_waits_for_the_second_key_then_the_seizure_waits_for_the_cure(chain: Chain, who: Client) -> None:
    notice = instruct(who.vault, who, Kind.NOTICE, 4 * MILLION, evidence=approved_notice(who).hash)
    route = (AccountKind.CLIENT_MARGIN, AccountKind.HOUSE)
    seizure = move(who.vault, who, Kind.SEIZE, route, 4 * MILLION)
    settle_all()
    assert ChainInstruction.objects.get(id=notice.id).state == "FINAL"
    assert HeldCall.objects.get(instruction=seizure).reason == "NotReady"
    assert read(chain, who.vault.address, "MarginVault", "noticeLive")
    assert_reconciled()
    pass_time(chain, who.terms.cure_minutes * 60)
    settle_all()
    assert ChainInstruction.objects.get(id=seizure.id).state == "FINAL"
    assert (held(who), held(who, AccountKind.HOUSE)) == (MILLION, 4 * MILLION)
    assert_reconciled()
    release = instruct(who.vault, who, Kind.RELEASE_NOTICE)
    settle_all()
    assert ChainInstruction.objects.get(id=release.id).state == "FINAL"
    assert not read(chain, who.vault.address, "MarginVault", "noticeLive")
    assert_each_call_is_known_again(Kind.NOTICE, Kind.SEIZE, Kind.RELEASE_NOTICE)


def test_seizure_takes_what_the_vault_really_holds_and_the_ledger_follows(chain: Chain, who: Client) -> None:
    instruct(who.vault, who, Kind.NOTICE, 9 * MILLION, evidence=approved_notice(who).hash)
    settle_all()
    pass_time(chain, who.terms.cure_minutes * 60)
    move(who.vault, who, Kind.SEIZE, (AccountKind.CLIENT_MARGIN, AccountKind.HOUSE), 5 * MILLION)
    deposit(chain, who, MILLION)
    settle_all()
    assert (held(who), held(who, AccountKind.HOUSE)) == (0, 6 * MILLION)
    assert_reconciled()


def test_notice_without_two_people_behind_it_is_refused_and_waits_for_them(chain: Chain, who: Client) -> None:
    notice = instruct(who.vault, who, Kind.NOTICE, MILLION, evidence=sha256_hex("nobody decided this"))
    settle_all()
    assert ChainInstruction.objects.get(id=notice.id).state == "DRAFT"
    assert HeldCall.objects.get(instruction=notice, given_up=True).reason == "refused by the approver"
    assert Approval.objects.get(kind="CLAIM").signature == ""
    assert not read(chain, who.vault.address, "MarginVault", "noticeLive")


def issued_series(chain: Chain, who: Client, code: str = "S1") -> SeriesTargets:
    """Six million of one class over one slice, sold to one investor, on risk."""
    investor, now = demo_wallet(50), clock.now()
    fund_gas(chain, investor.address)
    spec = SeriesSpec(
        code=code,
        subscribe_by=now + timedelta(days=5),
        final_maturity=now + timedelta(days=365),
        challenge_seconds=3600,
        expert_seconds=3600,
        grace_seconds=30 * 24 * 3600,
        tranches=(("Tail A", "TA", "XS0000000001"), ("Tail B", "TB", "XS0000000002")),
        slices=((who.cell.id, (2 * MILLION, 4 * MILLION)),),
    )
    series = deploy_series(chain=chain, spec=spec, mine=mine)
    set_eligible(chain=chain, accounts=[investor.address], until=datetime(2040, 1, 1, tzinfo=UTC), mine=mine)
    give(chain, investor.address, 6 * MILLION)
    for tranche, units in enumerate((2 * MILLION, 4 * MILLION)):
        escrow = series.escrow.address
        allot(chain=chain, escrow=escrow, tranche=tranche, units_of={investor.address: units}, mine=mine)
        subscribe(chain=chain, escrow=escrow, investor=investor, tranche=tranche, units=units, mine=mine)
    settle_all()
    before = held(who, AccountKind.ESCROW)
    close_offering(chain=chain, escrow=series.escrow.address, mine=mine)
    settle_all()
    assert held(who, AccountKind.ESCROW) == before + 6 * MILLION
    return series


def test_series_goes_on_risk_loses_recovers_and_pays(chain: Chain, who: Client) -> None:
    series = issued_series(chain, who)
    escrow, note = series.escrow, series.notes[0].address
    assert held(who, AccountKind.ESCROW) == 6 * MILLION
    assert_reconciled()

    notice = instruct(escrow, who, Kind.NOTICE_LOSS, 3 * MILLION, slice=0, evidence=sha256_hex("loss"))
    route = (AccountKind.ESCROW, AccountKind.FLOAT)
    loss = move(escrow, who, Kind.APPLY_LOSS, route, 3 * MILLION, slice=0, notice=str(notice.id))
    settle_all()
    assert ChainInstruction.objects.get(id=loss.id).state == "DRAFT"
    assert unfinished() == 0
    pass_time(chain, 3600)
    settle_all()
    assert ChainInstruction.objects.get(id=loss.id).state == "FINAL"
    assert read(chain, note, "TrancheNote", "principal") == 0
    assert held(who, AccountKind.ESCROW) == 3 * MILLION
    assert_reconciled()

    give(chain, ChainTarget.objects.get(kind="HOUSE").address, 2 * MILLION)
    move(escrow, who, Kind.WRITE_UP, (AccountKind.FLOAT, AccountKind.ESCROW), MILLION, slice=0)
    move(escrow, who, Kind.COUPON, (AccountKind.FLOAT, AccountKind.COUPONS), 10**9, tranche=1)
    settle_all()
    assert read(chain, escrow.address, "SeriesEscrow", "principal") == held(who, AccountKind.ESCROW) == 4 * MILLION
    assert_reconciled()

    wallet = Transactor(chain, demo_wallet(50), mine)
    wallet.call(escrow.address, "SeriesEscrow", "claim", 1, demo_wallet(50).address)
    wallet.wait()
    settle_all()
    assert held(who, AccountKind.COUPONS) == 0
    assert_reconciled()
    assert_each_call_is_known_again(Kind.NOTICE_LOSS, Kind.APPLY_LOSS, Kind.WRITE_UP, Kind.COUPON)


def test_a_loss_that_the_expert_ruled_smaller_moves_what_the_expert_left(chain: Chain, who: Client) -> None:
    series = issued_series(chain, who)
    escrow = series.escrow
    notice = instruct(escrow, who, Kind.NOTICE_LOSS, 3 * MILLION, slice=0, evidence=sha256_hex("loss"))
    route = (AccountKind.ESCROW, AccountKind.FLOAT)
    loss = move(escrow, who, Kind.APPLY_LOSS, route, 3 * MILLION, slice=0, notice=str(notice.id))
    settle_all()
    notice_id = read(chain, escrow.address, "SeriesEscrow", "seq")
    for role, act in (("trustee", ("challenge", notice_id)), ("expert", ("rule", notice_id, MILLION))):
        fund_gas(chain, demo_signer(role).address)
        wallet = Transactor(chain, demo_signer(role), mine)
        wallet.call(escrow.address, "SeriesEscrow", *act)
        wallet.wait()
    settle_all()
    loss.refresh_from_db()
    assert (loss.state, outbox.moved_base_units(loss)) == ("FINAL", MILLION)
    assert (held(who, AccountKind.ESCROW), held(who, AccountKind.FLOAT)) == (5 * MILLION, MILLION)
    assert_reconciled()
    told = Event.objects.get(kind=events.LOSS_RULED)
    assert told.payload == {"instruction_id": str(notice.id), "amount_base_units": str(MILLION)}


def test_a_notice_that_was_challenged_and_ruled_to_nothing_gives_the_escrow_its_money_back(
    chain: Chain, who: Client
) -> None:
    escrow = issued_series(chain, who).escrow
    notice = instruct(escrow, who, Kind.NOTICE_LOSS, 3 * MILLION, slice=0, evidence=sha256_hex("loss"))
    settle_all()
    fund_gas(chain, *(demo_signer(role).address for role in ("trustee", "expert")))
    decide(ChainAct.Kind.CHALLENGE, notice=str(notice.id))
    go_on(chain)
    route = (AccountKind.ESCROW, AccountKind.FLOAT)
    loss = move(escrow, who, Kind.APPLY_LOSS, route, 3 * MILLION, slice=0, notice=str(notice.id))
    with pytest.raises(Refusal, match="more_than_noticed"), transaction.atomic():
        decide(ChainAct.Kind.RULE, notice=str(notice.id), amount_base_units=str(4 * MILLION))
    act = decide(ChainAct.Kind.RULE, notice=str(notice.id), amount_base_units="0")
    go_on(chain)
    loss.refresh_from_db()
    act.refresh_from_db()
    assert (act.state, loss.state, loss.failure) == ("DONE", "FAILED", "the notice was dropped")
    assert held(who, AccountKind.ESCROW) == 6 * MILLION
    assert Event.objects.get(kind=events.LOSS_RULED).payload["amount_base_units"] == "0"
    assert_reconciled()


def test_a_second_default_is_noticed_at_once_after_the_first_was_cured_by_a_deposit(chain: Chain, who: Client) -> None:
    for _ in range(2):
        notice = instruct(who.vault, who, Kind.NOTICE, MILLION, evidence=approved_notice(who).hash)
        settle_all()
        assert ChainInstruction.objects.get(id=notice.id).state == "FINAL"
        assert read(chain, who.vault.address, "MarginVault", "noticeLive")
        DefaultCase.objects.update(state=DefaultCase.State.CURED)
        instruct(who.vault, who, Kind.RELEASE_NOTICE)
        settle_all()
        assert not read(chain, who.vault.address, "MarginVault", "noticeLive")


def test_retention_pays_a_loss_first_loss_first_and_is_refilled_senior_first(chain: Chain, who: Client) -> None:
    give(chain, ChainTarget.objects.get(kind="HOUSE").address, 10 * MILLION)
    retention = who.targets["RETENTION"]
    first, senior, cash = AccountKind.FIRST_LOSS, AccountKind.SENIOR_RETENTION, AccountKind.FLOAT
    for layer in (first, senior):
        move(retention, who, Kind.FUND, (cash, layer), 3 * MILLION)
    settle_all()
    for layer, amount in ((first, 3 * MILLION), (senior, MILLION)):
        move(retention, who, Kind.APPLY, (layer, cash), amount)
    settle_all()
    assert (held(who, first), held(who, senior)) == (0, 2 * MILLION)
    for layer, amount in ((senior, MILLION), (first, MILLION)):
        move(retention, who, Kind.RESTORE, (cash, layer), amount)
    settle_all()
    assert (held(who, first), held(who, senior)) == (MILLION, 3 * MILLION)
    assert read(chain, retention.address, "Retention", "seq") == 4
    assert_reconciled()
    assert_each_call_is_known_again(Kind.FUND, Kind.APPLY, Kind.RESTORE)
