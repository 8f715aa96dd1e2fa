"""Acts on chain from the officers' page through the worker: proposed, approved by another, stopped; a fence lifted."""

from typing import Any

import pytest
from django.test import override_settings
from django.urls import reverse
from django.utils import timezone

from intermediary.config.office.act_forms import FORMS
from intermediary.models import Asset, AuditRecord, Cell, ChainTarget, Proposal
from settlement.models import ChainAct, Fence
from tests.intermediary.test_office_decisions import Desk, Roles, decide, with_relationship

pytestmark = with_relationship
CAP = {"asset": "USDC", "cap": "600000000", "reason": "A busy quarter ends."}


@pytest.fixture
def desk(committing_db: Any, built_world: Cell, as_role: Roles) -> Desk:
    house = Cell.objects.get(kind=Cell.Kind.HOUSE)
    asset = Asset.objects.get(code="USDC")
    ChainTarget.objects.get_or_create(
        kind=ChainTarget.Kind.HOUSE, asset=asset, defaults={"cell": house, "address": "0x" + "1" * 40, "opened": True}
    )
    return Desk(as_role)


def test_a_cap_is_proposed_by_one_officer_begun_by_another_and_stopped(desk: Desk) -> None:
    page = desk.post("maker", "propose_act", "cap", **CAP)
    proposal = Proposal.objects.get(kind=Proposal.Kind.CHAIN_ACT)
    assert str(proposal.id) in page
    assert "Waiting for a second officer" in desk.get("checker", reverse("admin:acts"))
    decide(desk, "maker", proposal, "approve")
    assert not ChainAct.objects.exists()
    decide(desk, "checker", proposal, "approve")
    act = ChainAct.objects.get()
    assert (act.kind, act.state, act.body) == ("CAP", "OPEN", proposal.body)
    assert "nobody has looked at the chain yet" in desk.get("maker", reverse("admin:acts"))
    desk.post("maker", "stop_act", act.id, reason="The quarter is quiet.")
    act.refresh_from_db()
    assert (act.state, act.said) == ("STOPPING", "stopped: The quarter is quiet.")
    assert AuditRecord.objects.filter(action="chain_act.stop", actor="maker").exists()


def test_every_form_is_shown_and_says_what_is_missing(desk: Desk) -> None:
    for kind in FORMS:
        assert "Propose" in desk.get("maker", reverse("admin:propose_act", args=[kind]))
    with desk.as_role("web"), override_settings(DATABASE_ROLE="web"):
        answer = desk.client("maker").post(reverse("admin:propose_act", args=["cap"]), CAP | {"cap": "much"})
        nothing = desk.client("maker").get(reverse("admin:propose_act", args=["nothing"]))
    assert (answer.status_code, b"Enter a number" in answer.content, nothing.status_code) == (422, True, 404)


def test_a_refusal_of_the_books_is_shown_with_its_numbers(desk: Desk) -> None:
    form = {"hash": "ab" * 32, "uri": "/rulebook/2/", "effective": "2020-01-01T00:00", "reason": "A later rulebook."}
    assert "A rulebook holds after its notice" in desk.post("maker", "propose_act", "rulebook", **form)
    assert not Proposal.objects.filter(kind=Proposal.Kind.CHAIN_ACT).exists()


def test_a_fence_is_lifted_by_two_officers_who_saw_what_keeps_it_up(desk: Desk) -> None:
    fence = Fence.objects.create(reason="nonces of 0x3C44: 4 here, 5 on chain")
    wish = {"fence": str(fence.id), "reason": "Paid to the market desk."}
    assert "rebuild_from_chain" in desk.get("maker", reverse("admin:acts"))
    assert "Run rebuild_from_chain first" in desk.post("maker", "lift_fence", **wish)
    found = {"ahead": [], "differs": [], "unexplained": ["transaction 0xabc of operator 0x3C44"]}
    Fence.objects.filter(id=fence.id).update(found=found | {"ahead": ["batches"]}, looked_at=timezone.now())
    assert "still ahead" in desk.post("maker", "lift_fence", **wish)
    Fence.objects.filter(id=fence.id).update(found=found)
    desk.post("maker", "lift_fence", **wish)
    proposal = Proposal.objects.get(kind=Proposal.Kind.LIFT_FENCE)
    assert "0xabc" in proposal.body
    Fence.objects.filter(id=fence.id).update(found=found | {"differs": ["amount"]})
    assert "Something else keeps the fence up" in decide(desk, "checker", proposal, "approve")
    Fence.objects.filter(id=fence.id).update(found=found)
    decide(desk, "checker", proposal, "approve")
    fence.refresh_from_db()
    assert (fence.lifted_by, fence.lifted_at is not None) == (proposal, True)
    assert AuditRecord.objects.filter(action="fence.lifted", actor="checker").exists()
