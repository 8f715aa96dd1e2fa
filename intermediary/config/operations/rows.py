"""What operations remember. All times are of the wall: a replay's clock has nothing to do with a process that hangs.

An alarm is one condition at one subject from when it was raised to when it was cleared; the row stays. Who has read it
is a row of its own, which an officer adds and nobody changes.
"""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from intermediary.ids import uuid7


class ProcessReport(models.Model):
    """The last sign of life of one process, by its name in the process table; several of one name write one row."""

    name = models.CharField(primary_key=True, max_length=40)
    host = models.CharField(max_length=120)
    pid = models.PositiveIntegerField()
    started_at = models.DateTimeField(help_text="when this process began to report")
    seen_at = models.DateTimeField(help_text="when it reported last")
    steps = models.PositiveBigIntegerField(default=0, help_text="steps since it started")
    step_seconds = models.FloatField(default=0, help_text="what its last step took")
    rss_bytes = models.PositiveBigIntegerField(default=0, help_text="resident memory")
    peak_rss_bytes = models.PositiveBigIntegerField(default=0, help_text="the most it has ever held")
    problem = models.CharField(max_length=60, blank=True, help_text="name of what its last step failed on; empty: none")
    said = models.CharField(max_length=300, blank=True, help_text="the same in words")
    problem_since = models.DateTimeField(null=True, help_text="since when every step has failed")

    def __str__(self) -> str:
        return f"{self.name} ({self.host} {self.pid})"


class Alarm(models.Model):
    """One condition that a person must know of, from when it was raised to when it was cleared."""

    class Severity(models.TextChoices):
        CRITICAL = "CRITICAL", "Critical"
        WARNING = "WARNING", "Warning"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    rule = models.CharField(max_length=40)
    subject = models.CharField(max_length=120, blank=True, help_text="which process, house, key: where it holds")
    severity = models.CharField(max_length=8, choices=Severity.choices)
    said = models.CharField(max_length=300, help_text="with the figures of the last look while it is open")
    raised_at = models.DateTimeField()
    cleared_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["rule", "subject"], condition=Q(cleared_at__isnull=True), name="one_open_alarm_a_subject"
            )
        ]
        indexes = [models.Index(fields=["cleared_at", "raised_at"])]

    def __str__(self) -> str:
        return f"{self.rule} {self.subject}".strip()


class AlarmAcknowledgement(models.Model):
    """An officer has read an alarm and says what is being done; the alarm goes on until its condition is gone."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    alarm = models.ForeignKey(Alarm, models.PROTECT, related_name="acknowledgements")
    officer = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    note = models.CharField(max_length=500)
    recorded_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["id"]


class AlarmNotice(models.Model):
    """One message about an alarm to one place, sent until it is taken or given up; its id is the message's."""

    class What(models.TextChoices):
        RAISED = "RAISED", "Raised"
        CLEARED = "CLEARED", "Cleared"

    class Channel(models.TextChoices):
        WEBHOOK = "WEBHOOK", "Webhook"
        EMAIL = "EMAIL", "E-mail"

    class State(models.TextChoices):
        WAITING = "WAITING", "Waiting"
        SENT = "SENT", "Sent"
        GIVEN_UP = "GIVEN_UP", "Given up"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    alarm = models.ForeignKey(Alarm, models.PROTECT, related_name="notices")
    what = models.CharField(max_length=8, choices=What.choices)
    channel = models.CharField(max_length=8, choices=Channel.choices)
    state = models.CharField(max_length=8, choices=State.choices, default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField(db_default=Now())
    sent_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["alarm", "what", "channel"], name="alarm_notice_once")]
        indexes = [models.Index(fields=["next_try_at"], condition=Q(state="WAITING"), name="alarm_notices_waiting")]


class LookRound(models.Model):
    """The last evaluation of all alarms, with what only it asks: the broker's queues, and the node. One row."""

    only_row = models.BooleanField(primary_key=True, default=True)
    at = models.DateTimeField(help_text="when it was done last")
    seconds = models.FloatField(help_text="what it took")
    held = models.JSONField(default=dict, help_text="rule and subject -> since when, of what is not an alarm yet")
    queues = models.JSONField(default=dict, help_text="queue -> messages that wait; empty when the broker is silent")
    node = models.JSONField(default=dict, help_text="what the node says: see settlement figures")

    class Meta:
        constraints = [models.CheckConstraint(name="look_round_is_one_row", condition=Q(only_row=True))]
