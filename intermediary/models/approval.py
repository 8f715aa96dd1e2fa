"""Two pairs of eyes (D11): a proposal is bound to the hash of its exact body; maker and checker differ.

The database refuses a decision by the maker, by nobody, on an altered body, after expiry, or twice.
"""

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from intermediary.models.base import Row
from intermediary.models.cell import Cell


class Proposal(Row):
    """Something that needs a second person: what exactly, by whom, until when, and the answer."""

    class Kind(models.TextChoices):
        CREDIT_LINE = "CREDIT_LINE", "Credit line"
        DEFAULT_NOTICE = "DEFAULT_NOTICE", "Default notice"
        LOSS_DETERMINATION = "LOSS_DETERMINATION", "Loss determination"
        WRITE_OFF = "WRITE_OFF", "Write-off"
        CHAIN_CALL = "CHAIN_CALL", "Call that does not get on chain"
        CHAIN_ACT = "CHAIN_ACT", "Act on chain"
        LIFT_FENCE = "LIFT_FENCE", "Fence to be lifted"
        ELIGIBILITY = "ELIGIBILITY", "Eligibility of an investor's wallet"
        SERIES = "SERIES", "Series of notes"
        SERIES_REDEMPTION = "SERIES_REDEMPTION", "Early redemption of a series"
        OFFERING = "OFFERING", "Act on an offering of notes"
        PRICING_RULES = "PRICING_RULES", "Pricing ruleset"
        RELATIONSHIP = "RELATIONSHIP", "Relationship to be opened"

    class State(models.TextChoices):
        PROPOSED = "PROPOSED", "Waiting for a checker"
        APPROVED = "APPROVED", "Approved"
        REJECTED = "REJECTED", "Rejected"
        LAPSED = "LAPSED", "Lapsed"

    kind = models.CharField(max_length=20, choices=Kind.choices)
    cell = models.ForeignKey(Cell, models.PROTECT, related_name="proposals")
    body = models.TextField(help_text="canonical JSON of exactly what is proposed")
    hash = models.CharField(max_length=64, help_text="SHA-256 of the body; the database recomputes it")
    maker = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    reason = models.TextField()
    expires_at = models.DateTimeField()
    state = models.CharField(max_length=8, choices=State.choices, default=State.PROPOSED)
    checker = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    approved_hash = models.CharField(max_length=64, blank=True, help_text="the hash that the checker saw")
    decided_at = models.DateTimeField(null=True, blank=True)
    decision_reason = models.TextField(blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                name="maker_is_not_checker", condition=Q(checker__isnull=True) | ~Q(checker=F("maker"))
            ),
            models.CheckConstraint(
                name="decision_has_checker_and_reason",
                condition=Q(state__in=["PROPOSED", "LAPSED"], checker__isnull=True)
                | (Q(state__in=["APPROVED", "REJECTED"], checker__isnull=False) & ~Q(decision_reason="")),
            ),
            models.CheckConstraint(
                name="approval_binds_the_hash", condition=~Q(state="APPROVED") | Q(approved_hash=F("hash"))
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.cell} {self.hash[:12]}"
