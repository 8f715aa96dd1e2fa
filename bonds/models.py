"""What a series of notes is, who ordered and holds it, and what has happened to it.

A series covers relationships by ring-fenced slices; a tranche is a class of its notes; a slice part is the principal
of one class in one slice, the smallest thing that a loss writes down. All amounts are base units of the settlement
token, and a unit of a note is one base unit of its original face. The arithmetic is in `tranches`, the acts in
`offering` and `servicing`; investors see published series, and of orders and holdings only their own.
"""

from decimal import Decimal

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from bonds.tranches import Slice as SliceLayer
from bonds.tranches import SliceState
from intermediary.models import Asset, Cell, ChainInstruction, ChainTarget, Party, Valuation, Wallet
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
        )


class Order(Row):
    """An investor's bid: how much of a class it takes at its minimum spread or more."""

    class State(models.TextChoices):
        PLACED = "PLACED", "In the book"
        ALLOCATED = "ALLOCATED", "Allocated"
        UNFILLED = "UNFILLED", "Not filled"
        WITHDRAWN = "WITHDRAWN", "Withdrawn"

    tranche = models.ForeignKey(Tranche, models.PROTECT, related_name="orders")
    party = models.ForeignKey(Party, models.PROTECT, related_name="bond_orders")
    wallet = models.ForeignKey(Wallet, models.PROTECT, related_name="+")
    amount_base_units = BaseUnitsField()
    minimum_spread_bps = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.PLACED)
    placed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(name="order_is_positive", condition=Q(amount_base_units__gt=0)),
            models.UniqueConstraint(
                fields=["tranche", "party"], condition=Q(state="PLACED"), name="one_order_in_the_book"
            ),
        ]


class Allocation(Row):
    """What an order got. It is settled on chain in full or the series is pulled: the escrow closes only when every
    class is sold out, and nobody can subscribe more than its allotment."""

    order = models.OneToOneField(Order, models.PROTECT, related_name="allocation")
    tranche = models.ForeignKey(Tranche, models.PROTECT, related_name="allocations")
    party = models.ForeignKey(Party, models.PROTECT, related_name="bond_allocations")
    units = BaseUnitsField()
    spread_bps = models.PositiveIntegerField()
    settled_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]
        constraints = [models.CheckConstraint(name="allocation_is_positive", condition=Q(units__gt=0))]


class Holding(Row):
    """Units that a party's wallet holds of a class."""

    tranche = models.ForeignKey(Tranche, models.PROTECT, related_name="holdings")
    party = models.ForeignKey(Party, models.PROTECT, related_name="bond_holdings")
    wallet = models.ForeignKey(Wallet, models.PROTECT, related_name="+")
    units = BaseUnitsField()

    class Meta:
        ordering = ["tranche", "id"]
        constraints = [
            models.UniqueConstraint(fields=["tranche", "wallet"], name="holding_once_a_wallet"),
            models.CheckConstraint(name="holding_not_negative", condition=Q(units__gte=0)),
        ]


class SliceAct(Row):
    """One write-down or write-up of a slice, from the ledger to the chain and back. One at a time a slice."""

    class Kind(models.TextChoices):
        WRITE_DOWN = "WRITE_DOWN", "Write-down"
        WRITE_UP = "WRITE_UP", "Write-up"

    class State(models.TextChoices):
        NOTICED = "NOTICED", "Notice on its way to the chain"
        CHALLENGE = "CHALLENGE", "Challenge period"
        MOVING = "MOVING", "Money on its way"
        DONE = "DONE", "Done"

    slice = models.ForeignKey(Slice, models.PROTECT, related_name="acts")
    cell = models.ForeignKey(Cell, models.PROTECT, related_name="+")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    state = models.CharField(max_length=10, choices=State.choices)
    amount_base_units = BaseUnitsField()
    by_tranche = models.JSONField(help_text="tranche id -> base units as a decimal string")
    net_loss_base_units = BaseUnitsField(help_text="N that the slice is brought to")
    evidence = models.CharField(max_length=64, help_text="hash of the determination")
    notice = models.OneToOneField(ChainInstruction, models.PROTECT, null=True, related_name="+")
    movement = models.OneToOneField(ChainInstruction, models.PROTECT, null=True, related_name="+")
    ready_at = models.DateTimeField(null=True, help_text="end of the challenge period")
    done_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["slice"], condition=~Q(state="DONE"), name="one_act_in_flight"),
            models.CheckConstraint(name="act_moves_something", condition=Q(amount_base_units__gt=0)),
        ]


class SeriesEvent(Row):
    """What happened to a series, for everyone to read; append-only."""

    class Kind(models.TextChoices):
        STRUCTURED = "STRUCTURED", "Structured"
        DEPLOYED = "DEPLOYED", "Contracts deployed"
        OPENED = "OPENED", "Book opened"
        PRICED = "PRICED", "Priced and allocated"
        ISSUED = "ISSUED", "Issued"
        EVENT_OPENED = "EVENT_OPENED", "Default notice"
        EVENT_CLOSED = "EVENT_CLOSED", "Default settled"
        LOSS_NOTICED = "LOSS_NOTICED", "Loss noticed"
        CHALLENGE = "CHALLENGE", "Challenge period running"
        WRITTEN_DOWN = "WRITTEN_DOWN", "Written down"
        WRITTEN_UP = "WRITTEN_UP", "Written up"

    series = models.ForeignKey(Series, models.PROTECT, related_name="events")
    kind = models.CharField(max_length=14, choices=Kind.choices)
    text = models.CharField(max_length=300)
    data = models.JSONField(default=dict)

    class Meta:
        ordering = ["id"]


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
    measure = models.CharField(max_length=40, help_text="pricing measure with its parameters")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tranche", "valuation"], name="note_mark_once")]
