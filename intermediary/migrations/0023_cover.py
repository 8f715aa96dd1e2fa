from django.db import migrations, models

from intermediary.sql import run_file


class Migration(migrations.Migration):
    """A credit line can wait for the offering that would cover it."""

    dependencies = [
        ("intermediary", "0022_eligibility"),
    ]

    operations = [
        migrations.AlterField(
            model_name="creditline",
            name="state",
            field=models.CharField(
                choices=[
                    ("AWAITING", "Awaiting cover"),
                    ("ACTIVE", "Active"),
                    ("EXPIRED", "Expired"),
                    ("REDUCED", "Replaced"),
                    ("CANCELLED", "Cancelled"),
                    ("LAPSED", "Lapsed without cover"),
                ],
                default="ACTIVE",
                max_length=10,
            ),
        ),
        migrations.AddConstraint(
            model_name="creditline",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state", "AWAITING")), fields=("cell",), name="one_line_awaiting_cover"
            ),
        ),
        run_file("0023_cover"),
    ]
