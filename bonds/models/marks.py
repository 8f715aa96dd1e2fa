"""What slices and classes of notes are worth and risk at each valuation. Append-only."""

from django.db import models

from bonds.models.series import Slice, Tranche
from intermediary.models import Valuation
from intermediary.models.base import BaseUnitsField, Row


class SliceMark(Row):
    """One slice at one valuation: its share of risk over the coming year, and where its relationship stands on the
    loss axis. Append-only."""

    slice = models.ForeignKey(Slice, models.PROTECT, related_name="marks")
    valuation = models.ForeignKey(Valuation, models.PROTECT, related_name="+")
    expected_loss = models.FloatField(help_text="share of outstanding principal")
    probability_first_loss = models.FloatField()
    probability_last_loss = models.FloatField()
    loss_now_base_units = BaseUnitsField(help_text="N if it were closed out at these marks")
    basis = models.CharField(max_length=12, help_text="MODEL, ESTIMATE (default open) or DETERMINED")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["slice", "valuation"], name="slice_mark_once")]


class NoteMark(Row):
    """One class at one valuation: price per 100 of current principal, and its risk over the coming year. Rates are
    fractions of one; empty where a figure does not exist. Append-only."""

    tranche = models.ForeignKey(Tranche, models.PROTECT, related_name="marks")
    valuation = models.ForeignKey(Valuation, models.PROTECT, related_name="+")
    outstanding_base_units = BaseUnitsField()
    clean_price = models.FloatField(null=True)
    accrued = models.FloatField(null=True)
    z_spread = models.FloatField(null=True)
    expected_yield = models.FloatField(null=True)
    expected_loss = models.FloatField()
    probability_first_loss = models.FloatField()
    probability_last_loss = models.FloatField()
    measure = models.CharField(max_length=80, help_text="pricing measure with its parameters")
    # Yields, duration, sensitivities and the price under every other measure: read whole by a page, never filtered by.
    outputs = models.JSONField(default=dict, help_text="every other figure of the price; see docs/pricing.md")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tranche", "valuation"], name="note_mark_once")]
