"""A default and what follows: close-out slices, the determined loss on its layers, recoveries."""

from django.db import models
from django.db.models import F, Q

from intermediary.models.approval import Proposal
from intermediary.models.base import BaseUnitsField, ExactField, Row
from intermediary.models.cell import Cell, Layer
from intermediary.models.margin import MarginCall
from intermediary.models.trading import Instrument, Lot


class DefaultCase(Row):
    """One default of one relationship, from notice to the last recovery. Amounts in settlement base units.

    N = close_out_deficit + costs - added_by_us - recoveries (D1); X = added_by_us (D4).
    """

    class State(models.TextChoices):
        NOTICE = "NOTICE", "Notice given"
        CURED = "CURED", "Cured"
        ETD_SET = "ETD_SET", "Early Termination Date set"
        REPLACING = "REPLACING", "Replacing positions"
        DETERMINED = "DETERMINED", "Loss determined"
        ALLOCATED = "ALLOCATED", "Loss allocated"
        RECOVERY = "RECOVERY", "Recovery"
        CLOSED = "CLOSED", "Closed"

    cell = models.ForeignKey(Cell, models.PROTECT, related_name="defaults")
    call = models.ForeignKey(MarginCall, models.PROTECT, null=True, related_name="+")
    notice = models.OneToOneField(Proposal, models.PROTECT, related_name="+")
    determination = models.OneToOneField(Proposal, models.PROTECT, null=True, related_name="+")
    state = models.CharField(max_length=10, choices=State.choices, default=State.NOTICE)
    noticed_at = models.DateTimeField()
    cure_by = models.DateTimeField()
    etd_at = models.DateTimeField(null=True)
    claim_base_units = BaseUnitsField(help_text="noticed on chain; may be raised with a second key")
    close_out_amount_base_units = BaseUnitsField(default=0, help_text="owed since the last settlement, at replacement")
    costs_base_units = BaseUnitsField(default=0)
    collateral_realised_base_units = BaseUnitsField(default=0)
    added_by_us_base_units = BaseUnitsField(default=0, help_text="X: our own choices (D4)")
    recoveries_base_units = BaseUnitsField(default=0)
    loss_base_units = BaseUnitsField(default=0, help_text="N now")
    uncovered_base_units = BaseUnitsField(default=0)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["cell"], condition=~Q(state__in=["CURED", "CLOSED"]), name="one_live_default"
            )
        ]


class DefaultEvent(Row):
    """What happened in a case, append-only."""

    cell = models.ForeignKey(Cell, models.PROTECT, related_name="+")
    case = models.ForeignKey(DefaultCase, models.PROTECT, related_name="events")
    before = models.CharField(max_length=10, blank=True, choices=DefaultCase.State.choices)
    after = models.CharField(max_length=10, choices=DefaultCase.State.choices)
    note = models.CharField(max_length=300)
    data = models.JSONField(default=dict)

    class Meta:
        ordering = ["id"]


class CloseOutSlice(Row):
    """One executed replacement: the defaulted side re-established in the market, with its evidence."""

    cell = models.ForeignKey(Cell, models.PROTECT, related_name="+")
    case = models.ForeignKey(DefaultCase, models.PROTECT, related_name="slices")
    instrument = models.ForeignKey(Instrument, models.PROTECT)
    quantity = ExactField(help_text="signed, of the defaulter's position replaced")
    mark = ExactField()
    price = ExactField(help_text="executed, slippage included")
    depth_usd = ExactField(help_text="depth within 1% used by the schedule")

    class Meta:
        ordering = ["id"]


class LayerLoss(Row):
    """A change of one layer's loss, always to the value recomputed from N. Positive: write-down."""

    cell = models.ForeignKey(Cell, models.PROTECT, related_name="+")
    case = models.ForeignKey(DefaultCase, models.PROTECT, related_name="layer_losses")
    layer = models.ForeignKey(Layer, models.PROTECT, related_name="losses")
    loss_before_base_units = BaseUnitsField()
    loss_after_base_units = BaseUnitsField()
    net_loss_base_units = BaseUnitsField(help_text="N that this was recomputed from")

    class Meta:
        ordering = ["id"]


class UncoveredShare(Row):
    """A linked lot's share of an UNCOVERED amount, in proportion to its unpaid gain since the last settlement."""

    case = models.ForeignKey(DefaultCase, models.PROTECT, related_name="uncovered_shares")
    cell = models.ForeignKey(Cell, models.PROTECT, related_name="uncovered_shares", help_text="holder of the lot")
    lot = models.ForeignKey(Lot, models.PROTECT, related_name="+")
    unpaid_gain_base_units = BaseUnitsField()
    amount_base_units = BaseUnitsField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["case", "lot"], name="uncovered_share_once"),
            models.CheckConstraint(
                name="uncovered_share_positive", condition=Q(amount_base_units__gte=0, unpaid_gain_base_units__gt=0)
            ),
        ]


class RecoveryReceipt(Row):
    """Money received on a defaulted claim: it lowers N by exactly its amount."""

    cell = models.ForeignKey(Cell, models.PROTECT, related_name="+")
    case = models.ForeignKey(DefaultCase, models.PROTECT, related_name="receipts")
    amount_base_units = BaseUnitsField()
    source = models.CharField(max_length=120)
    net_loss_before_base_units = BaseUnitsField()
    net_loss_after_base_units = BaseUnitsField()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                name="receipt_lowers_n_by_its_amount",
                condition=Q(amount_base_units__gt=0)
                & Q(net_loss_after_base_units=F("net_loss_before_base_units") - F("amount_base_units")),
            )
        ]
