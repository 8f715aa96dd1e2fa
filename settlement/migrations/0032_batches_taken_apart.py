from django.db import migrations, models


class Migration(migrations.Migration):
    """The poster asks at every step whether a signed batch was taken apart whose number is free still."""

    dependencies = [("settlement", "0031_subscribed_strays")]
    operations = [
        migrations.AddIndex(
            "batch",
            models.Index(
                condition=models.Q(("state", "REFUSED")), fields=["house", "number"], name="batches_taken_apart"
            ),
        ),
    ]
