"""A lookup for many keys at once: `cell_id__among=ids` is `cell_id = ANY(one array)`.

Django's `in` writes a placeholder for each key, and a tick asks a dozen tables about a thousand relationships: writing
and reading those took longer than the answers.
"""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from django.core.exceptions import EmptyResultSet
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field, ForeignObject, Lookup
from django.db.models.sql.compiler import SQLCompiler

NONE = "{}"


@ForeignObject.register_lookup
@Field.register_lookup
class Among(Lookup):
    """Whether a UUID column is one of the given keys; none is among no keys."""

    lookup_name = "among"
    prepare_rhs = False

    def __init__(self, lhs: Any, rhs: Collection[UUID]) -> None:
        super().__init__(lhs, "{" + ",".join([key.hex for key in rhs]) + "}")

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> tuple[str, tuple[str | int, ...]]:
        """The condition and its one parameter; among no keys there is nothing to ask for."""
        if self.rhs == NONE:
            raise EmptyResultSet
        column, parameters = self.process_lhs(compiler, connection)
        return f"{column} = ANY(%s::uuid[])", (*parameters, self.rhs)
