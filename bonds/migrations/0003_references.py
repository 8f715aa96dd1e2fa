from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent.parent / "sql"


class Migration(migrations.Migration):
    """Acts and layers keep to the cell of their slice."""

    dependencies = [("bonds", "0002_rules"), ("intermediary", "0009_references")]
    operations = [
        migrations.RunSQL((SQL / "0003_references.sql").read_text(), (SQL / "0003_references.undo.sql").read_text())
    ]
