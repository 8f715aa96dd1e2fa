from django.contrib.postgres.functions import RandomUUID
from django.db import migrations, models

import intermediary.models.base
from intermediary.sql import run_file


class Migration(migrations.Migration):
    """A name for all that a requirement rests on beside the book, so that a worker may keep it; and documents of
    requirements as text, which every tick writes and nobody looks into."""

    dependencies = [
        ("intermediary", "0015_own_tokens"),
    ]

    operations = [
        migrations.AddField(
            model_name="bookversion",
            name="standing",
            field=models.UUIDField(db_default=RandomUUID()),
        ),
        run_file("0016_standings"),
        migrations.AlterField(
            model_name="marginstate",
            name="breakdown",
            field=intermediary.models.base.DocumentField(
                help_text="lines of the requirement, dollars; they add up to the independent amount"
            ),
        ),
        migrations.AlterField(
            model_name="marginstate",
            name="admission",
            field=intermediary.models.base.DocumentField(help_text="stressed loss against margin and layers (D2)"),
        ),
    ]
