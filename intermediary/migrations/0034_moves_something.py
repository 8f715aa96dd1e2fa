from django.db import migrations

from intermediary.sql import run_file


class Migration(migrations.Migration):
    """No movement is below zero, and none with an entry is of nothing."""

    dependencies = [
        ("intermediary", "0033_suspense_taken"),
    ]

    operations = [
        run_file("0034_moves_something"),
    ]
