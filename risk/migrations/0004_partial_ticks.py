from django.db import migrations, models


class Migration(migrations.Migration):
    """A tick of some underlyings only."""

    dependencies = [
        ("risk", "0003_references"),
    ]

    operations = [
        migrations.AddField(
            model_name="tick",
            name="coins",
            field=models.JSONField(
                help_text="underlyings that moved; who holds none of them keeps its figures; null: all are renewed",
                null=True,
            ),
        ),
    ]
