import django.db.models.deletion
from django.db import migrations, models

from intermediary.sql import run_file


class Migration(migrations.Migration):
    """That the valuation of a requirement exists is asked once for a statement, not once for a row."""

    dependencies = [
        ("intermediary", "0016_standings"),
    ]

    operations = [
        migrations.AlterField(
            model_name="marginstate",
            name="valuation",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                to="intermediary.valuation",
            ),
        ),
        run_file("0017_valuation_once"),
    ]
