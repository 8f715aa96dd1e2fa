from pathlib import Path

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import intermediary.ids
import intermediary.models.base

SQL = Path(__file__).parent.parent / "sql"


class Migration(migrations.Migration):
    """A pricing ruleset stands as two officers decided on it, for everybody to read."""

    dependencies = [
        ("bonds", "0009_collateral"),
        ("intermediary", "0028_pricing_rules"),
    ]

    operations = [
        migrations.CreateModel(
            name="StoredRuleset",
            fields=[
                (
                    "id",
                    models.UUIDField(default=intermediary.ids.uuid7, editable=False, primary_key=True, serialize=False),
                ),
                ("at", models.DateTimeField(db_default=intermediary.models.base.PlatformNow(), editable=False)),
                (
                    "recorded_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                ("version", models.PositiveIntegerField(unique=True)),
                ("body", models.TextField(help_text="canonical JSON, as `PricingRuleset.body`")),
                (
                    "hash",
                    models.CharField(
                        help_text="SHA-256 of the body; the database recomputes it", max_length=64, unique=True
                    ),
                ),
                (
                    "proposal",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="intermediary.proposal"
                    ),
                ),
            ],
            options={
                "ordering": ["-version"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("version__gte", 3)), name="stored_ruleset_follows_the_standard"
                    )
                ],
            },
        ),
        migrations.RunSQL((SQL / "0010_rulesets.sql").read_text(), migrations.RunSQL.noop),
    ]
