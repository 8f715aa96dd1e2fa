"""Two pairs of eyes: the command refuses, and the database refuses by itself."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, transaction

from intermediary import approvals, clock
from intermediary.errors import BadInput, NotAllowed, Refusal
from intermediary.ids import uuid7
from intermediary.models import AuditRecord, Proposal
from tests.intermediary.margin_world import Client, client, officer
from tests.people import member, person

pytestmark = pytest.mark.django_db
KIND = Proposal.Kind.WRITE_OFF


@pytest.fixture
def d() -> Client:
    return client("D")


def propose(d: Client, maker: User, **changes: Any) -> Proposal:
    arguments: dict[str, Any] = {"kind": KIND, "cell_id": d.cell.id, "body": {"amount": 5}, "reason": "hopeless"}
    return approvals.propose(maker=maker, **(arguments | changes))


def decide(proposal: Proposal, checker: User, **changes: Any) -> Proposal:
    arguments: dict[str, Any] = {"kind": KIND, "seen_hash": proposal.hash, "reason": "agreed"}
    return approvals.approve(checker=checker, proposal_id=proposal.id, **(arguments | changes))


def test_only_officers_propose_and_decide(d: Client) -> None:
    with pytest.raises(NotAllowed):
        propose(d, d.user)
    with pytest.raises(NotAllowed):
        propose(d, person("root", is_superuser=True))
    with pytest.raises(NotAllowed):
        decide(propose(d, officer("maker")), d.user)


def test_the_maker_does_not_decide(d: Client) -> None:
    maker = officer("maker")
    proposal = propose(d, maker)
    with pytest.raises(Refusal, match="maker_is_not_checker"):
        decide(proposal, maker)
    assert Proposal.objects.get().state == Proposal.State.PROPOSED


def test_the_database_refuses_the_maker_by_itself(d: Client) -> None:
    maker = officer("maker")
    proposal = propose(d, maker)
    with pytest.raises(DatabaseError, match="maker_is_not_checker"), transaction.atomic():
        Proposal.objects.filter(id=proposal.id).update(
            state="APPROVED", checker=maker, approved_hash=proposal.hash, decision_reason="mine"
        )


def test_a_decision_binds_the_hash_that_was_seen(d: Client) -> None:
    proposal, checker = propose(d, officer("maker")), officer("checker")
    with pytest.raises(Refusal, match="approval_binds_the_hash"):
        decide(proposal, checker, seen_hash="00" * 32)
    with pytest.raises(DatabaseError, match="approval_binds_the_hash"), transaction.atomic():
        Proposal.objects.filter(id=proposal.id).update(
            state="APPROVED", checker=checker, approved_hash="00" * 32, decision_reason="x"
        )
    with pytest.raises(DatabaseError, match="proposal_is_fixed"), transaction.atomic():
        Proposal.objects.filter(id=proposal.id).update(body='{"amount":6}')


def test_a_second_officer_decides_once(d: Client) -> None:
    proposal, checker = propose(d, officer("maker")), officer("checker")
    decided = decide(proposal, checker)
    assert (decided.state, decided.checker, decided.approved_hash) == ("APPROVED", checker, proposal.hash)
    assert decide(proposal, checker) == decided, "the same decision again is harmless"
    with pytest.raises(Refusal, match="proposal_decided_once"):
        approvals.reject(
            checker=officer("third"), proposal_id=proposal.id, kind=KIND, seen_hash=proposal.hash, reason="no"
        )
    assert list(AuditRecord.objects.order_by("number").values_list("action", flat=True))[-2:] == [
        "write_off.propose",
        "write_off.approved",
    ]


def test_a_person_of_the_client_takes_no_part_even_as_an_officer(d: Client) -> None:
    insider = officer("insider")
    member(insider, d.party)
    with pytest.raises(Refusal, match="proposal_not_by_the_client"):
        propose(d, insider)
    with pytest.raises(Refusal, match="proposal_not_by_the_client"):
        decide(propose(d, officer("maker")), insider)


def test_a_decision_comes_in_time_and_with_a_reason(d: Client) -> None:
    maker, checker = officer("maker"), officer("checker")
    late = propose(d, maker, time_to_decide=timedelta(seconds=-1))
    with pytest.raises(Refusal, match="proposal_expired"):
        decide(late, checker)
    fresh = propose(d, maker)
    with pytest.raises(BadInput, match="reason_missing"):
        decide(fresh, checker, reason=" ")
    with pytest.raises(BadInput, match="reason_missing"):
        propose(d, maker, reason="")
    assert approvals.lapse_due(clock.now()) == 1
    assert {row.id: row.state for row in Proposal.objects.all()} == {late.id: "LAPSED", fresh.id: "PROPOSED"}


def test_a_proposal_of_another_kind_or_of_none_is_not_found(d: Client) -> None:
    proposal, checker = propose(d, officer("maker")), officer("checker")
    with pytest.raises(NotAllowed):
        decide(proposal, checker, kind=Proposal.Kind.CREDIT_LINE)
    proposal.id = uuid7()
    with pytest.raises(NotAllowed):
        decide(proposal, checker)
