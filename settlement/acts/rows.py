"""An act that two people decided on, and how far it is.

The body is the proposal's, to the letter, or one of the `acts` it lists: the database takes no act without an approved
proposal, and lets nothing of it be changed afterwards but how far it is.
"""

from django.db import models
from django.db.models import Q

from intermediary.models import Proposal
from intermediary.models.base import Row
from settlement import chains


class ChainAct(Row):
    """One act. `part` tells apart several that one proposal decided on."""

    class Kind(models.TextChoices):
        RELATIONSHIP = "RELATIONSHIP", "Open a relationship"
        AMEND = "AMEND", "Record amended terms"
        SERIES = "SERIES", "Set up a series"
        ELIGIBLE = "ELIGIBLE", "Enter eligible holders"
        ALLOT = "ALLOT", "Allot notes"
        CLOSE = "CLOSE", "Close an offering"
        PULL = "PULL", "Pull an offering"
        REFUND = "REFUND", "Pay subscribers back"
        SUSPEND = "SUSPEND", "Suspend transfers of notes"
        CAP = "CAP", "Change an outflow cap"
        CAP_NOW = "CAP_NOW", "Change an outflow cap at once"
        RULEBOOK = "RULEBOOK", "Publish a rulebook"
        CHALLENGE = "CHALLENGE", "Challenge a loss notice"
        RULE = "RULE", "Rule on a challenged notice"
        CANCEL_LOSS = "CANCEL_LOSS", "Take a loss notice back"
        CALL = "CALL", "Make a restricted call"

    class State(models.TextChoices):
        OPEN = "OPEN", "Under way"
        STOPPING = "STOPPING", "Being stopped"
        DONE = "DONE", "Done"
        STOPPED = "STOPPED", "Stopped"

    UNFINISHED = (State.OPEN, State.STOPPING)

    proposal = models.ForeignKey(Proposal, models.PROTECT, related_name="+")
    part = models.PositiveSmallIntegerField(default=0)
    kind = models.CharField(max_length=12, choices=Kind.choices)
    chain = models.CharField(max_length=20, default=chains.here)
    body = models.TextField(help_text="canonical JSON of what was decided")
    state = models.CharField(max_length=8, choices=State.choices, default=State.OPEN)
    step = models.CharField(max_length=60, blank=True, help_text="what is to be done next")
    key = models.CharField(max_length=12, blank=True, help_text="whose key does it")
    said = models.CharField(max_length=300, blank=True, help_text="why it does not go on")
    ready_at = models.DateTimeField(null=True, help_text="when a scheduled call may be made")
    steps_done = models.PositiveSmallIntegerField(default=0)
    steps_known = models.PositiveSmallIntegerField(default=0, help_text="0 before the chain was looked at")
    made = models.JSONField(default=dict, help_text="step -> address of the contract it made")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["proposal", "part"], name="act_once_a_proposal"),
            models.CheckConstraint(
                name="act_scheduled_while_under_way",
                condition=Q(ready_at__isnull=True) | Q(state__in=["OPEN", "STOPPING"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} ({self.proposal.hash[:12]})"
