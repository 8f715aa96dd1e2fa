from django.db import migrations, models


class Migration(migrations.Migration):
    """Between two cycles of variation margin a tick renews requirements and pays nobody."""

    dependencies = [
        ("risk", "0010_record_book"),
    ]

    operations = [
        migrations.AddField(
            model_name="tick",
            name="settles",
            field=models.BooleanField(
                default=True, help_text="whether a cycle of variation margin ends here: all pay or are paid"
            ),
        ),
        migrations.AddField(
            model_name="tick",
            name="keeps_history",
            field=models.BooleanField(default=True, help_text="whether each gets a point of its margin's history"),
        ),
    ]
