from django.db import migrations


class Migration(migrations.Migration):
    """The risk of a layer stands in the layer's own cell."""

    dependencies = [("risk", "0002_uncovered_risk")]
    operations = [
        migrations.RunSQL(
            "ALTER TABLE risk_layerrisk ADD CONSTRAINT layerrisk_layer_same_cell"
            " FOREIGN KEY (cell_id, layer_id) REFERENCES intermediary_layer (cell_id, id)",
            "ALTER TABLE risk_layerrisk DROP CONSTRAINT layerrisk_layer_same_cell",
        )
    ]
