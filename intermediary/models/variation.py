"""Variation margin that was paid, one row for each relationship and valuation at which something moved."""

from django.db import models

from intermediary.models.base import BaseUnitsField, Row
from intermediary.models.cell import Cell
from intermediary.models.outbox import ChainInstruction
from intermediary.models.trading import Valuation


class VariationPayment(Row):
    """One payment of variation margin. A movement that the chain refused is put back into exposure and dated here."""

    cell = models.ForeignKey(Cell, models.PROTECT, related_name="variation_payments")
    valuation = models.ForeignKey(Valuation, models.PROTECT, related_name="+")
    instruction = models.OneToOneField(ChainInstruction, models.PROTECT, related_name="variation_payment")
    amount_base_units = BaseUnitsField(help_text="positive: paid by the client to the house")
    reversed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["cell", "valuation"], name="variation_paid_once")]
