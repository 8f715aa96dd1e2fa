"""Questions that mostly have no answer, asked together.

At every block the watcher asks a dozen things that nearly always are not so: is a call held, has an event failed, has
the approver refused. PostgreSQL answers each in microseconds; the ORM needs hundreds of them to write one down. So they
are written down once a process and asked in one statement; only if that says yes is each asked by itself.
"""

from collections.abc import Callable
from typing import Any

from django.db import connection
from django.db.models import QuerySet

from settlement import chains

Question = Callable[[], QuerySet[Any]]


class AnyOf:
    """Whether one of several queries finds a row. They may depend on the chain of this process, and on nothing else
    that changes while it runs."""

    def __init__(self, *questions: Question) -> None:
        self._questions = questions
        self._written: dict[tuple[str, ...], tuple[str, list[Any]]] = {}

    def exists(self) -> bool:
        """Ask now."""
        of_chain = (chains.here(), *chains.asset_chains())
        if of_chain not in self._written:
            self._written[of_chain] = self._write_down()
        with connection.cursor() as cursor:
            cursor.execute(*self._written[of_chain])
            return bool(cursor.fetchone()[0])

    def _write_down(self) -> tuple[str, list[Any]]:
        parts = [ask().order_by().values("pk").query.sql_with_params() for ask in self._questions]
        asked = " OR ".join(f"EXISTS ({sql})" for sql, _ in parts)
        return f"SELECT {asked}", [value for _, values in parts for value in values]
