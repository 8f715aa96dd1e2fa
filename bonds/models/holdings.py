"""Who holds which notes. Investors see only their own."""

from django.db import models
from django.db.models import Q

from bonds.models.series import Tranche
from intermediary.models import Party, Wallet
from intermediary.models.base import BaseUnitsField, Row


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
