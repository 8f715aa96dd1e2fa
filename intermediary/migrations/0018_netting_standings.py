from django.db import migrations

from intermediary.sql import run_file


class Migration(migrations.Migration):
    """A requirement rests on whether the party's positions net, too."""

    dependencies = [
        ("intermediary", "0017_valuation_once"),
    ]

    operations = [
        run_file("0018_netting_standings"),
    ]
