"""What is traded: instruments, trades, the lots they leave behind, positions, and the official marks.

A trade between two clients is novated into two legs, each against the intermediary. A lot remembers the opposite
relationship, for one purpose: to say whose UNCOVERED loss could reach it (D1). Over all cells each instrument nets
to zero (D6).
"""

from django.conf import settings
from django.contrib.postgres.functions import RandomUUID
from django.db import models
from django.db.models import F, Q

from intermediary.models.base import ExactField, Row
from intermediary.models.cell import Cell


class Instrument(Row):
    """A contract on an underlying of the market module, settled in the settlement token. One unit is one coin."""

    class Kind(models.TextChoices):
        SPOT = "SPOT", "Spot"
        PERPETUAL = "PERPETUAL", "Perpetual"
        FUTURE = "FUTURE", "Dated future"
        CALL = "CALL", "European call"
        PUT = "PUT", "European put"

    code = models.CharField(max_length=40, unique=True)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    underlying = models.CharField(max_length=12)
    expiry = models.DateTimeField(null=True, blank=True)
    strike = ExactField(null=True, blank=True)  # type: ignore[misc]  # the plugin wants a generic field

    class Meta:
        ordering = ["code"]
        constraints = [
            models.CheckConstraint(
                name="option_has_strike_and_expiry",
                condition=Q(kind__in=["CALL", "PUT"], strike__gt=0, expiry__isnull=False)
                | Q(kind="FUTURE", strike__isnull=True, expiry__isnull=False)
                | Q(kind__in=["SPOT", "PERPETUAL"], strike__isnull=True, expiry__isnull=True),
            )
        ]

    def __str__(self) -> str:
        return self.code


class Trade(Row):
    """A bargain between two relationships, on its way to novation."""

    class State(models.TextChoices):
        SUBMITTED = "SUBMITTED", "Waiting for the other side"
        AFFIRMED = "AFFIRMED", "Affirmed, being checked"
        NOVATED = "NOVATED", "Novated"
        REFUSED = "REFUSED", "Refused"
        CANCELLED = "CANCELLED", "Cancelled"

    instrument = models.ForeignKey(Instrument, models.PROTECT)
    buyer = models.ForeignKey(Cell, models.PROTECT, related_name="+")
    seller = models.ForeignKey(Cell, models.PROTECT, related_name="+")
    quantity = ExactField(help_text="coins bought")
    price = ExactField(help_text="dollars a coin")
    state = models.CharField(max_length=10, choices=State.choices, default=State.SUBMITTED)
    submitted_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    affirmed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    refusal = models.JSONField(null=True, blank=True, help_text="the refusal's code, sentence and numbers")
    novated_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(name="trade_quantity_positive", condition=Q(quantity__gt=0, price__gt=0)),
            models.CheckConstraint(name="trade_has_two_sides", condition=~Q(buyer=F("seller"))),
        ]


class Lot(Row):
    """One leg of a novated trade in one cell. `open_quantity` is reduced first-in first-out by offsetting legs."""

    cell = models.ForeignKey(Cell, models.PROTECT, related_name="lots")
    trade = models.ForeignKey(Trade, models.PROTECT, related_name="lots")
    instrument = models.ForeignKey(Instrument, models.PROTECT)
    opposite = models.ForeignKey(Cell, models.PROTECT, related_name="linked_lots")
    quantity = ExactField(help_text="signed: positive is long")
    open_quantity = ExactField(help_text="signed, what offsets have left of it")
    price = ExactField()

    class Meta:
        indexes = [models.Index(fields=["cell", "instrument", "id"])]
        constraints = [
            models.UniqueConstraint(fields=["trade", "cell"], name="lot_once_a_side"),
            models.CheckConstraint(
                name="lot_open_within_quantity",
                condition=Q(quantity__gt=0, open_quantity__gte=0, open_quantity__lte=F("quantity"))
                | Q(quantity__lt=0, open_quantity__lte=0, open_quantity__gte=F("quantity")),
            ),
        ]


class Position(Row):
    """A cell's net quantity of one instrument, and what variation margin has already paid for it.

    Exposure (due by the client to the house) = settled_value - quantity x mark: what the position has lost since the
    last settlement. A trade adds quantity x price to `settled_value`, a settlement sets it to quantity x mark.
    """

    cell = models.ForeignKey(Cell, models.PROTECT, related_name="positions")
    instrument = models.ForeignKey(Instrument, models.PROTECT)
    quantity = ExactField(default=0)
    settled_value = ExactField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["cell", "instrument"], name="position_once")]


class BookVersion(models.Model):
    """The present names of what a relationship holds, of what variation margin has paid for it, and of what else its
    requirement rests on; written by the database with every change, and by nobody else (see intermediary.books and
    intermediary.standings)."""

    cell = models.OneToOneField(Cell, models.PROTECT, primary_key=True, related_name="+")
    held = models.UUIDField()
    settled = models.UUIDField()
    standing = models.UUIDField(db_default=RandomUUID())

    def __str__(self) -> str:
        return f"{self.cell_id} {self.held}"


class Valuation(Row):
    """One official valuation: the snapshot it came from and the mark of every instrument."""

    as_of = models.DateTimeField(unique=True)
    source = models.CharField(max_length=80)
    snapshot_id = models.CharField(max_length=64)
    prices = models.JSONField(help_text="underlying -> decimal string")

    class Meta:
        ordering = ["-as_of"]


class Mark(Row):
    """The official price of one instrument at one valuation."""

    valuation = models.ForeignKey(Valuation, models.PROTECT, related_name="marks")
    instrument = models.ForeignKey(Instrument, models.PROTECT)
    price = ExactField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["valuation", "instrument"], name="mark_once")]
