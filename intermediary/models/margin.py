"""Margin of a relationship: its current state, its calls and their clocks, its withdrawals."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from intermediary.models.base import BaseUnitsField, DocumentField, Row
from intermediary.models.cell import Cell
from intermediary.models.journal import Asset, JournalEntry
from intermediary.models.trading import Valuation


class MarginState(Row):
    """The current requirement of one cell and what stands against it, in settlement base units.

    required = max(0, exposure + independent amount - threshold); held is after haircut. Replaced at each tick; any
    earlier one is recomputed from its snapshot, book and ruleset (E14).
    """

    cell = models.OneToOneField(Cell, models.PROTECT, related_name="margin_state")
    # No index: a valuation is never deleted, and every tick would rewrite it for everybody. Nor a key of the usual
    # kind, which asks once for each row: a trigger asks once for each statement.
    valuation = models.ForeignKey(Valuation, models.PROTECT, db_index=False, db_constraint=False)
    exposure_base_units = BaseUnitsField(help_text="positive: the client owes unsettled variation margin")
    independent_amount_base_units = BaseUnitsField()
    threshold_base_units = BaseUnitsField()
    required_base_units = BaseUnitsField()
    held_base_units = BaseUnitsField(help_text="after haircut")
    ruleset_hash = models.CharField(max_length=64)
    breakdown = DocumentField(help_text="lines of the requirement, dollars; they add up to the independent amount")
    admission = DocumentField(help_text="stressed loss against margin and layers (D2)")

    @property
    def headroom_base_units(self) -> int:
        """Held less required: negative when short."""
        return self.held_base_units - self.required_base_units


class MarginCall(Row):
    """A demand for margin: what the agreement requires (MARGIN), or what the admission test of the existing book is
    short of (COVERAGE, D2). One open call per relationship, direction and kind."""

    class Direction(models.TextChoices):
        DELIVERY = "DELIVERY", "Deliver to the vault"
        RETURN = "RETURN", "Returned to the client"

    class Kind(models.TextChoices):
        MARGIN = "MARGIN", "Margin call"
        COVERAGE = "COVERAGE", "Coverage call"

    class State(models.TextChoices):
        ISSUED = "ISSUED", "Issued"
        AGREED = "AGREED", "Agreed"
        PLEDGED = "PLEDGED", "Pledged"
        SETTLED = "SETTLED", "Met"
        NETTED = "NETTED", "No longer needed"
        LAPSED = "LAPSED", "Lapsed"
        DEFAULT_NOTICE = "DEFAULT_NOTICE", "Default notice"

    OPEN_STATES = (State.ISSUED, State.AGREED, State.PLEDGED)

    cell = models.ForeignKey(Cell, models.PROTECT, related_name="calls")
    direction = models.CharField(max_length=8, choices=Direction.choices, default=Direction.DELIVERY)
    kind = models.CharField(max_length=8, choices=Kind.choices, default=Kind.MARGIN)
    state = models.CharField(max_length=14, choices=State.choices, default=State.ISSUED)
    amount_base_units = BaseUnitsField(help_text="Delivery Amount now, all increments together")
    valuation = models.ForeignKey(Valuation, models.PROTECT)
    deliver_by = models.DateTimeField(help_text="of the oldest unmet increment")
    met_at = models.DateTimeField(null=True)
    pledged_base_units = BaseUnitsField(default=0)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["cell", "direction", "kind"],
                condition=Q(state__in=["ISSUED", "AGREED", "PLEDGED"]),
                name="one_open_call",
            )
        ]

    @property
    def is_open(self) -> bool:
        """Still to be met."""
        return self.state in self.OPEN_STATES


class CallIncrement(Row):
    """A part of a call with a deadline of its own: superseding neither extends nor shortens an earlier amount."""

    cell = models.ForeignKey(Cell, models.PROTECT, related_name="+")
    call = models.ForeignKey(MarginCall, models.PROTECT, related_name="increments")
    amount_base_units = BaseUnitsField()
    unmet_base_units = BaseUnitsField()
    deliver_by = models.DateTimeField()

    class Meta:
        ordering = ["deliver_by"]


class CallEvent(Row):
    """What happened to a call, append-only; replaying the events rebuilds its state (W6)."""

    cell = models.ForeignKey(Cell, models.PROTECT, related_name="+")
    call = models.ForeignKey(MarginCall, models.PROTECT, related_name="events")
    before = models.CharField(max_length=14, blank=True, choices=MarginCall.State.choices)
    after = models.CharField(max_length=14, choices=MarginCall.State.choices)
    amount_base_units = BaseUnitsField(default=0)
    note = models.CharField(max_length=200)

    class Meta:
        ordering = ["id"]


class ClockStop(Row):
    """A time during which the platform could not see deposits: clocks of calls stand still meanwhile (D7)."""

    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    reason = models.CharField(max_length=200)


class Withdrawal(Row):
    """A client's request for free margin, paid from its vault to its payout address."""

    class State(models.TextChoices):
        REQUESTED = "REQUESTED", "Requested"
        INSTRUCTED = "INSTRUCTED", "On its way"
        PAID = "PAID", "Paid"
        REFUSED = "REFUSED", "Refused"

    cell = models.ForeignKey(Cell, models.PROTECT, related_name="withdrawals")
    asset = models.ForeignKey(Asset, models.PROTECT)
    amount_base_units = BaseUnitsField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.REQUESTED)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    entry = models.ForeignKey(JournalEntry, models.PROTECT, null=True, related_name="+")
    refusal = models.JSONField(null=True, blank=True)


class MarginPoint(Row):
    """One point of a relationship's margin history, at each payment, each act and every five minutes; append-only.

    The numbers of that moment alone: what they were made of is recomputed from the snapshot, book and ruleset (E14).
    """

    # The constraint below finds the points of a cell, and a valuation is never deleted.
    cell = models.ForeignKey(Cell, models.PROTECT, related_name="margin_points", db_index=False)
    valuation = models.ForeignKey(Valuation, models.PROTECT, related_name="+", db_index=False)
    required_base_units = BaseUnitsField()
    held_base_units = BaseUnitsField(help_text="after haircut")
    exposure_base_units = BaseUnitsField(help_text="positive: the client owes unsettled variation margin")

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["cell", "valuation"], name="margin_point_once")]
