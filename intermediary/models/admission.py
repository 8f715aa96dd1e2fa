"""The admission test of a trade, one row for each relationship that it was run on.

A trade has two sides and both read it, so the numbers of a verdict do not stand there: they are the relationship's own.
"""

from django.db import models

from intermediary.models.base import Row
from intermediary.models.cell import Cell
from intermediary.models.trading import Trade


class TradeCheck(Row):
    """One relationship's verdict on one trade, seen by that relationship and by officers only."""

    cell = models.ForeignKey(Cell, models.PROTECT, related_name="trade_checks")
    trade = models.ForeignKey(Trade, models.PROTECT, related_name="checks")
    passed = models.BooleanField()
    numbers = models.JSONField(help_text="the admission test's numbers (D2)")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["trade", "cell"], name="trade_check_once_a_side")]
