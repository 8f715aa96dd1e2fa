import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import intermediary.ids
import intermediary.models.base


class Migration(migrations.Migration):
    """The haircuts of the model, which everybody may read."""

    dependencies = [
        ("config", "0001_rights"),
        ("intermediary", "0014_margin_in_place"),
        ("risk", "0006_own_stress_reports"),
    ]

    operations = [
        migrations.CreateModel(
            name="ModelHaircut",
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
                (
                    "haircut_bps",
                    models.PositiveIntegerField(help_text="the larger of floor and shortfall, plus concentration"),
                ),
                ("floor_bps", models.PositiveIntegerField(help_text="least haircut of the ruleset")),
                (
                    "shortfall_bps",
                    models.PositiveIntegerField(help_text="1 - exp(-ES 99%) over the margin period, rounded up"),
                ),
                (
                    "concentration_bps",
                    models.PositiveIntegerField(help_text="cost of selling all that clients hold, rounded up"),
                ),
                (
                    "asset",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="model_haircut",
                        to="intermediary.asset",
                    ),
                ),
                (
                    "tick",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="risk.tick"),
                ),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.RunSQL("GRANT SELECT ON risk_modelhaircut TO bulkhead_portal;", migrations.RunSQL.noop),
    ]
