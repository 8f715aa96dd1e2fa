"""Who bid for a class of notes, and what it got. Investors see only their own."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from bonds.models.series import Tranche
from intermediary.models import Party, Wallet
from intermediary.models.base import BaseUnitsField, Row


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
