from django.db import migrations, models


class Migration(migrations.Migration):
    """Logs stand in no index that another begins with, and in none that is asked for what is applied: nearly all."""

    dependencies = [
        ("settlement", "0025_batches_in_place"),
    ]

    operations = [
        migrations.RemoveConstraint("chainlog", "log_once"),
        migrations.AddConstraint("chainlog", models.UniqueConstraint(fields=("block", "log_index"), name="log_once")),
        migrations.RemoveIndex("chainlog", "settlement__applied_4a21c2_idx"),
        migrations.AddIndex(
            "chainlog", models.Index(fields=["block"], name="unapplied_logs", condition=models.Q(("applied", False)))
        ),
        migrations.AlterField(
            "chainlog",
            "block",
            models.ForeignKey("settlement.chainblock", models.PROTECT, related_name="logs", db_index=False),
        ),
    ]
