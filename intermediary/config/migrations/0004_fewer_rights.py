from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent.parent / "sql"


class Migration(migrations.Migration):
    """Nobody makes people but the owner, and a request sees no one's password hash or session but its own."""

    dependencies = [("config", "0003_wallets_look")]
    operations = [migrations.RunSQL((SQL / "0004_fewer_rights.sql").read_text(), migrations.RunSQL.noop)]
