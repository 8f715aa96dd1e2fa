from pathlib import Path

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import intermediary.ids
import intermediary.models.base
from intermediary.models.base import BaseUnitsField

SQL = Path(__file__).parent.parent / "sql"


class Migration(migrations.Migration):
    """What lies in a series' escrow at final blocks."""

    dependencies = [("bonds", "0008_transfers")]

    operations = [
        migrations.CreateModel(
            name="EscrowReading",
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
                ("block_number", models.PositiveBigIntegerField()),
                ("block_hash", models.CharField(max_length=66)),
                ("block_time", models.DateTimeField()),
                ("balance_base_units", BaseUnitsField(help_text="settlement tokens that the escrow holds")),
                ("principal_base_units", BaseUnitsField(help_text="outstanding principal of all classes")),
                (
                    "owed_base_units",
                    BaseUnitsField(help_text="coupons and repayments that holders have not taken out"),
                ),
                (
                    "notes",
                    models.JSONField(
                        help_text="tranche id -> principal, supply, written_down, redeemed as decimal strings"
                    ),
                ),
                (
                    "series",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="escrow_readings", to="bonds.series"
                    ),
                ),
            ],
            options={"ordering": ["-block_number"]},
        ),
        migrations.AddConstraint(
            model_name="escrowreading",
            constraint=models.UniqueConstraint(fields=("series", "block_number"), name="escrow_read_once_a_block"),
        ),
        migrations.RunSQL((SQL / "0009_collateral.sql").read_text(), migrations.RunSQL.noop),
    ]
