"""Writing many rows as one parameter.

Django writes a placeholder for each value of each row; for a thousand movements at once, writing and reading those
takes longer than storing the rows. JSON keeps ints and decimals whole.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from django.db import connection
from psycopg import sql

from intermediary.models.base import Row

# What is written together is of one moment: asking for it once a row takes a fifth of the time that writing does.
_INSERT = sql.SQL(
    "INSERT INTO {table} ({columns}, at)"
    " SELECT {columns}, (SELECT platform_now()) FROM json_populate_recordset(NULL::{table}, %s::json)"
)

_STOP = sql.SQL("")
_LEAVE = sql.SQL(" ON CONFLICT DO NOTHING")
_UPDATE = sql.SQL(" ON CONFLICT ({key}) DO UPDATE SET {changes}")

TIMES = ("at", "recorded_at")  # thousands of them take as long to read as the rows to write


def insert_all(rows: Sequence[Row]) -> None:
    """Insert new rows of one table in this order. Their times are the database's, and read when somebody asks."""
    _write(rows)
    for row in rows:
        for name in TIMES:
            row.__dict__.pop(name)  # deferred
        row._state.adding, row._state.db = False, connection.alias


def insert_new(rows: Sequence[Row]) -> None:
    """Insert those of the rows that break no unique key; the others are there already. Rows here are not to be used any
    more: they do not learn which they were."""
    _write(rows, unless_known=True)


def replace_all(rows: Sequence[Row], *, key: str) -> None:
    """Write rows of one table, each over the one that has the same in the unique column `key`, which keeps its id and
    times. Rows here are not to be used any more: they do not learn what they have replaced."""
    _write(rows, key)


def insert_plain(model: type[Row], rows: Sequence[Mapping[str, Any]], *, unless_known: bool = False) -> None:
    """Insert rows of one table that nobody needs as objects: making those takes longer than storing them. Each is given
    by column, all with the same columns, in values of JSON or UUIDs, and no floats: what is no number would become
    nothing. What is left out is the database's to fill in. `unless_known`: those of the rows that break no unique
    key."""
    if rows:
        _execute(model, list(rows[0]), msgspec.json.encode(rows).decode(), _LEAVE if unless_known else _STOP)


def _write(rows: Sequence[Row], key: str | None = None, *, unless_known: bool = False) -> None:
    if not rows:
        return
    model = rows[0]._meta
    fields = [field for field in model.concrete_fields if not (field.has_db_default() or field.generated)]
    end: sql.Composable = _STOP
    if key is not None:
        names = {field.attname: sql.Identifier(str(field.column)) for field in fields}
        changes = [sql.SQL("{0} = excluded.{0}").format(name) for at, name in names.items() if at not in ("id", key)]
        end = _UPDATE.format(key=names[key], changes=sql.SQL(", ").join(changes))
    elif unless_known:
        end = _LEAVE
    by_column = {str(field.column): field for field in fields}
    body = [
        {column: _plain(field.get_prep_value(getattr(row, field.attname))) for column, field in by_column.items()}
        for row in rows
    ]
    _execute(type(rows[0]), list(by_column), json.dumps(body), end)


def _execute(model: type[Row], columns: Sequence[str], rows: str, end: sql.Composable) -> None:
    named = {"table": sql.Identifier(model._meta.db_table), "columns": sql.SQL(", ").join(map(sql.Identifier, columns))}
    with connection.cursor() as cursor:
        cursor.execute(_INSERT.format(**named) + end, [rows])


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float | dict | list) else str(value)
