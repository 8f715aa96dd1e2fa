from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent.parent / "sql"


class Migration(migrations.Migration):
    """What the database refuses by itself, and who sees which rows."""

    dependencies = [("bonds", "0001_series")]
    operations = [migrations.RunSQL((SQL / "0002_rules.sql").read_text(), migrations.RunSQL.noop)]
