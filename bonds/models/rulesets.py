"""Which calibration of the pricing measures is in force, by two people's decision. Append-only."""

from django.db import models

from intermediary.models import Proposal
from intermediary.models.base import Row


class StoredRuleset(Row):
    """A pricing ruleset that took force when it was stored; the newest version holds, older marks keep their own."""

    version = models.PositiveIntegerField(unique=True)
    body = models.TextField(help_text="canonical JSON, as `PricingRuleset.body`")
    hash = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the body; the database recomputes it")
    proposal = models.OneToOneField(Proposal, models.PROTECT, related_name="+")

    class Meta:
        ordering = ["-version"]
        constraints = [
            # The second is the standard one, which stands in code.
            models.CheckConstraint(name="stored_ruleset_follows_the_standard", condition=models.Q(version__gte=3)),
        ]

    def __str__(self) -> str:
        return f"standard-{self.version}"
