from django.db import migrations, models

# What each of its vaults has a statement of, or of a later one, was handed out; what was passed over is so now.
HANDED_OUT = """
UPDATE settlement_batch AS batch SET handed_out = true
WHERE state = 'FINAL' AND NOT EXISTS (
    SELECT FROM settlement_batchmovement AS movement
    LEFT JOIN settlement_vaultstatement AS statement ON statement.target_id = movement.vault_id
    WHERE movement.batch_id = batch.id AND COALESCE(statement.batch_number, 0) < batch.number)
"""


class Migration(migrations.Migration):
    """A batch may become final after a later one: each says whether its statements were handed out."""

    dependencies = [("settlement", "0026_logs_in_fewer_indexes")]
    operations = [
        migrations.AddField(
            "batch",
            "handed_out",
            models.BooleanField(default=False, help_text="final, and each vault has its statement"),
        ),
        migrations.RunSQL(HANDED_OUT, migrations.RunSQL.noop),
        migrations.AddIndex(
            "batch",
            models.Index(condition=models.Q(("handed_out", False)), fields=["state"], name="batches_to_hand_out"),
        ),
    ]
