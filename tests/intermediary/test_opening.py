"""A relationship is opened off chain by two officers, on signatures of both sides that they do not make."""

import html
import json
import re
from dataclasses import replace
from typing import Any

import pytest
from django.db import transaction
from django.test import override_settings
from django.urls import reverse

from intermediary import onboarding, opening
from intermediary.config.office import openings
from intermediary.errors import NotAllowed, Refusal
from intermediary.models import AuditRecord, Cell, CommandRequest, Party, Proposal, TermsVersion, Wallet
from intermediary.terms import Terms
from risk.margin.ruleset import NAMES
from tests.intermediary.margin_world import MILLION, USD, key_of, officer, signatures, terms_of
from tests.intermediary.test_office_decisions import Desk, Roles, decide, with_relationship
from tests.people import member

pytestmark = with_relationship
KEY = key_of("R-109")
PARTY = {
    "code": "P-109", "legal_name": "Northgate Fund LP", "kind": "FUND", "jurisdiction": "KY",
    "netting_opinion": "REASONED", "recourse": "FULL",
}  # fmt: skip


@pytest.fixture
def desk(committing_db: Any, built_world: Cell, as_role: Roles) -> Desk:
    return Desk(as_role)


def page(desk: Desk, form: dict[str, str]) -> tuple[int, str]:
    with desk.as_role("web"), override_settings(DATABASE_ROLE="web"):
        answer = desk.client("maker").post(reverse("admin:open_relationship"), form)
    return answer.status_code, html.unescape(answer.content.decode())


def entered(terms: Terms) -> dict[str, str]:
    """What an officer enters, but for signatures."""
    amounts = {name: str(getattr(terms, name) // USD) for name in openings.AMOUNTS}
    said = {name: str(getattr(terms, name)) for name in ("relationship", "agreement", "client", "payout")}
    said |= {name: str(getattr(terms, name)) for name in ("rulebook_hash", "ruleset", *openings.MINUTES)}
    party = {name: value for name, value in PARTY.items() if name != "code"}
    haircuts = {f"haircut_{code}": str(bps) for code, bps in terms.haircut_bps}
    reason = {"party_code": PARTY["code"], "reason": "Terms agreed on Friday.", "interest_spread_bps": "-20"}
    most = {f"most_{code}": str(cap // 10**8) for code, cap in terms.max_required_by_token}
    return said | amounts | party | haircuts | most | reason


def proof(party: Party | None = None) -> str:
    """Of the client's wallet, over the challenge of a party that does not exist yet."""
    challenge = opening.messages(PARTY, terms_of("R-109", KEY.address))["wallet"]
    return "0x" + KEY.sign_typed_data(full_message=challenge).signature.hex()


def body(terms: Terms, **changes: Any) -> dict[str, Any]:
    signed = signatures(terms, KEY)
    del signed["client_signer"]
    return {"party": PARTY, "terms": terms.body(), "wallet_signature": proof(), **signed, **changes}


def test_a_relationship_is_entered_by_one_officer_signed_by_both_sides_and_opened_by_another(desk: Desk) -> None:
    terms = terms_of("R-109", KEY.address)
    form = entered(terms)
    status, shown = page(desk, form)
    messages = [json.loads(found) for found in re.findall(r"<pre[^>]*>(.*?)</pre>", shown, re.DOTALL)]
    assert (status, len(messages)) == (200, 2)
    assert messages[1] == onboarding.terms_typed_data(terms), "what the officer entered is what is signed"
    assert not re.search(r">\s*terms\s*<", shown), "the frame takes them for no notices of its own"
    signed = {"wallet_signature": KEY.sign_typed_data(full_message=messages[0]).signature.hex()}
    both = signatures(terms, KEY)
    signed |= {name: both[name] for name in ("client_signature", "house_signature", "house_signer")}
    desk.post("maker", "open_relationship", **form, **signed)
    proposal = Proposal.objects.get(kind=Proposal.Kind.RELATIONSHIP)
    assert not Party.objects.filter(code="P-109").exists(), "it was tried, and taken back"
    decide(desk, "maker", proposal, "approve")
    assert not Cell.objects.filter(code="R-109").exists(), "the maker is not the checker"
    decide(desk, "checker", proposal, "approve")
    cell = Cell.objects.get(code="R-109")
    assert onboarding.current_terms(cell.id) == terms
    assert cell.party is not None
    assert (cell.party.legal_name, cell.party.netting_opinion) == ("Northgate Fund LP", "REASONED")
    assert Wallet.objects.get(party=cell.party).address == KEY.address
    assert AuditRecord.objects.filter(action="relationship.open", actor="checker").exists()
    decide(desk, "checker", proposal, "approve")
    assert TermsVersion.objects.filter(cell=cell).count() == 1
    assert "R-109" in desk.get("maker", reverse("admin:propose_act", args=["relationship"])), "its contracts are next"


def test_the_form_says_what_is_wrong_and_nothing_is_sent(desk: Desk) -> None:
    form = entered(terms_of("R-109", KEY.address))
    status, shown = page(desk, form | {"client": "0x12", "cure_minutes": "soon"})
    assert (status, "This is no address" in shown, "Enter a whole number" in shown) == (422, True, True)
    known = Party.objects.get()
    status, shown = page(desk, form | {"party_code": known.code})
    assert (status, "party_differs" in shown) == (422, True)
    assert not CommandRequest.objects.exists()
    assert "Open a relationship" in desk.get("maker", reverse("admin:lines"))
    assert openings.RULESETS == NAMES


def test_what_cannot_be_opened_is_refused_when_it_is_proposed_and_leaves_nothing(desk: Desk) -> None:
    terms, maker = terms_of("R-109", KEY.address), officer("third")

    def refused(said: dict[str, Any]) -> str:
        with pytest.raises(Refusal) as found, transaction.atomic():
            opening.propose(maker=maker, body=said, reason="agreed")
        return found.value.code

    assert refused(body(terms) | {"terms": {"relationship": "R-109"}}) == "bad_opening"
    assert refused(body(terms, wallet_signature="")) == "wallet_not_proved"
    assert refused(body(terms, wallet_signature="0x" + "11" * 65)) == "signature_wrong"
    assert refused(body(terms, house_signature=body(terms)["client_signature"])) == "signature_wrong"
    assert refused(body(terms, house_signer=KEY.address)) == "house_signer_unknown"
    assert refused(body(terms, party=PARTY | {"kind": "INVESTOR"})) == "party_is_an_investor"
    assert refused(body(terms, party=PARTY | {"legal_name": Party.objects.get().legal_name})) == "party_exists"
    assert refused(body(terms, party=PARTY | {"kind": "BANK"})) == "bad_opening"
    for odd in (
        {"cure_minutes": 366 * 24 * 60}, {"debit_cap_base_units": 0}, {"max_required_base_units": 1 << 80},
        {"payout": "0x" + "00" * 20}, {"haircut_bps": (("USDC", -1),)}, {"haircut_bps": (("XYZ", 1),)},
        {"max_required_by_token": ()}, {"max_required_by_token": (("USDC", 1),)},
        {"max_required_by_token": (("WBTC", 1 << 80),)},
    ):  # fmt: skip
        assert refused(body(replace(terms, **odd))) == "odd_terms"
    code = Cell.objects.get(kind=Cell.Kind.CLIENT).code
    assert refused(body(replace(terms, relationship=code))) == "relationship_exists"
    assert not Proposal.objects.filter(kind=Proposal.Kind.RELATIONSHIP).exists()
    assert (Party.objects.count(), Wallet.objects.filter(address=KEY.address).count()) == (1, 0)


def test_who_acts_for_the_party_takes_no_part(desk: Desk) -> None:
    terms, known = replace(terms_of("R-109", KEY.address), debit_cap_base_units=MILLION), Party.objects.get()
    party = {name: getattr(known, name) for name in opening.PARTY}
    challenge = onboarding.wallet_typed_data(known, KEY.address)
    own = "0x" + KEY.sign_typed_data(full_message=challenge).signature.hex()
    maker = officer("third")
    with transaction.atomic():
        proposal = opening.propose(
            maker=maker, body=body(terms, party=party, wallet_signature=own), reason="a second one"
        )
    theirs = officer("fourth")
    member(theirs, known)
    with pytest.raises(NotAllowed, match="acts_for_the_client"), transaction.atomic():
        opening.approve(checker=theirs, proposal_id=proposal.id, seen_hash=proposal.hash, reason="mine")
    with transaction.atomic():
        cell = opening.approve(
            checker=officer("fifth"), proposal_id=proposal.id, seen_hash=proposal.hash, reason="checked"
        )
    assert cell.party == known
