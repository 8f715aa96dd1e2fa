import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import intermediary.ids
import intermediary.models.base


class Migration(migrations.Migration):
    dependencies = [
        ("config", "0001_rights"),
        ("intermediary", "0007_margin_history"),
        ("risk", "0001_engine"),
    ]

    operations = [
        migrations.CreateModel(
            name="UncoveredRisk",
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
                    "layers_base_units",
                    intermediary.models.base.BaseUnitsField(help_text="what funded layers can still pay"),
                ),
                ("probability", models.FloatField(help_text="of any loss beyond the layers within a year")),
                (
                    "expected_base_units",
                    intermediary.models.base.BaseUnitsField(
                        help_text="mean loss beyond the layers within a year, rounded up"
                    ),
                ),
                (
                    "cell",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="uncovered_risk",
                        to="intermediary.cell",
                    ),
                ),
                (
                    "tick",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="risk.tick"),
                ),
            ],
            options={
                "verbose_name": "UNCOVERED risk",
                "verbose_name_plural": "live UNCOVERED risk",
            },
        ),
        # Published for every relationship under its anonymous code: no row policy (D1).
        migrations.RunSQL("GRANT SELECT ON risk_uncoveredrisk TO bulkhead_portal;", migrations.RunSQL.noop),
    ]
