"""What lies in a series' escrow, as the chain says it at final blocks. Append-only, for everyone to read."""

from django.db import models

from bonds.models.series import Series
from intermediary.models.base import BaseUnitsField, Row


class EscrowReading(Row):
    """One look at an escrow and its notes at one final block; base units of the settlement token."""

    series = models.ForeignKey(Series, models.PROTECT, related_name="escrow_readings")
    block_number = models.PositiveBigIntegerField()
    block_hash = models.CharField(max_length=66)
    block_time = models.DateTimeField()
    balance_base_units = BaseUnitsField(help_text="settlement tokens that the escrow holds")
    principal_base_units = BaseUnitsField(help_text="outstanding principal of all classes")
    owed_base_units = BaseUnitsField(help_text="coupons and repayments that holders have not taken out")
    notes = models.JSONField(help_text="tranche id -> principal, supply, written_down, redeemed as decimal strings")

    class Meta:
        ordering = ["-block_number"]
        constraints = [models.UniqueConstraint(fields=["series", "block_number"], name="escrow_read_once_a_block")]

    @property
    def liabilities_base_units(self) -> int:
        """What the escrow must hold at least."""
        return self.principal_base_units + self.owed_base_units

    @property
    def over_base_units(self) -> int:
        """What it holds beyond that; negative: the collateral is short."""
        return self.balance_base_units - self.liabilities_base_units

    @property
    def short_base_units(self) -> int:
        """What is missing in it; 0 while every unit of principal is covered."""
        return max(0, -self.over_base_units)
