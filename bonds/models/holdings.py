"""Who holds which notes. Investors see only their own."""

from datetime import datetime, timedelta

from django.db import models
from django.db.models import Q

from bonds.models.series import Tranche
from intermediary.models import Party, Wallet
from intermediary.models.base import BaseUnitsField, Row


def in_order(block_time: datetime, log_index: int) -> datetime:
    """The time of a block, whole seconds, with its logs a microsecond apart: what happened in one keeps its order."""
    return block_time + timedelta(microseconds=log_index)


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


class NoteTransfer(Row):
    """Units of a class that moved between two addresses, as the chain says it, final; append-only. The addresses are
    the truth; the parties are whom they belong to here, empty for an address that nobody proved. Issue comes from the
    zero address. An investor sees what it sent and what it received."""

    NOBODY = "0x" + "0" * 40  # where issued units come from

    class Standing(models.TextChoices):
        HELD = "HELD", "In a holder's wallet"
        ISSUED = "ISSUED", "Issued to its holder"
        UNKNOWN = "UNKNOWN", "At an address that nobody proved"
        BARRED = "BARRED", "With a covered client or its affiliate"

    tranche = models.ForeignKey(Tranche, models.PROTECT, related_name="transfers")
    sender = models.CharField(max_length=42)
    receiver = models.CharField(max_length=42)
    sender_party = models.ForeignKey(Party, models.PROTECT, null=True, related_name="+")
    receiver_party = models.ForeignKey(Party, models.PROTECT, null=True, related_name="+")
    units = BaseUnitsField()
    standing = models.CharField(max_length=8, choices=Standing.choices, help_text="where the units lie now")
    transaction_hash = models.CharField(max_length=66)
    log_index = models.PositiveIntegerField()
    block_number = models.PositiveBigIntegerField()
    moved_at = models.DateTimeField(help_text="time of the block")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["transaction_hash", "log_index"], name="note_transfer_once"),
        ]

    @property
    def happened_at(self) -> datetime:
        """When it happened on chain, in the order of its block's logs; never later than it was noticed."""
        return min(in_order(self.moved_at, self.log_index), self.at)
