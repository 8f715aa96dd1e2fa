"""The demonstration's investors become eligible to hold notes by the product's own way: they apply with the hashes of
their documents, one officer proposes, the other approves. The register on chain follows (`config.note_register`)."""

from collections.abc import Sequence
from datetime import timedelta

from django.contrib.auth.models import User
from django.db import transaction

from bonds.models.eligibility import DocumentKind, InvestorClass
from bonds.offering import eligibility
from intermediary.canonical import sha256_hex
from intermediary.config.demo import keys, world

VALID_FOR = timedelta(days=730)  # to the end of the demo's series


def documents_of(legal_name: str) -> dict[str, str]:
    """The hash of each document of an investor; the documents themselves are made of nothing here."""
    return {kind.value: sha256_hex(f"{kind.label} of {legal_name}") for kind in DocumentKind}


def grant(cast: world.Cast, investors: Sequence[world.Investor]) -> None:
    """Let these hold notes; each in transactions of its own."""
    maker, checker = (User.objects.get(username=officer.username) for officer in cast.officers)
    for one in investors:
        with transaction.atomic(durable=True):
            application = eligibility.apply(
                user=User.objects.get(username=f"investor.{one.key}"),
                address=keys.investor(cast, one.key).address,
                investor_class=InvestorClass.PROFESSIONAL,
                documents=documents_of(one.legal_name),
            )
            proposal = eligibility.propose(
                maker=maker,
                application_id=application.id,
                valid_until=cast.starts_at + VALID_FOR,
                reason=f"{one.legal_name}: its documents are complete.",
            )
        with transaction.atomic(durable=True):
            eligibility.approve(
                checker=checker, proposal_id=proposal.id, seen_hash=proposal.hash, reason="Documents seen."
            )
