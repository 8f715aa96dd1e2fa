import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import intermediary.ids
import intermediary.models.base


class Migration(migrations.Migration):
    """Coins whose fate is a party's own: no margin of it or its affiliates."""

    dependencies = [
        ("intermediary", "0014_margin_in_place"),
    ]

    operations = [
        migrations.CreateModel(
            name="OwnToken",
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
                ("underlying", models.CharField(help_text="as prices and instruments name it", max_length=12)),
                (
                    "party",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="own_tokens", to="intermediary.party"
                    ),
                ),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("party", "underlying"), name="own_token_once")],
            },
        ),
    ]
