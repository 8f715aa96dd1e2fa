from django.db import migrations, models


class Migration(migrations.Migration):
    """A batch that the chain does not take is counted once a while, not once a look."""

    dependencies = [("settlement", "0014_fence")]
    operations = [
        migrations.AddField(
            "batch",
            "refused_at",
            models.DateTimeField(null=True, help_text="when that was last counted, wall clock"),
        )
    ]
