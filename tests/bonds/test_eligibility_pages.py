"""An investor's way to eligibility on its own page and the officers' page, under the database roles of the web."""

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client, override_settings
from django.urls import reverse

from bonds.models import EligibilityApplication, EligibleWallet
from bonds.offering import eligibility
from intermediary.config import officers, requests
from intermediary.config.tenancy import assume, become_tenant
from intermediary.models import Cell, CommandRequest, Proposal, Wallet
from settlement.signer import demo_wallet
from tests.bonds import world
from tests.conftest import RoleSwitch, TestDatabase
from tests.intermediary.builders import assets
from tests.people import as_owner, person


@pytest.fixture
def web(committing_db: TestDatabase) -> Iterator[None]:
    with override_settings(DATABASE_ROLE="web"):
        yield


@pytest.fixture
def north(committing_db: TestDatabase) -> User:
    with transaction.atomic():
        assets()
        Cell.objects.create(code="HOUSE", kind=Cell.Kind.HOUSE)
        for name in ("maker", "checker"):
            officer = person(name, is_staff=True)
            with as_owner():
                officer.groups.add(officers.ensure_officer_group())
        return world.newcomer("north", demo_wallet(60).address)


def signed_in(user: User, as_role: RoleSwitch) -> Client:
    client = Client(headers={"accept": "text/html"})
    with as_role("owner"):
        client.force_login(user)
    return client


def text(client: Client, name: str, *args: object) -> str:
    response = client.get(reverse(name, args=args))
    assert response.status_code == 200, response.content[:2000]
    return str(response.content.decode())


def carry_out() -> CommandRequest:
    """The last wish and its outcome."""
    requests.run_pending()
    return CommandRequest.objects.order_by("-id")[0]


def test_from_the_application_to_the_register(north: User, as_role: RoleSwitch, web: None) -> None:
    wallet = Wallet.objects.get()
    client = signed_in(north, as_role)
    body = {"address": wallet.address, "investor_class": "PROFESSIONAL"} | world.DOCUMENTS
    where = reverse("investor:eligibility")
    with as_role("web"):
        assert "Not eligible" in text(client, "investor:eligibility")
        assert client.post(where, body | {"TAX": "short"}).status_code == 422
        assert client.post(where, body).status_code == 302
        assert "Being worked on" in text(client, "investor:eligibility")
    assert carry_out().state == "DONE"
    assert CommandRequest.objects.count() == 1, "the unreadable form asked for nothing"
    maker, checker = (signed_in(User.objects.get(username=name), as_role) for name in ("maker", "checker"))
    application = EligibilityApplication.objects.get()
    with as_role("web"):
        assert "Your application is with the desk" in text(client, "investor:eligibility")
        assert "Investor north" in text(maker, "admin:investors")
        ask = reverse("admin:propose_eligibility", args=[application.id])
        assert maker.post(ask, {"valid_until": "", "reason": "all there"}).status_code == 422
        assert maker.post(ask, {"valid_until": "2027-06-30", "reason": "all three are there"}).status_code == 302
    assert carry_out().state == "DONE"
    proposal = Proposal.objects.get()
    with as_role("web"):
        assert wallet.address in text(checker, "admin:proposal", proposal.id)
        body = {"seen_hash": proposal.hash, "reason": "seen, complete", "decision": "approve"}
        assert checker.post(reverse("admin:decide", args=[proposal.id]), body).status_code == 302
    assert carry_out().state == "DONE"
    with as_role("web"):
        assert "Approved; the register follows" in text(client, "investor:eligibility")
    with transaction.atomic():
        eligibility.entered(grant_id=EligibleWallet.objects.get().id, transaction_hash="0x" + "1" * 64)
    with as_role("web"):
        assert "May hold notes" in text(client, "investor:eligibility")
        assert "In the register" in text(maker, "admin:investors")


def test_declined_application_says_why_and_nobody_else_reads_it(north: User, as_role: RoleSwitch, web: None) -> None:
    with transaction.atomic():
        world.granted(north)
        south = world.newcomer("south")
        application = eligibility.apply(
            user=south,
            address=Wallet.objects.get(party__code="south").address,
            investor_class="PROFESSIONAL",
            documents=world.DOCUMENTS,
        )
        EligibilityApplication.objects.filter(id=application.id).update(state="DECLINED", answer="Tax form of 2019.")
    party = world.party_of(south)
    with as_role("web"), transaction.atomic():
        assume("portal")
        become_tenant(south.pk, [str(party.id)])
        assert not EligibleWallet.objects.exists()
        assert EligibilityApplication.objects.count() == 1
    client = signed_in(south, as_role)
    with as_role("web"):
        shown = text(client, "investor:eligibility")
        assert "Tax form of 2019." in shown
        assert "not eligible" in shown.lower()


def test_wallet_is_proved_by_its_signature_alone(north: User, as_role: RoleSwitch, web: None) -> None:
    from intermediary.onboarding import wallet_typed_data

    client, key = signed_in(north, as_role), demo_wallet(61)
    signed = "0x" + key.sign_typed(wallet_typed_data(world.party_of(north), key.address)).hex()
    where = reverse("investor:prove_wallet")
    with as_role("web"):
        client.post(where, {"address": demo_wallet(62).address, "signature": signed})
    refused = carry_out()
    assert refused.outcome is not None
    assert (refused.state, refused.outcome["code"]) == ("REFUSED", "signature_wrong")
    with as_role("web"):
        client.post(where, {"address": key.address, "signature": signed})
    assert carry_out().state == "DONE"
    assert Wallet.objects.filter(party__code="north").count() == 2
