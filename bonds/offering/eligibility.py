"""Who may hold notes: an investor applies, one officer proposes, another approves, the register on chain follows.

A grant is of one wallet, for one class of investor, on the hashes of documents, up to a moment. Ending one early is a
grant whose moment is now. The newest grant of a wallet decides here at once; the register on chain, which alone stops
a transfer between two wallets, is written by the composition root and recorded here (`entered`).

The register is one for all notes and knows addresses only. So whoever is a client, or under common control with one,
is never entered at all: entered, it could be sent the notes of its own series by anybody (B3).
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Q

from bonds.models import EligibilityApplication, EligibleWallet, Holding
from bonds.models.eligibility import DocumentKind, InvestorClass
from intermediary import access, approvals, audit, clock, events
from intermediary.canonical import hash_of
from intermediary.errors import BadInput, NotAllowed, Refusal
from intermediary.models import Affiliation, Cell, Membership, Party, Proposal, Wallet

TERM_MAX = timedelta(days=2 * 366)  # documents of tax and identity are asked for again at least every two years
SOON = timedelta(days=30)  # to gather the documents of a renewal
KIND = Proposal.Kind.ELIGIBILITY
HEX = set("0123456789abcdef")


def apply(*, user: User, address: str, investor_class: str, documents: dict[str, str]) -> EligibilityApplication:
    """Ask for a proved wallet of the person's party to be let hold notes; replaces an application still open.

    `documents`: kind -> SHA-256 in hex, one of each kind. Refuses a wallet that is not proved, a kind that is missing,
    what is no hash, a client and its affiliates.
    """
    assert connection.in_atomic_block
    party = access.party_for(user)
    wallet = Wallet.objects.filter(party=party, address=address).first()
    _refuse_other_than_investor(party)
    if wallet is None:
        raise Refusal("no_proved_wallet", "Notes are held in a wallet whose control you proved.", wallet=address)
    if investor_class not in InvestorClass.values:
        raise BadInput("investor_class_unknown", "Choose the class of investor that your documents show.")
    _refuse_incomplete(documents)
    refuse_client_side(party.id)
    kept = {kind: documents[kind].lower() for kind in sorted(documents)}
    open_ones = EligibilityApplication.objects.filter(party=party, state=EligibilityApplication.State.APPLIED)
    open_ones.update(state=EligibilityApplication.State.REPLACED)
    made = EligibilityApplication.objects.create(
        party=party,
        wallet=wallet,
        investor_class=investor_class,
        documents=kept,
        evidence_hash=hash_of(kept),
        applied_by=user,
    )
    audit.record(
        actor=user.get_username(), action="eligibility.apply", subject=made.id, wallet=wallet.address,
        evidence_hash=made.evidence_hash,
    )  # fmt: skip
    return made


def propose(*, maker: User, application_id: UUID, valid_until: datetime, reason: str) -> Proposal:
    """Lay an open application before a second officer. Refuses a past moment and one beyond the longest term."""
    access.require_officer(maker)
    application = _open_application(application_id)
    now = clock.now()
    if not now < valid_until <= now + TERM_MAX:
        raise BadInput(
            "eligibility_term", "Eligibility ends later than now and within two years.",
            valid_until=valid_until.isoformat(), latest=(now + TERM_MAX).isoformat(),
        )  # fmt: skip
    return _propose(maker, application, valid_until, reason)


def propose_end(*, maker: User, wallet_id: UUID, reason: str) -> Proposal:
    """Propose that a wallet's eligibility ends now. Its holder keeps its notes, is paid, and cannot send them on."""
    access.require_officer(maker)
    grant = newest(wallet_id)
    now = clock.now().replace(microsecond=0)
    if grant is None or grant.valid_until <= now:
        raise Refusal("not_eligible", "This wallet is not eligible.")
    return _propose(maker, grant.application, now, reason)


def approve(*, checker: User, proposal_id: UUID, seen_hash: str, reason: str) -> EligibleWallet:
    """Grant exactly what was proposed; the register on chain follows. The same approval again is harmless."""
    proposal = approvals.approve(
        checker=checker, proposal_id=proposal_id, kind=KIND, seen_hash=seen_hash, reason=reason
    )
    made = EligibleWallet.objects.filter(proposal=proposal).first()
    if made is not None:
        return made
    body = approvals.body_of(proposal)
    application = EligibilityApplication.objects.select_for_update().get(id=body["application"])
    _refuse_one_of_theirs(checker, application.party_id)
    valid_until = datetime.fromisoformat(body["valid_until"])
    _refuse_answered(application, ends=valid_until <= clock.now())
    if valid_until > clock.now():
        refuse_client_side(application.party_id)
    grants = EligibleWallet.objects.filter(wallet_id=application.wallet_id, state=EligibleWallet.State.APPROVED)
    grants.update(state=EligibleWallet.State.SUPERSEDED)
    made = EligibleWallet.objects.create(
        party_id=application.party_id,
        wallet_id=application.wallet_id,
        application=application,
        investor_class=application.investor_class,
        evidence_hash=application.evidence_hash,
        valid_until=valid_until,
        proposal=proposal,
    )
    if application.state == EligibilityApplication.State.APPLIED:
        _answer(application, EligibilityApplication.State.APPROVED, reason)
    return made


def reject(*, checker: User, proposal_id: UUID, seen_hash: str, reason: str) -> Proposal:
    """Refuse what was proposed; an application that waits for it is declined with the reason."""
    proposal = approvals.reject(checker=checker, proposal_id=proposal_id, kind=KIND, seen_hash=seen_hash, reason=reason)
    body = approvals.body_of(proposal)
    application = EligibilityApplication.objects.select_for_update().get(id=body["application"])
    if application.state == EligibilityApplication.State.APPLIED:
        _answer(application, EligibilityApplication.State.DECLINED, reason)
    return proposal


def to_enter() -> list[EligibleWallet]:
    """Grants that the register on chain does not show yet, oldest first."""
    waiting = EligibleWallet.objects.filter(state=EligibleWallet.State.APPROVED)
    return list(waiting.select_related("wallet", "proposal").order_by("id"))


def entered(*, grant_id: UUID, transaction_hash: str) -> None:
    """The register shows the grant. Harmless when repeated."""
    assert connection.in_atomic_block
    grant = EligibleWallet.objects.select_for_update().get(id=grant_id)
    if grant.state != EligibleWallet.State.APPROVED:
        return
    grant.state, grant.transaction_hash, grant.entered_at = EligibleWallet.State.ENTERED, transaction_hash, clock.now()
    grant.save(update_fields=["state", "transaction_hash", "entered_at"])
    audit.record(
        actor="register", action="eligibility.entered", subject=grant.id, transaction=transaction_hash,
        valid_until=grant.valid_until.isoformat(),
    )  # fmt: skip
    tell(grant.party_id)


def newest(wallet_id: UUID) -> EligibleWallet | None:
    """The grant that decides about a wallet; None when there never was one."""
    return EligibleWallet.objects.filter(wallet_id=wallet_id).select_related("application", "wallet").first()


def refuse_ineligible(party: Party, wallet: Wallet, at: datetime) -> None:
    """Refuse, by name, whoever may not hold notes in this wallet at this moment: another kind of party, a wallet of
    somebody else, one never granted, not in the register yet, or expired. Says nothing of a series (`refuse_barred`).
    """
    _refuse_other_than_investor(party)
    if wallet.party_id != party.id:
        raise NotAllowed("not_found", "There is no such object, or it is not yours.")
    grant = newest(wallet.id)
    if grant is None:
        raise Refusal("not_eligible", "This wallet is not eligible to hold notes.", wallet=wallet.address)
    if grant.valid_until < at:
        raise Refusal(
            "eligibility_expired", "The eligibility of this wallet is over.", wallet=wallet.address,
            valid_until=grant.valid_until.isoformat(), at=at.isoformat(),
        )  # fmt: skip
    if grant.state != EligibleWallet.State.ENTERED:
        raise Refusal(
            "eligibility_not_entered", "The register of holders on chain does not show this wallet yet.",
            wallet=wallet.address,
        )  # fmt: skip


def wallet_for(party: Party, at: datetime) -> Wallet | None:
    """The first proved wallet that may hold notes then; where none may, the first, for `refuse_ineligible` to name."""
    proved = list(Wallet.objects.filter(party=party).order_by("id"))
    for wallet in proved:
        grant = newest(wallet.id)
        if grant is not None and grant.state == EligibleWallet.State.ENTERED and grant.valid_until >= at:
            return wallet
    return proved[0] if proved else None


def refuse_client_side(party_id: UUID) -> None:
    """Refuse a client and whoever is under common control with one: the register cannot tell one series' notes from
    another's."""
    linked = Affiliation.objects.filter(Q(party_id=party_id) | Q(affiliate_id=party_id))
    house = {party_id, *(one for pair in linked.values_list("party_id", "affiliate_id") for one in pair)}
    client = Cell.objects.filter(kind=Cell.Kind.CLIENT, party_id__in=house).exclude(state=Cell.State.CLOSED).first()
    if client is not None:
        raise Refusal(
            "client_side_investor",
            "A client, or whoever is under common control with one, is not entered as a holder of notes.",
            own=client.party_id == party_id,
        )


def expiring(now: datetime) -> list[EligibleWallet]:
    """Wallets whose eligibility ends within a month from `now`, or has ended, and that hold notes: the first to end
    first."""
    holders = Holding.objects.filter(units__gt=0).values("wallet_id")
    grants = EligibleWallet.objects.filter(wallet_id__in=holders).order_by("wallet_id", "-id").distinct("wallet_id")
    ending = [grant for grant in grants.select_related("wallet", "party") if grant.valid_until < now + SOON]
    return sorted(ending, key=lambda grant: grant.valid_until)


def tell(party_id: UUID) -> None:
    """Renew the pages of the party's people."""
    events.notify(events.PAGES_CHANNEL, f"party:{party_id}")


def _propose(maker: User, application: EligibilityApplication, valid_until: datetime, reason: str) -> Proposal:
    _refuse_one_of_theirs(maker, application.party_id)
    if valid_until > clock.now():
        refuse_client_side(application.party_id)
    waiting = Proposal.objects.filter(kind=KIND, state=Proposal.State.PROPOSED)
    if any(approvals.body_of(one)["application"] == str(application.id) for one in waiting):
        raise Refusal("proposed_already", "This waits for a second officer already.")
    body: dict[str, Any] = {
        "application": str(application.id),
        "party": application.party.code,
        "legal_name": application.party.legal_name,
        "jurisdiction": application.party.jurisdiction,
        "wallet": application.wallet.address,
        "investor_class": application.investor_class,
        "documents": application.documents,
        "evidence_hash": application.evidence_hash,
        "valid_until": valid_until.isoformat(),
    }
    house = Cell.objects.get(kind=Cell.Kind.HOUSE)
    return approvals.propose(maker=maker, kind=KIND, cell_id=house.id, body=body, reason=reason)


def _open_application(application_id: UUID) -> EligibilityApplication:
    rows = EligibilityApplication.objects.select_related("party", "wallet").select_for_update(of=("self",))
    found = rows.filter(id=application_id).first()
    if found is None:
        raise access.not_found()
    if found.state != EligibilityApplication.State.APPLIED:
        raise Refusal("application_decided", "This application is answered already.", state=found.state)
    return found


def _refuse_answered(application: EligibilityApplication, *, ends: bool) -> None:
    """What was proposed before the investor asked anew, or was told no, is not granted; a grant made can be ended."""
    state = EligibilityApplication.State
    if application.state == state.APPLIED or (ends and application.state == state.APPROVED):
        return
    raise Refusal("application_decided", "This application is answered already.", state=application.state)


def _answer(application: EligibilityApplication, state: EligibilityApplication.State, answer: str) -> None:
    application.state, application.answer = state, answer
    application.save(update_fields=["state", "answer"])
    tell(application.party_id)


def _refuse_other_than_investor(party: Party) -> None:
    if party.kind != Party.Kind.INVESTOR:
        raise NotAllowed("not_an_investor", "Only eligible investors may hold notes.")


def _refuse_incomplete(documents: dict[str, str]) -> None:
    missing = [kind.label for kind in DocumentKind if not documents.get(kind)]
    if missing:
        raise BadInput("documents_missing", "Give the hash of each document.", missing=missing)
    unknown = sorted(set(documents) - set(DocumentKind.values))
    if unknown:
        raise BadInput("document_unknown", "There is no such kind of document.", unknown=unknown)
    odd = [kind for kind, value in documents.items() if len(value) != 64 or not set(value.lower()) <= HEX]
    if odd:
        raise BadInput("not_a_hash", "A SHA-256 has 64 hex digits.", documents=odd)


def _refuse_one_of_theirs(officer: User, party_id: UUID) -> None:
    if Membership.objects.filter(party_id=party_id, user=officer).exists():
        raise Refusal("proposal_not_by_the_client", "A person who acts for the investor takes no part in this.")
