from pathlib import Path

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import F, Q

from intermediary.models.base import BaseUnitsField

SQL = Path(__file__).parent.parent / "sql"


class Migration(migrations.Migration):
    """An election to roll forward knows its bid, and what of the principal repaid was paid for the next notes."""

    dependencies = [("bonds", "0014_overtaken")]

    operations = [
        migrations.AddField(
            model_name="rollforward",
            name="order",
            field=models.ForeignKey(
                help_text="the last bid that was made from it",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="roll_forwards",
                to="bonds.order",
            ),
        ),
        migrations.AddField(
            model_name="rollforward",
            name="rolled_base_units",
            field=BaseUnitsField(default=0, help_text="of it, what was paid for the new notes"),
        ),
        migrations.AlterField(
            model_name="rollforward",
            name="amount_base_units",
            field=BaseUnitsField(default=0, help_text="principal that was repaid to its wallet since"),
        ),
        migrations.AddConstraint(
            model_name="rollforward",
            constraint=models.CheckConstraint(
                name="no_more_rolled_than_repaid",
                condition=Q(rolled_base_units__range=(0, F("amount_base_units")))
                & (Q(rolled_base_units=0) | Q(state="APPLIED")),
            ),
        ),
        migrations.RunSQL((SQL / "0015_rolls.sql").read_text(), (SQL / "0015_rolls.undo.sql").read_text()),
    ]
