from django.db import migrations


class Migration(migrations.Migration):
    """A client reads why its own requirement was not renewed in the last market; of nobody else's it learns nothing."""

    dependencies = [
        ("risk", "0014_known_to"),
        ("config", "0001_rights"),
    ]

    operations = [
        migrations.RunSQL(
            """
            CREATE FUNCTION own_refusal(asked uuid) RETURNS text LANGUAGE sql STABLE SECURITY DEFINER
            SET search_path = pg_catalog, public AS $$
                SELECT shard.refused ->> cell.code
                FROM risk_tickshard shard, intermediary_cell cell
                WHERE shard.tick_id = (SELECT id FROM risk_tick WHERE done_at IS NOT NULL ORDER BY id DESC LIMIT 1)
                    AND cell.id = asked AND asked IN (SELECT tenant_cells()) AND shard.refused ->> cell.code IS NOT NULL
            $$;
            """,
            "DROP FUNCTION own_refusal(uuid);",
        ),
    ]
