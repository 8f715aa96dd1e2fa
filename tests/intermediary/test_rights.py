"""What each login cannot do, by raw SQL under it: make people, read their secrets, decide for another process."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from intermediary.config.tenancy import assume, become_tenant
from intermediary.models import Party, Wallet
from tests.conftest import RoleSwitch, TestDatabase
from tests.intermediary.builders import client_cell
from tests.people import member, person

PEOPLE = (
    "auth_user", "auth_group", "auth_permission", "auth_user_groups", "auth_user_user_permissions",
    "auth_group_permissions", "intermediary_membership",
)  # fmt: skip


def rows(query: str, *values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchall() if cursor.description else []


def denied(query: str, *values: Any) -> None:
    with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
        rows(query, *values)


@pytest.fixture
def two_clients(committing_db: TestDatabase, as_role: RoleSwitch) -> list[User]:
    """Two people of two parties, each signed in."""
    found = []
    for name in ("one", "two"):
        party = client_cell(name).party
        found.append(person(name, password="secret"))
        member(found[-1], party)
        assert party is not None
        Wallet.objects.create(party=party, address=f"0x{name:0>40}", proof="0x")
    with as_role("owner"):
        for user in found:
            Session.objects.create(session_key=f"key-of-{user}", session_data="", expire_date=timezone.now())
    return found


@pytest.fixture
def web(two_clients: list[User], as_role: RoleSwitch) -> Iterator[None]:
    with as_role("web"):
        yield


def test_a_worker_makes_no_people_and_changes_none(two_clients: list[User]) -> None:
    for table in PEOPLE:
        denied(f"INSERT INTO {table} DEFAULT VALUES")
    denied("UPDATE auth_user SET is_staff = true")
    denied("UPDATE intermediary_membership SET party_id = %s", Party.objects.all()[0].id)
    denied("UPDATE intermediary_wallet SET address = '0x'")
    for query in ("SELECT FROM django_session", "INSERT INTO django_session VALUES ('k', '', now())"):
        denied(query)


def test_the_chains_processes_know_no_people_and_the_approver_writes_signatures_only(
    two_clients: list[User], as_role: RoleSwitch
) -> None:
    for role in ("poster", "approver"):
        with as_role(role):
            for table in (*PEOPLE, "django_session"):
                denied(f"SELECT FROM {table}")
    with as_role("approver"):
        denied("UPDATE intermediary_chaininstruction SET state = 'FINAL'")
    with as_role("poster"):
        rows("UPDATE intermediary_chaininstruction SET state = 'BATCHED'")


@pytest.mark.usefixtures("web")
def test_a_request_reads_the_row_of_the_person_it_serves_and_no_other(two_clients: list[User]) -> None:
    one = two_clients[0]
    names = "SELECT username FROM auth_user"
    with transaction.atomic():
        assume("portal")
        assert rows(names) == []
        assert rows("SELECT FROM intermediary_membership") == []
        rows("SELECT set_config('bulkhead.signing_in', 'two', true)")
        assert rows(names) == [("two",)]
        rows("SELECT set_config('bulkhead.signing_in', '', true)")
        become_tenant(one.pk, [])
        assert rows(names) == [("one",)]
        assert rows("SELECT user_id FROM intermediary_membership") == [(one.pk,)]
        for table in ("auth_group", "auth_user_groups"):
            denied(f"SELECT FROM {table}")


@pytest.mark.usefixtures("web")
@pytest.mark.parametrize("role", ["portal", "staff"])
def test_a_request_reads_and_ends_the_session_it_brought_and_no_other(role: str) -> None:
    with transaction.atomic():
        assume(role)
        assert rows("SELECT session_key FROM django_session") == []
        rows("DELETE FROM django_session")
        rows("SELECT set_config('bulkhead.session', 'key-of-one', true)")
        assert rows("SELECT session_key FROM django_session") == [("key-of-one",)]
        with pytest.raises(DatabaseError, match="row-level security"), transaction.atomic():
            rows("INSERT INTO django_session VALUES ('key-of-two-2', '', now())")
        rows("DELETE FROM django_session")
        rows("SELECT set_config('bulkhead.session', 'key-of-two', true)")
        assert rows("SELECT session_key FROM django_session") == [("key-of-two",)]
