from django.db import migrations

from intermediary.sql import run_file


class Migration(migrations.Migration):
    dependencies = [
        ("intermediary", "0009_references"),
    ]

    operations = [run_file("0010_lines")]
