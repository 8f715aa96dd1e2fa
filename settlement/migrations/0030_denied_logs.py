from django.db import migrations, models


class Migration(migrations.Migration):
    """A log that no node shows any more keeps its row and leaves its place."""

    dependencies = [
        ("settlement", "0029_strays"),
    ]

    operations = [
        migrations.AddField(
            "chainlog",
            "denied",
            models.BooleanField(
                db_default=False, default=False, help_text="every node says now that its block has no such log"
            ),
        ),
        migrations.RemoveConstraint("chainlog", "log_once"),
        migrations.AddConstraint(
            "chainlog",
            models.UniqueConstraint(
                condition=models.Q(("denied", False)), fields=("block", "log_index"), name="log_once"
            ),
        ),
        migrations.AddConstraint(
            "chainlog",
            models.CheckConstraint(
                condition=models.Q(("denied", False), ("applied", False), _connector="OR"),
                name="denied_log_is_not_booked",
            ),
        ),
    ]
