from django.db import migrations


class Migration(migrations.Migration):
    """A movement goes to the vault that its instruction names, so to its own cell's."""

    dependencies = [("settlement", "0004_lookout"), ("intermediary", "0009_references")]
    operations = [
        migrations.RunSQL(
            "ALTER TABLE settlement_batchmovement ADD CONSTRAINT movement_goes_to_its_target"
            " FOREIGN KEY (vault_id, instruction_id) REFERENCES intermediary_chaininstruction (target_id, id)",
            "ALTER TABLE settlement_batchmovement DROP CONSTRAINT movement_goes_to_its_target",
        )
    ]
