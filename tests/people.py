"""People in tests: only the owner of the schema enters them, and in a test session the worker's login may become it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib.auth.models import User
from django.db import connection, transaction

from intermediary.models import Membership, Party


@contextmanager
def as_owner() -> Iterator[None]:
    """Run the block's queries as the owner, within the transaction of the test if it has one."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL ROLE bulkhead_owner")
        yield
        cursor.execute("SET LOCAL ROLE NONE")


def person(username: str, **fields: Any) -> User:
    """A user with a log-in."""
    with as_owner():
        return User.objects.create_user(username, **fields)


def member(user: User, party: Party | None) -> Membership:
    """Let a person act for a party."""
    assert party is not None, "people act for parties"
    with as_owner():
        return Membership.objects.create(user=user, party=party)
