"""The replay's controls, one row: how fast, paused or not, how far it has come, and whether a fresh world is wanted;
and how the live market is doing. The rows of `operations` belong to this app too."""

from django.db import models

from intermediary.config.operations.rows import (  # noqa: F401  # Django finds them here
    Alarm,
    AlarmAcknowledgement,
    AlarmNotice,
    LookRound,
    ProcessReport,
)


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


class LiveMarket(models.Model):
    """How the live market is doing, for people: what the last look gave, why there is none, and what got stuck. One
    row, absent where a replay or nobody drives; all times are of the wall."""

    only_row = models.BooleanField(primary_key=True, default=True)
    looked_at = models.DateTimeField(help_text="when the exchanges were asked last")
    seen_at = models.DateTimeField(null=True, help_text="when that last gave a market")
    refused_since = models.DateTimeField(null=True, help_text="the first look that gave none, since one did")
    refused_at = models.DateTimeField(null=True, help_text="the last look that was refused")
    refusals = models.PositiveIntegerField(default=0, help_text="looks in a row that gave none")
    refusal = models.CharField(max_length=60, blank=True, help_text="name of the last refusal; kept when it is over")
    said = models.CharField(max_length=300, blank=True, help_text="the last refusal in words")
    silent = models.JSONField(default=dict, help_text="source -> why it gave nothing, at the last refusal")
    overtaken = models.PositiveIntegerField(default=0, help_text="markets that a newer one overtook, since the start")
    given_up = models.PositiveIntegerField(default=0, help_text="markets that were not waited for any longer, ever")
    given_up_at = models.DateTimeField(null=True, help_text="when that happened last")
    stuck_as_of = models.DateTimeField(null=True, help_text="platform time of the market that was given up last")
    stuck = models.CharField(max_length=200, blank=True, help_text="the parts of its requirements that were missing")

    class Meta:
        verbose_name_plural = "live market"
        constraints = [models.CheckConstraint(name="live_market_is_one_row", condition=models.Q(only_row=True))]

    def __str__(self) -> str:
        return f"Live market, looked at {self.looked_at:%d %b %Y %H:%M:%S}"
