"""Real services for tests: PostgreSQL, Valkey and anvil, started only for the tests that ask for them.

    postgres_admin_url, valkey_url, anvil_url   the servers of this session, empty at first
    db (or @pytest.mark.django_db)    a migrated database; what the test writes is rolled back
    committing_db                     a copy of the migrated database for this test alone, for tests that commit,
                                      use several connections or start processes; of a built world where the test is
                                      marked with @pytest.mark.world(build=…), whose result is `built_world`
    rolled_back_world                 what the `build` of that mark returned, beside its database for a test that does
                                      not commit: what the test writes is rolled back
    chain_url                         anvil, put back after the test to the block it had before

Data lives in a temporary directory without fsync and goes with the session, even when that is killed.
"""

import contextlib
import copy
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection, connections, transaction
from hypothesis import settings as hypothesis_settings
from pytest_django import DjangoDbBlocker

from intermediary.config import schema
from intermediary.config.services import Services, services
from intermediary.config.settings import DATABASE_ROLES, database_from_url
from intermediary.config.supervisor import database_roles
from intermediary.config.supervisor.anvil import rpc
from intermediary.config.supervisor.state import StateDirectory
from tests.transactions import around_all

TEMPLATE = "bulkhead_template"
Worlds = Callable[[Callable[[], Any]], tuple[str, Any]]  # how a world is built -> name of its database, and the result

# Machines are shared: an example that takes long is no fault of the code. Tests that name a number of examples keep it.
hypothesis_settings.register_profile("default", deadline=None)
hypothesis_settings.register_profile("deep", deadline=None, max_examples=10_000)
hypothesis_settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

LONGEST_FIRST = ("test_october_10.py", "test_worked_example.py", "test_journey.py")  # minutes each


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest begin, so that no worker is left with one of them when the others have finished."""
    items.sort(key=lambda item: item.path.name not in LONGEST_FIRST)


@dataclass(frozen=True)
class TestDatabase:
    """One migrated database and its addresses, one a role: `urls["DATABASE_WORKER_URL"]`."""

    __test__ = False
    name: str
    urls: dict[str, str]

    def url_of(self, role: str) -> str:
        """The address for `owner`, `web`, `worker`, `poster` or `approver`."""
        return self.urls[DATABASE_ROLES[role]]


@pytest.fixture(scope="session")
def service_state() -> Iterator[StateDirectory]:
    """The state directory of this test session, with the logs of its services."""
    state = StateDirectory.temporary()
    yield state
    shutil.rmtree(state.root, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(service_state: StateDirectory) -> Iterator[Services]:
    with services("postgres", state=service_state, environment={}) as running:
        database_roles.create_roles(service_state, running.postgres_admin_url)
        with psycopg.connect(running.postgres_admin_url, autocommit=True) as admin:  # see tests.people
            admin.execute("GRANT bulkhead_owner TO bulkhead_worker WITH INHERIT FALSE, SET TRUE")
        yield running


@pytest.fixture(scope="session")
def postgres_admin_url(postgres: Services) -> str:
    return postgres.postgres_admin_url


@pytest.fixture(scope="session")
def valkey_url(service_state: StateDirectory) -> Iterator[str]:
    with services("valkey", state=service_state, environment={}) as running:
        yield running.valkey_url


@pytest.fixture(scope="session")
def anvil_url(service_state: StateDirectory) -> Iterator[str]:
    with services("anvil", state=service_state, environment={}) as running:
        yield running.anvil_url


@pytest.fixture
def chain_url(anvil_url: str) -> str:
    """The chain as it starts. Going back to a snapshot is not enough: anvil counts the blocks of earlier tests among
    those whose states it keeps, and as the oldest goes, so does that of a block of the same hash, of which there are
    many: worlds are loaded again for each test."""
    rpc(anvil_url, "anvil_reset")
    return anvil_url


@pytest.fixture(scope="session")
def migrated_template(postgres: Services, django_db_blocker: DjangoDbBlocker) -> str:
    """The name of a database with today's schema; nobody connects to it, so that it can be copied."""
    database_roles.create_database(postgres.postgres_admin_url, TEMPLATE)

    def migrate() -> None:
        with django_db_blocker.unblock(), _connected_as("owner", _addresses(postgres, TEMPLATE)):
            call_command("migrate", verbosity=0, interactive=False)

    schema.make_current(postgres, TEMPLATE, migrate)
    return TEMPLATE


@pytest.fixture(scope="session")
def django_db_setup(
    postgres: Services, migrated_template: str, django_db_blocker: DjangoDbBlocker
) -> Iterator[TestDatabase]:
    """The database of all tests that roll back, under the worker's role."""
    database = _copy(postgres, migrated_template)
    with django_db_blocker.unblock(), _connected_as("worker", database):
        django_db_blocker.block()
        yield database
        django_db_blocker.restore()


@pytest.fixture(scope="session")
def worlds(postgres: Services, migrated_template: str, django_db_blocker: DjangoDbBlocker) -> Worlds:
    """A database for each world that tests ask for, built by the first of them, and what building it gave."""
    built: dict[Callable[[], Any], tuple[str, Any]] = {}

    def world_of(build: Callable[[], Any]) -> tuple[str, Any]:
        if build not in built:
            database = _copy(postgres, migrated_template)
            with django_db_blocker.unblock(), _connected_as("worker", database):
                built[build] = database.name, build()
        return built[build]

    return world_of


@pytest.fixture
def built_world(request: pytest.FixtureRequest, worlds: Worlds) -> Any:
    """What the `build` of this test's mark returned; the test's own copy."""
    return copy.deepcopy(worlds(_marked_world(request))[1])


def _marked_world(request: pytest.FixtureRequest) -> Any:
    mark = request.node.get_closest_marker("world")
    return mark.kwargs["build"] if mark else None


@pytest.fixture
def committing_db(
    request: pytest.FixtureRequest,
    postgres: Services,
    migrated_template: str,
    worlds: Worlds,
    django_db_blocker: DjangoDbBlocker,
) -> Iterator[TestDatabase]:
    """A database of this test's own; the default connection is a worker's, other roles connect by `url_of`."""
    build = _marked_world(request)
    database = _copy(postgres, worlds(build)[0] if build else migrated_template)
    with django_db_blocker.unblock(), _connected_as("worker", database):
        yield database
    database_roles.drop_database(postgres.postgres_admin_url, database.name)


@pytest.fixture
def rolled_back_world(
    request: pytest.FixtureRequest, postgres: Services, worlds: Worlds, django_db_blocker: DjangoDbBlocker
) -> Iterator[Any]:
    """The test's own copy of the built world's handles, in one transaction that ends as `db` ends: checked, undone."""
    name, result = worlds(_marked_world(request))
    with django_db_blocker.unblock(), _connected_as("worker", _addresses(postgres, name)), around_all():
        yield copy.deepcopy(result)
        if not connection.needs_rollback:
            connection.check_constraints()
        transaction.set_rollback(True)


@pytest.fixture
def as_role(committing_db: TestDatabase) -> "RoleSwitch":
    """`with as_role("poster"):` runs the block's queries under another role's login."""
    return RoleSwitch(committing_db)


@dataclass(frozen=True)
class RoleSwitch:
    database: TestDatabase

    def __call__(self, role: str) -> contextlib.AbstractContextManager[None]:
        return _connected_as(role, self.database)


@pytest.fixture(scope="session")
def market_history_dir() -> Path:
    """The recorded market data; tests of it are skipped where there is none, unless it must be there."""
    directory = Path(os.environ.get("MARKET_HISTORY_DIR") or "var/history")
    if not (directory / "px_5m_perp_10coins_202507_202512.parquet").exists():
        message = f"no recorded market data in {directory}"
        if os.environ.get("MARKET_HISTORY_REQUIRED"):
            pytest.fail(message)
        pytest.skip(message)
    return directory


def _addresses(running: Services, name: str) -> TestDatabase:
    return TestDatabase(name, database_roles.urls(running.state, running.postgres_admin_url, name))


def _copy(running: Services, template: str) -> TestDatabase:
    database = _addresses(running, f"test_{uuid.uuid4().hex[:12]}")
    database_roles.create_database(running.postgres_admin_url, database.name, template=template)
    return database


@contextlib.contextmanager
def _connected_as(role: str, database: TestDatabase) -> Iterator[None]:
    """Point the default connection at one role's address, and back."""
    default = connections["default"]
    before = dict(default.settings_dict)
    default.close()
    default.settings_dict.update(database_from_url(database.url_of(role)))
    try:
        yield
    finally:
        default.close()
        default.settings_dict.update(before)
