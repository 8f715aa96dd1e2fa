"""Work that one session of the database does at a time."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


@contextmanager
def alone_on(work: str) -> Iterator[bool]:
    """Whether no other session is at this work. The claim goes with the session, however that ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [work])
        alone: bool = cursor.fetchone()[0]
    try:
        yield alone
    finally:
        if alone and connection.connection is not None:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [work])
