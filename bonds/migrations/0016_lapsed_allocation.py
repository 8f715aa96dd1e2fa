from pathlib import Path

from django.db import migrations, models

SQL = Path(__file__).parent.parent / "sql"


class Migration(migrations.Migration):
    """An allocation that a pulled offering asks nothing for any more is not a failed one."""

    dependencies = [("bonds", "0015_rolls")]

    operations = [
        migrations.AlterField(
            model_name="allocation",
            name="state",
            field=models.CharField(
                choices=[
                    ("DUE", "To be paid"),
                    ("PAID", "Paid"),
                    ("FAILED", "Not paid in full in time"),
                    ("LAPSED", "Lapsed with the offering, which was pulled"),
                ],
                default="DUE",
                max_length=6,
            ),
        ),
        migrations.RunSQL(
            (SQL / "0016_lapsed_allocation.sql").read_text(), (SQL / "0016_lapsed_allocation.undo.sql").read_text()
        ),
    ]
