from pathlib import Path

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import intermediary.ids
import intermediary.models.base

SQL = Path(__file__).parent.parent / "sql"
PROTECT = django.db.models.deletion.PROTECT


class Migration(migrations.Migration):
    """Where units of notes moved, as the chain says it; holdings follow."""

    dependencies = [("bonds", "0007_structuring")]

    operations = [
        migrations.CreateModel(
            name="NoteTransfer",
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
                ("sender", models.CharField(max_length=42)),
                ("receiver", models.CharField(max_length=42)),
                ("units", intermediary.models.base.BaseUnitsField()),
                (
                    "standing",
                    models.CharField(
                        choices=[
                            ("HELD", "In a holder's wallet"),
                            ("ISSUED", "Issued to its holder"),
                            ("UNKNOWN", "At an address that nobody proved"),
                            ("BARRED", "With a covered client or its affiliate"),
                        ],
                        help_text="where the units lie now",
                        max_length=8,
                    ),
                ),
                ("transaction_hash", models.CharField(max_length=66)),
                ("log_index", models.PositiveIntegerField()),
                ("block_number", models.PositiveBigIntegerField()),
                ("moved_at", models.DateTimeField(help_text="time of the block")),
                (
                    "receiver_party",
                    models.ForeignKey(null=True, on_delete=PROTECT, related_name="+", to="intermediary.party"),
                ),
                (
                    "sender_party",
                    models.ForeignKey(null=True, on_delete=PROTECT, related_name="+", to="intermediary.party"),
                ),
                ("tranche", models.ForeignKey(on_delete=PROTECT, related_name="transfers", to="bonds.tranche")),
            ],
            options={"ordering": ["-id"]},
        ),
        migrations.AddConstraint(
            model_name="notetransfer",
            constraint=models.UniqueConstraint(fields=("transaction_hash", "log_index"), name="note_transfer_once"),
        ),
        migrations.RunSQL((SQL / "0008_transfers.sql").read_text(), migrations.RunSQL.noop),
    ]
