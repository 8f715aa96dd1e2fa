from django.db import migrations


class Migration(migrations.Migration):
    """A client reads the stress report of its own relationship; the intermediary's stays with officers."""

    dependencies = [
        ("risk", "0005_stress_report"),
        ("config", "0001_rights"),
    ]

    operations = [
        migrations.RunSQL(
            "SELECT protect('risk_stressreport', 'cell_id IN (SELECT tenant_cells())');", migrations.RunSQL.noop
        ),
    ]
