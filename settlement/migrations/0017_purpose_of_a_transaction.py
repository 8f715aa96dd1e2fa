from django.db import migrations

# What became of a transaction is the poster's to write; what it is for and what it says is fixed when it is stored.
RIGHTS = """
REVOKE UPDATE ON settlement_chaintransaction FROM bulkhead_poster;
GRANT UPDATE (state, block_number, block_hash, transaction_hash, succeeded)
    ON settlement_chaintransaction TO bulkhead_poster;
"""
BEFORE = "GRANT UPDATE ON settlement_chaintransaction TO bulkhead_poster;"


class Migration(migrations.Migration):
    dependencies = [("settlement", "0016_alarms_of_a_key"), ("config", "0001_rights")]
    operations = [migrations.RunSQL(RIGHTS, BEFORE)]
