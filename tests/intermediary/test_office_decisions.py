"""An officer's decisions from the page through the worker and back: asked for, carried out or refused, seen."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client, override_settings
from django.urls import reverse

from intermediary import ports
from intermediary.config import requests
from intermediary.config.officers import make_officer
from intermediary.models import Cell, CommandRequest, CreditLine, DefaultCase, Proposal, RecoveryReceipt
from intermediary.receipts import receipt_entry_id
from settlement.models import HouseReceipt
from tests.intermediary import default_world, margin_world
from tests.intermediary.margin_world import MILLION, USD, Limits
from tests.people import as_owner

Roles = Callable[[str], AbstractContextManager[None]]
FORM = {
    "threshold_base_units": "2,000,000", "first_loss_base_units": "4,000,000", "tail_base_units": "0",
    "senior_base_units": "6,000,000", "expires_at": "2027-06-01T12:00", "reason": "Known for years.",
}  # fmt: skip


class Desk:
    """Two officers on the web's login, and the worker that carries out what they ask for."""

    def __init__(self, as_role: Roles) -> None:
        self.as_role = as_role
        self.clients: dict[str, Client] = {}

    def post(self, who: str, name: str, *args: object, **form: str) -> str:
        """Send a form, let the worker run, and return the page of the outcome."""
        with self.as_role("web"), override_settings(DATABASE_ROLE="web"):
            answer = self.client(who).post(reverse(f"admin:{name}", args=args), form)
            assert answer.status_code == 302, answer.content.decode()[:2000]
        requests.run_pending()
        return self.get(who, answer.headers["Location"])

    def get(self, who: str, address: str) -> str:
        """A page as this officer sees it."""
        with self.as_role("web"), override_settings(DATABASE_ROLE="web"):
            return self.client(who).get(address).content.decode()

    def client(self, who: str) -> Client:
        if who not in self.clients:
            with override_settings(DATABASE_ROLE="worker"), self.as_role("owner"):
                client = Client()
                client.force_login(User.objects.get(username=who))
            self.clients[who] = client
        return self.clients[who]


@pytest.fixture
def desk(committing_db: Any, as_role: Roles) -> Desk:
    return Desk(as_role)


@transaction.atomic
def beside_a_house() -> Cell:
    """A relationship beside a house with float, and two officers."""
    margin_world.fund_house(50 * MILLION)
    cell = margin_world.client("D").cell
    for name in ("maker", "checker"):
        enter_officer(margin_world.officer(name))
    return cell


@transaction.atomic
def before_default() -> default_world.World:
    """The worked example before its default, and its officers."""
    world = default_world.build()
    for person in (world.maker, world.checker):
        enter_officer(person)
    return world


def enter_officer(user: User) -> None:
    with as_owner():
        make_officer(user)


with_relationship = pytest.mark.world(build=beside_a_house)
with_default_ahead = pytest.mark.world(build=before_default)


@pytest.fixture
def relationship(committing_db: Any, built_world: Cell) -> Cell:
    """Under a line its stressed loss is 8 million and the threshold."""
    ports.bind_risk_gate(Limits(stressed_loss=8 * MILLION))
    return built_world


def decide(desk: Desk, who: str, proposal: Proposal, decision: str) -> str:
    form = {"decision": decision, "reason": "Numbers seen.", "seen_hash": proposal.hash}
    return desk.post(who, "decide", proposal.id, **form)


@with_relationship
def test_a_line_that_fails_the_test_comes_back_with_its_numbers(desk: Desk, relationship: Cell) -> None:
    shown = desk.post("maker", "propose_line", "D", **FORM | {"senior_base_units": "1,000,000"})
    assert "Refused; nothing was changed." in shown
    assert "8,000,000.00" in shown
    assert not Proposal.objects.exists()


@with_relationship
def test_a_line_is_proposed_by_one_and_approved_by_another(desk: Desk, relationship: Cell) -> None:
    assert "Done." in desk.post("maker", "propose_line", "D", **FORM)
    proposal = Proposal.objects.get()
    shown = desk.get("checker", reverse("admin:proposal", args=[proposal.id]))
    assert "Passes" in shown
    assert "10,000,000.00" in shown
    assert "Done." in decide(desk, "checker", proposal, "approve")
    line = CreditLine.objects.get(cell=relationship)
    assert (line.state, line.threshold_base_units) == ("ACTIVE", 2 * MILLION)


@with_relationship
def test_a_maker_who_forges_the_form_is_refused_by_the_command(desk: Desk, relationship: Cell) -> None:
    desk.post("maker", "propose_line", "D", **FORM)
    assert "Refused; nothing was changed." in decide(desk, "maker", Proposal.objects.get(), "approve")
    assert Proposal.objects.get().state == Proposal.State.PROPOSED


@with_relationship
def test_a_decision_on_another_hash_is_refused(desk: Desk, relationship: Cell) -> None:
    desk.post("maker", "propose_line", "D", **FORM)
    proposal = Proposal.objects.get()
    form = {"decision": "approve", "reason": "Numbers seen.", "seen_hash": "0" * 64}
    assert "Refused; nothing was changed." in desk.post("checker", "decide", proposal.id, **form)
    assert Proposal.objects.get().state == Proposal.State.PROPOSED


@with_relationship
def test_a_rejected_line_stays_rejected(desk: Desk, relationship: Cell) -> None:
    desk.post("maker", "propose_line", "D", **FORM)
    decide(desk, "checker", Proposal.objects.get(), "reject")
    assert Proposal.objects.get().state == Proposal.State.REJECTED
    assert not CreditLine.objects.exists()


@pytest.fixture
def world(committing_db: Any, built_world: default_world.World) -> default_world.World:
    return built_world


@with_default_ahead
def test_a_default_notice_is_proposed_rejected_proposed_again_and_given(desk: Desk, world: default_world.World) -> None:
    with transaction.atomic():
        call = default_world.lapsed_call(world, default_world.value(world, 78_000))
    for decision, cases in (("reject", 0), ("approve", 1)):
        desk.post("maker", "propose_notice", call.id, reason="Nothing was delivered.")
        assert "Done." in decide(desk, "checker", Proposal.objects.get(state="PROPOSED"), decision)
        assert DefaultCase.objects.count() == cases


@with_default_ahead
def test_a_recovery_that_nobody_saw_arrive_is_not_booked(world: default_world.World) -> None:
    """A staff login writes requests as it likes; what it says about money that arrived is not listened to."""
    with transaction.atomic():
        case = default_world.default_at(world, 78_000)
    invented = {"transaction_hash": "0x" + "ee" * 32, "log_index": 0, "amount_base_units": 5_000_000 * USD}
    body = {"case_id": str(case.id), "receipt_id": str(case.id), "source": "estate", **invented}
    CommandRequest.objects.create(command="receive_recovery", cell=case.cell, user=world.maker, body=body)
    requests.run_pending()
    assert CommandRequest.objects.get().state == "REFUSED"
    case.refresh_from_db()
    assert (case.loss_base_units, RecoveryReceipt.objects.count()) == (8_500_000 * USD, 0)


@with_default_ahead
def test_a_loss_is_determined_and_a_recovery_lowers_it(desk: Desk, world: default_world.World) -> None:
    with transaction.atomic():
        case = default_world.terminated(world, 78_000)
        default_world.close_out(world, case)
    desk.post("maker", "propose_determination", case.id, reason="All is replaced and sold.")
    assert "Done." in decide(desk, "checker", Proposal.objects.get(state="PROPOSED"), "approve")
    case.refresh_from_db()
    assert case.loss_base_units == 8_500_000 * USD
    receipt = HouseReceipt.objects.create(
        asset_id="USDC", sender="0x" + "7e" * 20, amount_base_units=3_400_000 * USD, transaction_hash="0x" + "ab" * 32,
        log_index=2, block_number=1, entry_key=receipt_entry_id("0x" + "ab" * 32, 2),
    )  # fmt: skip
    assert "Done." in desk.post("maker", "book_recovery", receipt.id, case=str(case.id), source="estate")
    case.refresh_from_db()
    assert case.loss_base_units == 5_100_000 * USD
    assert RecoveryReceipt.objects.get().source == "estate"
    assert "Every receipt is booked" in desk.get("maker", reverse("admin:recovery"))
    assert not CommandRequest.objects.exclude(state="DONE").exists()
