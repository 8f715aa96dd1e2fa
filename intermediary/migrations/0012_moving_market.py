from django.db import migrations, models


class Migration(migrations.Migration):
    """Where a moving market writes and looks at every valuation."""

    dependencies = [
        ("intermediary", "0011_chain_decisions"),
    ]

    operations = [
        # A payment rewrites every position of a relationship. Beside its old self a row needs no new index entries.
        migrations.RunSQL(
            "ALTER TABLE intermediary_position SET (fillfactor = 45)",
            "ALTER TABLE intermediary_position RESET (fillfactor)",
        ),
        migrations.AddIndex(
            model_name="chaininstruction",
            index=models.Index(
                condition=models.Q(("kind", "DEBIT")), fields=["target", "at"], name="debits_of_a_vault_by_time"
            ),
        ),
    ]
