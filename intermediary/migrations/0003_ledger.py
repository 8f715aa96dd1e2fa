from django.db import migrations

from intermediary.sql import run_file


class Migration(migrations.Migration):
    dependencies = [("intermediary", "0002_nouns")]
    operations = [run_file("0003_ledger")]
