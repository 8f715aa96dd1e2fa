"""The replay's controls, one row: how fast, paused or not, how far it has come, and whether a fresh world is wanted."""

from django.db import models


class Replay(models.Model):
    """The state of the demo's market. The feed reads it before each bar; officers change it in the admin."""

    class State(models.TextChoices):
        RUNNING = "RUNNING", "Running"
        PAUSED = "PAUSED", "Paused"
        ENDED = "ENDED", "Ended"

    only_row = models.BooleanField(primary_key=True, default=True)
    state = models.CharField(max_length=8, choices=State.choices, default=State.RUNNING)
    seconds_a_bar = models.DecimalField(
        max_digits=6, decimal_places=2, help_text="real seconds between two bars, at least; work may take longer"
    )
    source = models.CharField(max_length=40, help_text="recording or reconstruction")
    started_at = models.DateTimeField(help_text="platform time of the first bar")
    bar_at = models.DateTimeField(help_text="platform time of the last bar offered")
    next_bar_at = models.DateTimeField(null=True)
    ends_at = models.DateTimeField()
    waits_for = models.CharField(max_length=120, blank=True, help_text="what the next bar waits for")
    wallets_looked_at = models.DateTimeField(
        null=True, editable=False, help_text="platform time at which the demo's wallets last looked for calls"
    )
    autopilot = models.BooleanField(default=True, help_text="demo officers approve what the demo needs by themselves")
    fresh_world_wanted = models.BooleanField(default=False)

    class Meta:
        verbose_name_plural = "replay"
        constraints = [
            models.CheckConstraint(name="replay_is_one_row", condition=models.Q(only_row=True)),
            models.CheckConstraint(name="replay_pace", condition=models.Q(seconds_a_bar__gte=0)),
        ]

    def __str__(self) -> str:
        return f"Replay of {self.started_at:%d %b %Y}, {self.source}"
