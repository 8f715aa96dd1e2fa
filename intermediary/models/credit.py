"""The credit line of a relationship: how much is unsecured, and which layers must stand behind it."""

from decimal import Decimal

from django.db import models
from django.db.models import Q

from intermediary.models.approval import Proposal
from intermediary.models.base import BaseUnitsField, Row
from intermediary.models.cell import Cell


class CreditLine(Row):
    """One approved line; the only one ACTIVE of its cell, or the only one that waits for the issue of its tail's slice
    before it is. Sizes are settlement base units."""

    class State(models.TextChoices):
        AWAITING = "AWAITING", "Awaiting cover"
        ACTIVE = "ACTIVE", "Active"
        EXPIRED = "EXPIRED", "Expired"
        REDUCED = "REDUCED", "Replaced"
        CANCELLED = "CANCELLED", "Cancelled"
        LAPSED = "LAPSED", "Lapsed without cover"

    cell = models.ForeignKey(Cell, models.PROTECT, related_name="credit_lines")
    proposal = models.OneToOneField(Proposal, models.PROTECT, related_name="credit_line")
    state = models.CharField(max_length=10, choices=State.choices, default=State.ACTIVE)
    threshold_base_units = BaseUnitsField()
    first_loss_base_units = BaseUnitsField()
    tail_base_units = BaseUnitsField()
    senior_base_units = BaseUnitsField()
    default_intensity_annual = models.DecimalField(
        max_digits=6, decimal_places=4, default=Decimal("0.0600"), help_text="internal estimate, defaults a year"
    )
    expires_at = models.DateTimeField()
    ruleset_hash = models.CharField(max_length=64)
    admission = models.JSONField(help_text="the numbers of the admission test at approval")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["cell"], condition=Q(state="ACTIVE"), name="one_active_line"),
            models.UniqueConstraint(fields=["cell"], condition=Q(state="AWAITING"), name="one_line_awaiting_cover"),
        ]
