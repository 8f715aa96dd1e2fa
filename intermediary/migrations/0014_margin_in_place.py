import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """A tick rewrites every requirement and adds a point of history to each: with fewer indexes, and in place."""

    dependencies = [
        ("intermediary", "0013_book_versions"),
    ]

    operations = [
        migrations.AlterField(
            model_name="marginpoint",
            name="cell",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="margin_points",
                to="intermediary.cell",
            ),
        ),
        migrations.AlterField(
            model_name="marginpoint",
            name="valuation",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="intermediary.valuation",
            ),
        ),
        migrations.AlterField(
            model_name="marginstate",
            name="valuation",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, to="intermediary.valuation"
            ),
        ),
        # Beside its old self a row needs no new index entries.
        migrations.RunSQL(
            "ALTER TABLE intermediary_marginstate SET (fillfactor = 45)",
            "ALTER TABLE intermediary_marginstate RESET (fillfactor)",
        ),
    ]
