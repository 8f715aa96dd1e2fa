from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent.parent / "sql"


class Migration(migrations.Migration):
    """Who may write which of settlement's tables, and the laws its rows keep by themselves."""

    dependencies = [("settlement", "0001_initial"), ("config", "0001_rights")]
    operations = [migrations.RunSQL((SQL / "0002_rights.sql").read_text(), (SQL / "0002_rights.undo.sql").read_text())]
