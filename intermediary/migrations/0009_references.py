import django.db.models.deletion
from django.db import migrations, models

from intermediary.sql import run_file


class Migration(migrations.Migration):
    dependencies = [
        ("intermediary", "0008_coverage_calls"),
    ]

    operations = [
        migrations.AlterField(
            model_name="lot",
            name="trade",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="lots", to="intermediary.trade"
            ),
        ),
        run_file("0009_references"),
    ]
