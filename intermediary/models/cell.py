"""The cell: one relationship's own compartment, and the layers that stand behind it.

Everything that belongs to a relationship carries its cell, and the database refuses a reference from one cell into
another. Three more kinds exist: the house's own cell, the venue (hedge) cell, and one ring-fenced close-out cell a
defaulter. Over all cells every instrument nets to zero (D6).
"""

from django.db import models
from django.db.models import F, Q

from intermediary.models.base import BaseUnitsField, Row
from intermediary.models.party import Party


class Cell(Row):
    """One compartment."""

    class Kind(models.TextChoices):
        CLIENT = "CLIENT", "Client relationship"
        HOUSE = "HOUSE", "House"
        VENUE = "VENUE", "Venue hedge account"
        CLOSE_OUT = "CLOSE_OUT", "Close-out account"

    class State(models.TextChoices):
        OPEN = "OPEN", "Open"
        NO_NEW_RISK = "NO_NEW_RISK", "No new risk"
        DEFAULTED = "DEFAULTED", "Defaulted"
        CLOSED = "CLOSED", "Closed"

    code = models.CharField(max_length=16, unique=True, help_text="public, anonymous name of the relationship")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    state = models.CharField(max_length=12, choices=State.choices, default=State.OPEN)
    party = models.ForeignKey(Party, models.PROTECT, null=True, blank=True, related_name="cells")
    closes_out = models.OneToOneField("self", models.PROTECT, null=True, blank=True, related_name="close_out_cell")

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="cell_has_a_party_exactly_when_client",
                condition=Q(kind="CLIENT", party__isnull=False) | (~Q(kind="CLIENT") & Q(party__isnull=True)),
            ),
            models.CheckConstraint(
                name="cell_closes_out_exactly_when_close_out",
                condition=Q(kind="CLOSE_OUT", closes_out__isnull=False)
                | (~Q(kind="CLOSE_OUT") & Q(closes_out__isnull=True)),
            ),
            models.UniqueConstraint(
                fields=["kind"], condition=Q(kind__in=["HOUSE", "VENUE"]), name="one_house_one_venue"
            ),
        ]

    def __str__(self) -> str:
        return self.code


class Layer(Row):
    """One layer of net cumulative loss N of a relationship, [attach, detach) in settlement base units (D1)."""

    class Kind(models.TextChoices):
        FIRST_LOSS = "FIRST_LOSS", "First loss (intermediary)"
        TAIL = "TAIL", "Tail bond"
        SENIOR = "SENIOR", "Senior retention (intermediary)"

    cell = models.ForeignKey(Cell, models.PROTECT, related_name="layers")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    attach_base_units = BaseUnitsField()
    detach_base_units = BaseUnitsField()
    slice_id = models.UUIDField(null=True, blank=True, help_text="the bond slice that carries a tail layer")
    funded = models.BooleanField(default=False, help_text="its money lies in its own contract")
    loss_base_units = BaseUnitsField(default=0, help_text="current loss, always recomputed from N")

    class Meta:
        ordering = ["cell", "attach_base_units"]
        constraints = [
            models.CheckConstraint(
                name="layer_has_width",
                condition=Q(attach_base_units__gte=0, detach_base_units__gt=F("attach_base_units")),
            ),
            models.CheckConstraint(
                name="layer_loss_within_size",
                condition=Q(
                    loss_base_units__gte=0, loss_base_units__lte=F("detach_base_units") - F("attach_base_units")
                ),
            ),
            models.UniqueConstraint(fields=["cell", "attach_base_units"], name="layer_attaches_once"),
            models.CheckConstraint(
                name="layer_slice_exactly_when_tail",
                condition=Q(kind="TAIL", slice_id__isnull=False) | (~Q(kind="TAIL") & Q(slice_id__isnull=True)),
            ),
        ]

    @property
    def size_base_units(self) -> int:
        """Width of the layer."""
        return self.detach_base_units - self.attach_base_units
