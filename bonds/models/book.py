"""An offering and its book: what is sold until when, who bid for it sealed, what each bid got and paid.

Until the book is closed a bid is a commitment, the hash of a ladder with a secret: nobody at the house can read an
amount before then, because no row holds one. Investors see only their own orders; the offering is everyone's to read.
"""

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from bonds.models.series import Series, Tranche
from intermediary.models import Party, Wallet
from intermediary.models.base import BaseUnitsField, Row


class Offering(Row):
    """The sale of a series: its times, fixed when it is announced, and its report once the book is cleared."""

    class State(models.TextChoices):
        ANNOUNCED = "ANNOUNCED", "Announced"
        GUIDANCE = "GUIDANCE", "Guidance published"
        OPEN = "OPEN", "Sealed bids"
        CLOSED = "CLOSED", "Bids being revealed"
        PRICED = "PRICED", "Priced"
        ALLOCATED = "ALLOCATED", "Allocated, to be paid"
        SETTLED = "SETTLED", "Settled"
        PULLED = "PULLED", "Pulled"

    BEFORE_CLEARING = (State.ANNOUNCED, State.GUIDANCE, State.OPEN, State.CLOSED)

    series = models.OneToOneField(Series, models.PROTECT, related_name="offering")
    state = models.CharField(max_length=9, choices=State.choices, default=State.ANNOUNCED)
    opens_at = models.DateTimeField()
    commits_until = models.DateTimeField()
    reveals_until = models.DateTimeField()
    pays_until = models.DateTimeField(help_text="end of the first round of payment")
    ends_at = models.DateTimeField(help_text="end of the last round: the escrow takes nothing afterwards")
    rules = models.CharField(max_length=40, help_text="name of the rules of clearing")
    payment_round = models.PositiveSmallIntegerField(default=0)
    report = models.TextField(blank=True, help_text="canonical JSON of bids, clearing and allocation")
    report_hash = models.CharField(max_length=64, blank=True)
    pulled_because = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                name="offering_times_in_order",
                condition=Q(opens_at__lt=F("commits_until"))
                & Q(commits_until__lt=F("reveals_until"))
                & Q(reveals_until__lt=F("pays_until"))
                & Q(pays_until__lte=F("ends_at")),
            )
        ]

    def __str__(self) -> str:
        return f"Offering of {self.series}"


class OfferedClass(Row):
    """What one class sells. `limit` is the target without upsizing; the retained slice is never in the book."""

    offering = models.ForeignKey(Offering, models.PROTECT, related_name="classes")
    tranche = models.OneToOneField(Tranche, models.PROTECT, related_name="offered")
    target_base_units = BaseUnitsField()
    limit_base_units = BaseUnitsField(help_text="most that is sold at the clearing spread")
    cap_base_units = BaseUnitsField(help_text="most that one investor gets")
    bidders_min = models.PositiveSmallIntegerField(default=1, help_text="fewest investors that a covered book fills")
    size_base_units = BaseUnitsField(null=True, help_text="what was sold")  # type: ignore[misc]  # as Party

    class Meta:
        ordering = ["tranche__seniority"]
        verbose_name_plural = "offered classes"
        constraints = [
            models.CheckConstraint(
                name="offered_amounts_fit",
                condition=Q(target_base_units__gt=0, cap_base_units__gt=0)
                & Q(limit_base_units__gte=F("target_base_units"))
                & (Q(size_base_units=None) | Q(size_base_units__range=(F("target_base_units"), F("limit_base_units")))),
            )
        ]


class Order(Row):
    """An investor's sealed bid for a class: a commitment while the book is open, its opening once revealed."""

    class State(models.TextChoices):
        PLACED = "PLACED", "Sealed"
        REVEALED = "REVEALED", "Revealed"
        UNREVEALED = "UNREVEALED", "Never revealed"
        BARRED = "BARRED", "Barred from the series"
        ALLOCATED = "ALLOCATED", "Allocated"
        UNFILLED = "UNFILLED", "Not filled"
        WITHDRAWN = "WITHDRAWN", "Withdrawn"

    class Conflict(models.TextChoices):
        """What a bidder declares of itself; the first one bars it."""

        AFFILIATE = "AFFILIATE", "Under common control with a covered client"
        EXPOSURE = "EXPOSURE", "Has trades with, or credit to, a covered client"
        DISTRIBUTOR = "DISTRIBUTOR", "Paid for placing these notes"

    tranche = models.ForeignKey(Tranche, models.PROTECT, related_name="orders")
    party = models.ForeignKey(Party, models.PROTECT, related_name="bond_orders")
    wallet = models.ForeignKey(Wallet, models.PROTECT, related_name="+")
    commitment = models.CharField(max_length=64, help_text="SHA-256 of the opening")
    conflicts = models.JSONField(default=list)
    opening = models.TextField(blank=True, help_text="canonical JSON of the ladder, once revealed")
    nonce = models.CharField(max_length=64, blank=True, help_text="ties the opening to its bidder; not published")
    revealed_at = models.DateTimeField(null=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.PLACED)
    placed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["tranche", "commitment"], name="commitment_once"),
            models.UniqueConstraint(
                fields=["tranche", "party"],
                condition=Q(state__in=["PLACED", "REVEALED"]),
                name="one_order_in_the_book",
            ),
        ]


class Allocation(Row):
    """What an order got in one round of payment. The first round is the clearing; a later one hands on, at the same
    spread, what others did not pay for."""

    class State(models.TextChoices):
        DUE = "DUE", "To be paid"
        PAID = "PAID", "Paid"
        FAILED = "FAILED", "Not paid in full in time"
        LAPSED = "LAPSED", "Lapsed with the offering, which was pulled"

    order = models.ForeignKey(Order, models.PROTECT, related_name="allocations")
    tranche = models.ForeignKey(Tranche, models.PROTECT, related_name="allocations")
    party = models.ForeignKey(Party, models.PROTECT, related_name="bond_allocations")
    payment_round = models.PositiveSmallIntegerField(default=1)
    units = BaseUnitsField()
    paid_units = BaseUnitsField(default=0)
    spread_bps = models.PositiveIntegerField()
    pay_by = models.DateTimeField(null=True)
    state = models.CharField(max_length=6, choices=State.choices, default=State.DUE)
    settled_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["order", "payment_round"], name="allocation_once_a_round"),
            models.CheckConstraint(
                name="allocation_is_positive", condition=Q(units__gt=0, paid_units__range=(0, F("units")))
            ),
        ]


class NotePayment(Row):
    """Cash of a wallet for units of a class, as the escrow logged it at finality. Append-only."""

    tranche = models.ForeignKey(Tranche, models.PROTECT, related_name="payments")
    allocation = models.ForeignKey(Allocation, models.PROTECT, related_name="payments")
    party = models.ForeignKey(Party, models.PROTECT, related_name="note_payments")
    wallet_address = models.CharField(max_length=42)
    units = BaseUnitsField()
    transaction_hash = models.CharField(max_length=66)
    log_index = models.PositiveIntegerField()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["allocation", "transaction_hash", "log_index"], name="payment_once_an_allocation"
            ),
            models.CheckConstraint(name="payment_is_positive", condition=Q(units__gt=0)),
        ]
