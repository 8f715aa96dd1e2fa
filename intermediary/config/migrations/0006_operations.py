from pathlib import Path

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

import intermediary.ids

SQL = Path(__file__).parent.parent / "sql"


class Migration(migrations.Migration):
    dependencies = [
        ("config", "0005_live_market"),
        ("intermediary", "0018_netting_standings"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="ProcessReport",
            fields=[
                ("name", models.CharField(max_length=40, primary_key=True, serialize=False)),
                ("host", models.CharField(max_length=120)),
                ("pid", models.PositiveIntegerField()),
                ("started_at", models.DateTimeField(help_text="when this process began to report")),
                ("seen_at", models.DateTimeField(help_text="when it reported last")),
                ("steps", models.PositiveBigIntegerField(default=0, help_text="steps since it started")),
                ("step_seconds", models.FloatField(default=0, help_text="what its last step took")),
                ("rss_bytes", models.PositiveBigIntegerField(default=0, help_text="resident memory")),
                ("peak_rss_bytes", models.PositiveBigIntegerField(default=0, help_text="the most it has ever held")),
                (
                    "problem",
                    models.CharField(
                        blank=True, help_text="name of what its last step failed on; empty: none", max_length=60
                    ),
                ),
                ("said", models.CharField(blank=True, help_text="the same in words", max_length=300)),
                ("problem_since", models.DateTimeField(help_text="since when every step has failed", null=True)),
            ],
        ),
        migrations.CreateModel(
            name="Alarm",
            fields=[
                (
                    "id",
                    models.UUIDField(default=intermediary.ids.uuid7, editable=False, primary_key=True, serialize=False),
                ),
                ("rule", models.CharField(max_length=40)),
                (
                    "subject",
                    models.CharField(blank=True, help_text="which process, house, key: where it holds", max_length=120),
                ),
                (
                    "severity",
                    models.CharField(choices=[("CRITICAL", "Critical"), ("WARNING", "Warning")], max_length=8),
                ),
                (
                    "said",
                    models.CharField(help_text="with the figures of the last look while it is open", max_length=300),
                ),
                ("raised_at", models.DateTimeField()),
                ("cleared_at", models.DateTimeField(null=True)),
            ],
            options={
                "indexes": [models.Index(fields=["cleared_at", "raised_at"], name="config_alar_cleared_b1b6a6_idx")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("cleared_at__isnull", True)),
                        fields=("rule", "subject"),
                        name="one_open_alarm_a_subject",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="AlarmAcknowledgement",
            fields=[
                (
                    "id",
                    models.UUIDField(default=intermediary.ids.uuid7, editable=False, primary_key=True, serialize=False),
                ),
                ("note", models.CharField(max_length=500)),
                (
                    "recorded_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                (
                    "alarm",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="acknowledgements", to="config.alarm"
                    ),
                ),
                (
                    "officer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
            },
        ),
        migrations.CreateModel(
            name="LookRound",
            fields=[
                ("only_row", models.BooleanField(default=True, primary_key=True, serialize=False)),
                ("at", models.DateTimeField(help_text="when it was done last")),
                ("seconds", models.FloatField(help_text="what it took")),
                (
                    "held",
                    models.JSONField(
                        default=dict, help_text="rule and subject -> since when, of what is not an alarm yet"
                    ),
                ),
                (
                    "queues",
                    models.JSONField(
                        default=dict, help_text="queue -> messages that wait; empty when the broker is silent"
                    ),
                ),
                ("node", models.JSONField(default=dict, help_text="what the node says: see settlement figures")),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("only_row", True)), name="look_round_is_one_row")
                ],
            },
        ),
        migrations.CreateModel(
            name="AlarmNotice",
            fields=[
                (
                    "id",
                    models.UUIDField(default=intermediary.ids.uuid7, editable=False, primary_key=True, serialize=False),
                ),
                ("what", models.CharField(choices=[("RAISED", "Raised"), ("CLEARED", "Cleared")], max_length=8)),
                ("channel", models.CharField(choices=[("WEBHOOK", "Webhook"), ("EMAIL", "E-mail")], max_length=8)),
                (
                    "state",
                    models.CharField(
                        choices=[("WAITING", "Waiting"), ("SENT", "Sent"), ("GIVEN_UP", "Given up")],
                        default="WAITING",
                        max_length=8,
                    ),
                ),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                ("next_try_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("sent_at", models.DateTimeField(null=True)),
                ("error", models.CharField(blank=True, max_length=200)),
                (
                    "alarm",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="notices", to="config.alarm"
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("state", "WAITING")), fields=["next_try_at"], name="alarm_notices_waiting"
                    )
                ],
                "constraints": [models.UniqueConstraint(fields=("alarm", "what", "channel"), name="alarm_notice_once")],
            },
        ),
        migrations.RunSQL((SQL / "0006_operations.sql").read_text(), (SQL / "0006_operations.undo.sql").read_text()),
    ]
