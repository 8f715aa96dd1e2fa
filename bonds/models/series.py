"""What a series of notes is: its classes, the slices they stand behind, and its timeline.

A series covers relationships by ring-fenced slices; a tranche is a class of its notes; a slice part is the principal
of one class in one slice, the smallest thing that a loss writes down. All amounts are base units of the settlement
token, and a unit of a note is one base unit of its original face.
"""

from decimal import Decimal

from django.db import models
from django.db.models import F, Q

from bonds.loss.tranches import Slice as SliceLayer
from bonds.loss.tranches import SliceState
from intermediary.models import Asset, Cell, ChainTarget
from intermediary.models.base import BaseUnitsField, Row


class Series(Row):
    """One issue of notes with its escrow; the terms are canonical JSON and their hash is published."""

    class State(models.TextChoices):
        STRUCTURING = "STRUCTURING", "Being structured"
        MARKETING = "MARKETING", "Taking orders"
        PRICED = "PRICED", "Priced and allocated"
        ISSUED = "ISSUED", "Issued"
        ON_RISK = "ON_RISK", "On risk"
        EVENT_OPEN = "EVENT_OPEN", "Default open"
        MATURED = "MATURED", "Matured"
        EXTENDED = "EXTENDED", "Extended"
        REDEEMED = "REDEEMED", "Redeemed"
        WRITTEN_OFF = "WRITTEN_OFF", "Written off"
        PULLED = "PULLED", "Pulled"

    LIVE = (State.ISSUED, State.ON_RISK, State.EVENT_OPEN, State.EXTENDED)

    code = models.CharField(max_length=20, unique=True)
    title = models.CharField(max_length=120)
    state = models.CharField(max_length=12, choices=State.choices, default=State.STRUCTURING)
    currency = models.ForeignKey(Asset, models.PROTECT, related_name="+")
    issue_date = models.DateField()
    scheduled_maturity = models.DateField()
    final_maturity = models.DateField()
    risk_from = models.DateTimeField()
    risk_until = models.DateTimeField()
    collateral_yield_annual = models.DecimalField(max_digits=9, decimal_places=6)
    denomination_base_units = BaseUnitsField()
    months_between_coupons = models.PositiveSmallIntegerField(default=3)
    challenge_seconds = models.PositiveIntegerField(help_text="between the notice of a loss and its write-down")
    terms = models.TextField(help_text="canonical JSON")
    terms_hash = models.CharField(max_length=64, unique=True)
    escrow = models.OneToOneField(ChainTarget, models.PROTECT, null=True, related_name="series")
    escrow_address = models.CharField(max_length=42, blank=True)
    issued_at = models.DateTimeField(null=True)
    risk_ended_at = models.DateTimeField(null=True, help_text="when the risk period ended before its time")
    end_reason = models.CharField(max_length=120, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "series"

    def __str__(self) -> str:
        return self.code


class Tranche(Row):
    """One class of notes. `seniority` 0 is the most junior, the first to be written down."""

    series = models.ForeignKey(Series, models.PROTECT, related_name="tranches")
    seniority = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=60)
    symbol = models.CharField(max_length=20, unique=True)
    isin = models.CharField(max_length=20, unique=True)
    note = models.OneToOneField(ChainTarget, models.PROTECT, null=True, related_name="tranche")
    note_address = models.CharField(max_length=42, blank=True)
    original_base_units = BaseUnitsField()
    guidance_bps = models.PositiveIntegerField(null=True, help_text="par spread of the loss model, a year")
    spread_bps = models.PositiveIntegerField(null=True, help_text="cleared by the book, a year")

    class Meta:
        ordering = ["series", "seniority"]
        constraints = [models.UniqueConstraint(fields=["series", "seniority"], name="tranche_seniority_once")]

    def __str__(self) -> str:
        return self.symbol

    @property
    def coupon_rate_annual(self) -> Decimal | None:
        """Cleared spread plus the collateral yield of the terms, a fraction of one; None before pricing."""
        if self.spread_bps is None:
            return None
        return Decimal(self.spread_bps).scaleb(-4) + self.series.collateral_yield_annual


class Slice(Row):
    """The principal that stands behind one relationship's tail layer; `Layer.slice_id` is this row's id."""

    series = models.ForeignKey(Series, models.PROTECT, related_name="slices")
    cell = models.ForeignKey(Cell, models.PROTECT, related_name="bond_slices")
    relationship = models.CharField(max_length=16, help_text="public, anonymous code of the relationship")
    index = models.PositiveSmallIntegerField(help_text="number of the slice in the escrow contract")
    attach_base_units = BaseUnitsField()
    detach_base_units = BaseUnitsField()
    principal_base_units = BaseUnitsField()
    net_loss_base_units = BaseUnitsField(default=0, help_text="N that the principal stands at")

    class Meta:
        ordering = ["series", "index"]
        constraints = [
            models.UniqueConstraint(fields=["series", "cell"], name="slice_once_a_relationship"),
            models.UniqueConstraint(fields=["series", "index"], name="slice_index_once"),
            models.CheckConstraint(
                name="slice_principal_within_layer",
                condition=Q(attach_base_units__gte=0, principal_base_units__gt=0)
                & Q(principal_base_units__lte=F("detach_base_units") - F("attach_base_units")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.series} / {self.relationship}"


class SlicePart(Row):
    """One class' principal in one slice, with its own layer [attach, detach) inside the slice's."""

    slice = models.ForeignKey(Slice, models.PROTECT, related_name="parts")
    tranche = models.ForeignKey(Tranche, models.PROTECT, related_name="parts")
    attach_base_units = BaseUnitsField()
    detach_base_units = BaseUnitsField()
    principal_base_units = BaseUnitsField()
    outstanding_base_units = BaseUnitsField()
    written_down_base_units = BaseUnitsField(default=0)
    written_up_base_units = BaseUnitsField(default=0)
    redeemed_base_units = BaseUnitsField(default=0)
    ruled_off_base_units = BaseUnitsField(
        default=0, help_text="of determined losses, what an expert's ruling left to the intermediary"
    )
    spread_share = models.DecimalField(
        max_digits=12, decimal_places=10, null=True, help_text="of the class' spread that the relationship prefunds"
    )

    class Meta:
        ordering = ["slice", "attach_base_units"]
        constraints = [
            models.UniqueConstraint(fields=["slice", "tranche"], name="slice_part_once"),
            models.CheckConstraint(
                name="principal_is_accounted_for",
                condition=Q(
                    outstanding_base_units__gte=0,
                    redeemed_base_units__gte=0,
                    written_up_base_units__gte=0,
                    written_up_base_units__lte=F("written_down_base_units"),
                    principal_base_units=F("outstanding_base_units")
                    + F("written_down_base_units")
                    - F("written_up_base_units")
                    + F("redeemed_base_units"),
                ),
            ),
        ]

    @property
    def state(self) -> SliceState:
        """The same as the pure arithmetic's value."""
        return SliceState(
            slice=SliceLayer(
                relationship_id=self.slice.cell_id,
                attach_base_units=self.attach_base_units,
                detach_base_units=self.detach_base_units,
                principal_base_units=self.principal_base_units,
            ),
            outstanding_base_units=self.outstanding_base_units,
            written_down_base_units=self.written_down_base_units,
            written_up_base_units=self.written_up_base_units,
            redeemed_base_units=self.redeemed_base_units,
            ruled_off_base_units=self.ruled_off_base_units,
        )


class SeriesEvent(Row):
    """What happened to a series, for everyone to read; append-only."""

    class Kind(models.TextChoices):
        STRUCTURED = "STRUCTURED", "Structured"
        DEPLOYED = "DEPLOYED", "Contracts deployed"
        ANNOUNCED = "ANNOUNCED", "Offering announced"
        GUIDANCE = "GUIDANCE", "Guidance published"
        OPENED = "OPENED", "Book opened"
        SEALED = "SEALED", "Sealed bid"
        UNSEALED = "UNSEALED", "Sealed bid withdrawn"
        CLOSED = "CLOSED", "Book closed"
        CLEARED = "CLEARED", "Book cleared"
        PRICED = "PRICED", "Priced and allocated"
        REOFFERED = "REOFFERED", "Unpaid notes re-offered"
        PULLED = "PULLED", "Pulled"
        ISSUED = "ISSUED", "Issued"
        EVENT_OPENED = "EVENT_OPENED", "Default notice"
        EVENT_CLOSED = "EVENT_CLOSED", "Default settled"
        LOSS_NOTICED = "LOSS_NOTICED", "Loss noticed"
        CHALLENGE = "CHALLENGE", "Challenge period running"
        WRITTEN_DOWN = "WRITTEN_DOWN", "Written down"
        WRITTEN_UP = "WRITTEN_UP", "Written up"
        COUPON_PAID = "COUPON_PAID", "Coupon paid"
        COUPON_UNPAID = "COUPON_UNPAID", "Coupon unpaid"
        RISK_ENDED = "RISK_ENDED", "Risk period ended"
        EXTENDED = "EXTENDED", "Extended"
        RESERVED = "RESERVED", "Reserve reviewed"
        MATURED = "MATURED", "Matured"
        REPAID = "REPAID", "Principal repaid"
        REDEEMED = "REDEEMED", "Redeemed"
        WRITTEN_OFF = "WRITTEN_OFF", "Written off"
        SUSPENDED = "SUSPENDED", "Transfers suspended"
        RESUMED = "RESUMED", "Transfers resumed"

    series = models.ForeignKey(Series, models.PROTECT, related_name="events")
    kind = models.CharField(max_length=14, choices=Kind.choices)
    text = models.CharField(max_length=300)
    data = models.JSONField(default=dict)

    class Meta:
        ordering = ["id"]
