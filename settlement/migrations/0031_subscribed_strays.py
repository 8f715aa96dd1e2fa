from django.db import migrations

# Subscriptions that became known after their payments had been taken for strays are looked at once more, with the next
# final block.
AGAIN = """
UPDATE settlement_chainlog AS log SET applied = false
FROM settlement_chainblock AS block
WHERE block.id = log.block_id AND block.canonical AND block.finalized AND log.applied AND log.name = 'Subscribed'
    AND log.transaction_hash IN (SELECT transaction_hash FROM settlement_stray WHERE amount_base_units > 0)
"""


class Migration(migrations.Migration):
    """What a subscriber paid is no stray, whenever its subscription was read."""

    dependencies = [("settlement", "0030_denied_logs")]
    operations = [migrations.RunSQL(AGAIN, migrations.RunSQL.noop)]
