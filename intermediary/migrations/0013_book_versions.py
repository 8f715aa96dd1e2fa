import django.db.models.deletion
from django.db import migrations, models

from intermediary.sql import run_file


class Migration(migrations.Migration):
    """Books get a name that changes with them, so that a worker may keep them."""

    dependencies = [
        ("intermediary", "0012_moving_market"),
    ]

    operations = [
        migrations.CreateModel(
            name="BookVersion",
            fields=[
                (
                    "cell",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="intermediary.cell",
                    ),
                ),
                ("held", models.UUIDField()),
                ("settled", models.UUIDField()),
            ],
        ),
        run_file("0013_book_versions"),
    ]
