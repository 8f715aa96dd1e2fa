from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent.parent / "sql"


class Migration(migrations.Migration):
    """The risk period of a series begins at its issue, not at midnight of that day."""

    dependencies = [("bonds", "0012_rulings")]

    operations = [
        migrations.RunSQL(
            (SQL / "0013_risk_from_issue.sql").read_text(), (SQL / "0013_risk_from_issue.undo.sql").read_text()
        ),
    ]
