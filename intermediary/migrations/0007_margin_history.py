import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import intermediary.ids
import intermediary.models.base
from intermediary.sql import run_file


class Migration(migrations.Migration):
    dependencies = [
        ("intermediary", "0006_variation_and_checks"),
        ("config", "0001_rights"),
    ]

    operations = [
        migrations.CreateModel(
            name="MarginPoint",
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
                ("required_base_units", intermediary.models.base.BaseUnitsField()),
                ("held_base_units", intermediary.models.base.BaseUnitsField(help_text="after haircut")),
                (
                    "exposure_base_units",
                    intermediary.models.base.BaseUnitsField(
                        help_text="positive: the client owes unsettled variation margin"
                    ),
                ),
                (
                    "cell",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="margin_points",
                        to="intermediary.cell",
                    ),
                ),
                (
                    "valuation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="intermediary.valuation"
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
                "constraints": [models.UniqueConstraint(fields=("cell", "valuation"), name="margin_point_once")],
            },
        ),
        run_file("0007_margin_history"),
    ]
