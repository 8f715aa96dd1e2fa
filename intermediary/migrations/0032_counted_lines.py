from django.db import migrations

from intermediary.sql import run_file


class Migration(migrations.Migration):
    """All lines that one statement writes move their accounts together."""

    dependencies = [
        ("intermediary", "0031_unfinished"),
    ]

    operations = [
        run_file("0032_counted_lines"),
    ]
