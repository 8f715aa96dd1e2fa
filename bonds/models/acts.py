"""What is done to a slice over its life, from the ledger to the chain and back."""

from typing import cast

from django.db import models
from django.db.models import Q

from bonds.models.series import Slice
from intermediary.models import Cell, ChainInstruction
from intermediary.models.base import BaseUnitsField, Row


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
        LAPSED = "LAPSED", "Lapsed at final maturity"

    UNFINISHED = (State.NOTICED, State.CHALLENGE, State.MOVING)

    slice = models.ForeignKey(Slice, models.PROTECT, related_name="acts")
    cell = models.ForeignKey(Cell, models.PROTECT, related_name="+")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    state = models.CharField(max_length=10, choices=State.choices)
    amount_base_units = BaseUnitsField()
    ruled_base_units = BaseUnitsField(  # type: ignore[misc]  # the plugin wants a generic field
        null=True, help_text="what an expert's ruling left of it; nothing: no ruling"
    )
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
            models.UniqueConstraint(
                fields=["slice"], condition=~Q(state__in=["DONE", "LAPSED"]), name="one_act_in_flight"
            ),
            models.CheckConstraint(name="act_moves_something", condition=Q(amount_base_units__gt=0)),
        ]

    @property
    def moves_base_units(self) -> int:
        """What it moves: the amount noticed, or what a ruling left of it."""
        ruled = cast("int | None", self.ruled_base_units)
        return self.amount_base_units if ruled is None else ruled
