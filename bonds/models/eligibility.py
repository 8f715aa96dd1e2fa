"""Which wallets may hold notes, on whose word, and until when. Investors see only their own.

An application names a wallet, a class of investor and the hashes of the documents behind it; a grant is what two
officers made of it, and it goes to the register of eligible holders on chain. The newest grant of a wallet decides:
one whose last moment has passed ends eligibility.
"""

from django.conf import settings
from django.db import models
from django.db.models import Q

from intermediary.models import Party, Proposal, Wallet
from intermediary.models.base import Row


class InvestorClass(models.TextChoices):
    """On which ground an investor may be sold notes; who may be is the documents' question, not the software's."""

    PROFESSIONAL = "PROFESSIONAL", "Professional client"
    ELIGIBLE_COUNTERPARTY = "ELIGIBLE_COUNTERPARTY", "Eligible counterparty"
    QUALIFIED_INSTITUTION = "QUALIFIED_INSTITUTION", "Qualified institutional buyer"


class DocumentKind(models.TextChoices):
    """What an application rests on. The documents stay with whoever checks them; here is the hash of each."""

    CLASSIFICATION = "CLASSIFICATION", "Evidence of the class of investor"
    IDENTITY = "IDENTITY", "Identity and beneficial owners"
    TAX = "TAX", "Tax self-certification"


class EligibilityApplication(Row):
    """What an investor asks for: one wallet, one class, one hash a document. One open at a time."""

    class State(models.TextChoices):
        APPLIED = "APPLIED", "Waiting for the desk"
        APPROVED = "APPROVED", "Approved"
        DECLINED = "DECLINED", "Declined"
        REPLACED = "REPLACED", "Replaced by a later one"

    party = models.ForeignKey(Party, models.PROTECT, related_name="eligibility_applications")
    wallet = models.ForeignKey(Wallet, models.PROTECT, related_name="+")
    investor_class = models.CharField(max_length=24, choices=InvestorClass.choices)
    documents = models.JSONField(help_text="kind of document -> SHA-256 in hex")
    evidence_hash = models.CharField(max_length=64, help_text="SHA-256 of the documents' hashes, canonically")
    state = models.CharField(max_length=8, choices=State.choices, default=State.APPLIED)
    applied_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    answer = models.TextField(blank=True, help_text="the reason that the deciding officer gave")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["party"], condition=Q(state="APPLIED"), name="one_open_application"),
        ]

    def __str__(self) -> str:
        return f"{self.party} {self.get_investor_class_display()}"


class EligibleWallet(Row):
    """A grant: the wallet may hold notes up to and including `valid_until`. Behind each stands an approved proposal
    that says the same; the register on chain follows (`entered_at`)."""

    class State(models.TextChoices):
        APPROVED = "APPROVED", "Approved, not in the register yet"
        ENTERED = "ENTERED", "In the register on chain"
        SUPERSEDED = "SUPERSEDED", "Replaced before it was entered"

    party = models.ForeignKey(Party, models.PROTECT, related_name="eligible_wallets")
    wallet = models.ForeignKey(Wallet, models.PROTECT, related_name="eligibilities")
    application = models.ForeignKey(EligibilityApplication, models.PROTECT, related_name="grants")
    investor_class = models.CharField(max_length=24, choices=InvestorClass.choices)
    evidence_hash = models.CharField(max_length=64)
    valid_until = models.DateTimeField()
    proposal = models.OneToOneField(Proposal, models.PROTECT, related_name="eligible_wallet")
    state = models.CharField(max_length=10, choices=State.choices, default=State.APPROVED)
    transaction_hash = models.CharField(max_length=66, blank=True, help_text="empty: the register said it already")
    entered_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["wallet", "-id"], name="newest_grant_of_a_wallet")]

    def __str__(self) -> str:
        return f"{self.wallet} until {self.valid_until:%d %b %Y %H:%M} UTC"
