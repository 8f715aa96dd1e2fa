"""A world of its own for one command: a database and a chain that start empty and go with it.

Nothing of the platform that may be running is touched; the embedded servers live in a temporary directory.
"""

import contextlib
import os
from collections.abc import Iterator

from django.core.management import call_command
from django.db import connections

from intermediary.config.services import Services, services
from intermediary.config.settings import DATABASE_ROLES, database_from_url
from intermediary.config.supervisor import database_roles
from intermediary.config.supervisor.state import StateDirectory

WORKER, OWNER = "worker", "owner"


@contextlib.contextmanager
def scratch_services(*names: str) -> Iterator[Services]:
    """PostgreSQL (with the platform's logins) and what else is named, in a directory that is removed at the end."""
    state = StateDirectory.temporary()
    with services("postgres", *names, state=state, environment={}) as running:
        database_roles.create_roles(state, running.postgres_admin_url)
        os.environ.update({key: value for key, value in running.environment.items() if key != "DATABASE_URL"})
        yield running


@contextlib.contextmanager
def migrated_database(running: Services, name: str) -> Iterator[dict[str, str]]:
    """An empty, migrated database as the default connection, under the worker's login; yields its URLs by role."""
    database_roles.create_database(running.postgres_admin_url, name)
    urls = database_roles.urls(running.state, running.postgres_admin_url, name)
    with _connected(urls, OWNER):
        call_command("migrate", verbosity=0, interactive=False)
    with _connected(urls, WORKER):
        yield urls


@contextlib.contextmanager
def _connected(urls: dict[str, str], role: str) -> Iterator[None]:
    connection = connections["default"]
    before = dict(connection.settings_dict)
    connection.close()
    connection.settings_dict.update(database_from_url(urls[DATABASE_ROLES[role]]))
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict.update(before)
