"""Writing many rows as one parameter.

Django writes a placeholder for each value of each row; for a thousand movements at once, writing and reading those
takes longer than storing the rows. JSON keeps ints and decimals whole.
"""

import json
from collections.abc import Sequence
from typing import Any

from django.db import connection
from psycopg import sql

from intermediary.models.base import Row

_INSERT = sql.SQL(
    "INSERT INTO {table} ({columns}) SELECT {columns} FROM jsonb_populate_recordset(NULL::{table}, %s::jsonb)"
)

TIMES = ("at", "recorded_at")  # thousands of them take as long to read as the rows to write


def insert_all(rows: Sequence[Row]) -> None:
    """Insert new rows of one table in this order. Their times are the database's, and read when somebody asks."""
    if not rows:
        return
    model = rows[0]._meta
    fields = [field for field in model.concrete_fields if not field.has_db_default()]
    insert = _INSERT.format(
        table=sql.Identifier(model.db_table),
        columns=sql.SQL(", ").join(sql.Identifier(str(field.column)) for field in fields),
    )
    body = [
        {field.column: _plain(field.get_prep_value(getattr(row, field.attname))) for field in fields} for row in rows
    ]
    with connection.cursor() as cursor:
        cursor.execute(insert, [json.dumps(body)])
    for row in rows:
        for name in TIMES:
            row.__dict__.pop(name)  # deferred
        row._state.adding, row._state.db = False, connection.alias


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | dict | list) else str(value)
