from django.db import migrations

from intermediary.sql import run_file


class Migration(migrations.Migration):
    """Platform time comes first: every later table defaults to it."""

    initial = True
    dependencies = []
    operations = [run_file("0001_clock")]
