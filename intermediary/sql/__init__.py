"""What the database itself refuses: one immutable, numbered file a migration.

A file that a landed migration runs is never edited; a change is a new file.
"""

from pathlib import Path

from django.db.migrations import RunSQL


def run_file(name: str) -> RunSQL:
    """The migration operation for `intermediary/sql/<name>.sql`; `<name>.undo.sql` reverses it."""
    folder = Path(__file__).parent
    return RunSQL((folder / f"{name}.sql").read_text(), (folder / f"{name}.undo.sql").read_text())
