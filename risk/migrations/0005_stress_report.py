import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import intermediary.ids
import intermediary.models.base


class Migration(migrations.Migration):
    dependencies = [
        ("intermediary", "0014_margin_in_place"),
        ("risk", "0004_partial_ticks"),
    ]

    operations = [
        migrations.CreateModel(
            name="StressReport",
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
                ("body", models.JSONField()),
                (
                    "cell",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="stress_report",
                        to="intermediary.cell",
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
    ]
