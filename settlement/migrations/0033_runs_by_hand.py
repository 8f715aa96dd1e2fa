from django.db import migrations, models


class Migration(migrations.Migration):
    """A comparison that a command made says nothing of the blocks before it."""

    dependencies = [
        ("settlement", "0032_batches_taken_apart"),
    ]

    operations = [
        migrations.AddField(
            "reconciliationrun",
            "by_hand",
            models.BooleanField(
                default=False,
                help_text="of a command: the blocks before it may not be compared yet",
            ),
        ),
    ]
