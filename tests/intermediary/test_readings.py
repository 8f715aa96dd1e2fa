"""Readings by one message: the rows of each statement, planned once for a connection, and again for the next one."""

from uuid import UUID

from django.db import connection
from pytest_django import DjangoAssertNumQueries

from intermediary import readings
from intermediary.ids import uuid7
from tests.conftest import TestDatabase

GIVEN = "SELECT key FROM unnest(%s) AS key ORDER BY key"
TWICE = "SELECT count(*) FROM unnest(%s || %s) AS key"
OF_NOBODY = "SELECT 'all', 5"


def planned() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'reading_%'")
        found: int = cursor.fetchone()[0]
    return found


def test_each_reading_answers_in_its_place(
    committing_db: TestDatabase, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    keys = sorted(uuid7() for _ in range(3))
    expected = [[(key,) for key in keys], [("all", 5)], [(6,)]]
    assert readings.of(keys, GIVEN, OF_NOBODY, TWICE) == expected
    assert planned() == 3
    with django_assert_num_queries(1):
        assert readings.of(keys, GIVEN, OF_NOBODY, TWICE) == expected
    nobody: list[UUID] = []
    assert readings.of(nobody, GIVEN) == [[]]
    assert planned() == 3
    connection.close()
    assert readings.of(keys, TWICE, OF_NOBODY) == [[(6,)], [("all", 5)]]
    assert planned() == 2
