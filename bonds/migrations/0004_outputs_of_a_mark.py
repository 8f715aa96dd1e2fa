from django.db import migrations, models


class Migration(migrations.Migration):
    """A mark keeps every other figure of its price; the name of a measure may carry its hash."""

    dependencies = [
        ("bonds", "0003_references"),
    ]

    operations = [
        migrations.AddField(
            model_name="notemark",
            name="outputs",
            field=models.JSONField(default=dict, help_text="every other figure of the price; see docs/pricing.md"),
        ),
        migrations.AlterField(
            model_name="notemark",
            name="measure",
            field=models.CharField(help_text="pricing measure with its parameters", max_length=80),
        ),
    ]
