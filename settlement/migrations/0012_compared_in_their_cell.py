from django.db import migrations

TABLES = ("comparedvault", "vaultstatement")
ADD = [
    f"ALTER TABLE settlement_{table} ADD CONSTRAINT {table}_in_its_cell"
    " FOREIGN KEY (cell_id, target_id) REFERENCES intermediary_chaintarget (cell_id, id)"
    for table in TABLES
]
DROP = [f"ALTER TABLE settlement_{table} DROP CONSTRAINT {table}_in_its_cell" for table in TABLES]
TARGET = "ALTER TABLE intermediary_chaintarget"


class Migration(migrations.Migration):
    """What was compared, and what was stated, of a vault is of the vault's own cell."""

    dependencies = [("settlement", "0011_rows_of_a_chain"), ("intermediary", "0020_checks_once")]
    operations = [
        migrations.RunSQL(
            [f"{TARGET} ADD CONSTRAINT target_in_cell UNIQUE (cell_id, id)", *ADD],
            [*DROP, f"{TARGET} DROP CONSTRAINT target_in_cell"],
        )
    ]
