from django.db import migrations

from intermediary.sql import run_file


class Migration(migrations.Migration):
    """What has come back on a determined default is published."""

    dependencies = [
        ("intermediary", "0028_pricing_rules"),
        ("config", "0001_rights"),
    ]

    operations = [run_file("0029_recoveries")]
