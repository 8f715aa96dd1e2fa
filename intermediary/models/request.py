"""Commands asked for on a page and carried out by a worker: the page stores the wish and learns the outcome."""

from django.conf import settings
from django.db import models

from intermediary.models.base import Row
from intermediary.models.cell import Cell


class CommandRequest(Row):
    """One wish. The worker fills in the outcome; a refusal keeps its code and numbers."""

    class State(models.TextChoices):
        PENDING = "PENDING", "Being worked on"
        DONE = "DONE", "Done"
        REFUSED = "REFUSED", "Refused"

    command = models.CharField(max_length=40)
    cell = models.ForeignKey(Cell, models.PROTECT, null=True, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    body = models.JSONField()
    state = models.CharField(max_length=8, choices=State.choices, default=State.PENDING)
    outcome = models.JSONField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
