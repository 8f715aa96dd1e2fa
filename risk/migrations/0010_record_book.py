"""The book of a requirement that is kept, beside its hash: so that it can be computed again."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("risk", "0008_newest_snapshot"),
    ]

    operations = [
        migrations.AddField(
            model_name="requirementrecord",
            name="book",
            field=models.JSONField(default=dict, help_text="those positions and that margin: risk.book reads them"),
        ),
    ]
