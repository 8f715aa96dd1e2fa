from django.db import migrations

from intermediary.sql import run_file


class Migration(migrations.Migration):
    dependencies = [("intermediary", "0003_ledger")]
    operations = [run_file("0004_rules")]
