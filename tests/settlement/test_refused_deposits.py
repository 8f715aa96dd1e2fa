"""Deposits that the ledger will not take: in suspense by a rule or by an officer, and then no call waits for them.
While nobody has judged them calls wait, and none is ever counted silently."""

from datetime import timedelta

import pytest
from django.test import Client as Browser
from django.urls import reverse

from intermediary import calls, clock, ledger
from intermediary.config import requests
from intermediary.config.office import stuck
from intermediary.errors import Refusal
from intermediary.models import AccountKind, AuditRecord, CommandRequest, JournalEntry, MarginCall
from settlement import finality, refused
from settlement.models import ChainBlock, ChainLog
from tests.intermediary.margin_world import HOUR, MILLION, Client, client, officer
from tests.people import as_owner
from tests.settlement.test_sight import overdue_call, seen_transfer, state_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def who() -> Client:
    return client("D")


@pytest.fixture
def call(who: Client) -> MarginCall:
    return overdue_call(who, timedelta(minutes=2))


def held(who: Client) -> tuple[int, int]:
    """Counted as margin, and in suspense."""
    margin, aside = AccountKind.CLIENT_MARGIN, AccountKind.SUSPENSE
    return ledger.balance(who.cell.id, margin, "USDC"), ledger.balance(who.cell.id, aside, "USDC")


def refused_for(error: Exception, block: ChainBlock, monkeypatch: pytest.MonkeyPatch) -> ChainLog:
    """The log of the transfer, after its final block met a ledger that says this."""

    def refuse(**_: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr("settlement.finality.credit_deposit", refuse)
        finality.finalize([block])
    return ChainLog.objects.get(block=block)


def test_a_deposit_that_a_rule_refuses_lies_in_suspense_and_holds_no_call(
    who: Client, call: MarginCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = held(who)
    block = seen_transfer(who, 2 * MILLION, call.deliver_by)
    assert state_of(call) == MarginCall.State.ISSUED
    row = refused_for(Refusal("asset_unknown", "Nobody knows this token."), block, monkeypatch)
    assert (row.applied, row.set_aside, "asset_unknown" in row.refusal) == (True, True, True)
    assert held(who) == (before[0], before[1] + 2 * MILLION)
    assert "not counted: asset_unknown" in JournalEntry.objects.get(cell=who.cell, kind="deposit").memo
    assert state_of(call) == MarginCall.State.LAPSED
    finality.finalize([block])
    assert held(who) == (before[0], before[1] + 2 * MILLION), "never counted later"


def test_a_deposit_that_fails_for_a_reason_nobody_judged_holds_the_call_until_an_officer_sets_it_aside(
    who: Client, call: MarginCall, monkeypatch: pytest.MonkeyPatch, client: Browser
) -> None:
    row = refused_for(KeyError("odd"), seen_transfer(who, 2 * MILLION, call.deliver_by - HOUR), monkeypatch)
    assert state_of(call) == MarginCall.State.ISSUED, "the fault is ours"
    assert stuck.count() == 1
    someone = officer("someone")
    with as_owner():
        client.force_login(someone)
        page = client.get(reverse("admin:stuck")).content.decode()
        short = client.post(reverse("admin:suspend_deposit", args=[row.id]), {"reason": "short"})
        client.post(reverse("admin:suspend_deposit", args=[row.id]), {"reason": "The token was replaced."})
    assert "2,000,000" in page
    assert "odd" in page
    assert short.status_code == 422
    requests.run_pending()
    assert CommandRequest.objects.get().state == "DONE"
    assert AuditRecord.objects.get(action="deposit.suspend").actor == "someone"
    assert stuck.count() == 0
    assert held(who)[1] == 2 * MILLION
    assert state_of(call) == MarginCall.State.LAPSED
    with pytest.raises(Refusal, match="not_refused"):
        refused.put_in_suspense(officer=someone, log_id=row.id, reason="The token was replaced.")


def test_a_deposit_that_could_not_be_booked_meets_its_call_once_it_can(
    who: Client, call: MarginCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = seen_transfer(who, 2 * MILLION, call.deliver_by)
    refused_for(KeyError("odd"), block, monkeypatch)
    finality.finalize([])
    assert state_of(call) == MarginCall.State.SETTLED
    assert not refused.waiting().exists()


def test_another_token_than_the_vaults_own_holds_no_call(who: Client, call: MarginCall) -> None:
    block = seen_transfer(who, 2 * MILLION, call.deliver_by)
    ChainLog.objects.filter(block=block).update(address=who.key.address)
    assert state_of(call) == MarginCall.State.LAPSED
    assert calls.current(who.cell.id) == call
    assert clock.now() > call.deliver_by
