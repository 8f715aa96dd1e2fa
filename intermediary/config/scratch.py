"""A world of its own for one command: a database and a chain that start empty and go with it.

Nothing of the platform that may be running is touched: the embedded servers live in a temporary directory, addresses
in the environment are not looked at, and all is gone at the end, also when the command is interrupted.
"""

import contextlib
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.db import connections, transaction

from intermediary import clock
from intermediary.config import schema
from intermediary.config.services import Services, services
from intermediary.config.settings import DATABASE_ROLES, database_from_url
from intermediary.config.supervisor import database_roles
from intermediary.config.supervisor.anvil import rpc
from intermediary.config.supervisor.state import StateDirectory

WORKER, OWNER = "worker", "owner"
INTERRUPTS = (signal.SIGTERM, signal.SIGHUP)  # SIGINT is an exception already


@contextlib.contextmanager
def scratch_services(*names: str) -> Iterator[Services]:
    """PostgreSQL (with the platform's logins) and what else is named, in a directory that is removed at the end.

    Inside, settings and the environment of child processes name these services and no others.
    """
    with (
        _interrupts_unwind(),
        _temporary_state() as state,
        services("postgres", *names, state=state, environment={}) as running,
    ):
        database_roles.create_roles(state, running.postgres_admin_url)
        addresses = {key: value for key, value in running.environment.items() if key != "DATABASE_URL"}
        with _addresses_in_force(addresses):
            yield running


@contextlib.contextmanager
def migrated_database(running: Services, name: str, *, clock_from: datetime | None = None) -> Iterator[dict[str, str]]:
    """An empty, migrated database as the default connection, under the worker's login; yields its URLs by role.

    `clock_from` puts its clock there, to be moved by a replay; without it the clock is real time.
    """
    database_roles.create_database(running.postgres_admin_url, name)
    urls = database_roles.urls(running.state, running.postgres_admin_url, name)
    with connected(urls, OWNER):
        schema.make_current(running, name, partial(call_command, "migrate", verbosity=0, interactive=False))
        if clock_from is not None:
            with transaction.atomic(durable=True):
                clock.start_replay(clock_from)
    with connected(urls, WORKER):
        yield urls


@contextlib.contextmanager
def forked(running: Services, original: str, name: str) -> Iterator[dict[str, str]]:
    """A copy of a database that nobody is connected to, used like `migrated_database`, on a chain that is put back at
    the end to the block it had: one world can so be carried on in several ways."""
    block = rpc(running.anvil_url, "evm_snapshot")
    database_roles.create_database(running.postgres_admin_url, name, template=original)
    urls = database_roles.urls(running.state, running.postgres_admin_url, name)
    try:
        with connected(urls, WORKER):
            yield urls
    finally:
        database_roles.drop_database(running.postgres_admin_url, name)
        rpc(running.anvil_url, "evm_revert", block)


@contextlib.contextmanager
def connected(urls: Mapping[str, str], role: str) -> Iterator[None]:
    """The default connection under another role's login, while the block runs; `urls` by environment variable."""
    with connected_to(urls[DATABASE_ROLES[role]]):
        yield


@contextlib.contextmanager
def connected_to(url: str) -> Iterator[None]:
    """The default connection to another address, while the block runs."""
    connection = connections["default"]
    before = dict(connection.settings_dict)
    connection.close()
    connection.settings_dict.update(database_from_url(url))
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict.update(before)


@contextlib.contextmanager
def _temporary_state() -> Iterator[StateDirectory]:
    state = StateDirectory.temporary()
    try:
        yield state
    finally:
        shutil.rmtree(state.root, ignore_errors=True)


@contextlib.contextmanager
def _addresses_in_force(addresses: Mapping[str, str]) -> Iterator[None]:
    environment, chains = dict(os.environ), settings.CHAIN_RPC_URLS
    os.environ.update(addresses)
    settings.CHAIN_RPC_URLS = [url for url in (addresses.get("CHAIN_RPC_URLS"),) if url]
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(environment)
        settings.CHAIN_RPC_URLS = chains


@contextlib.contextmanager
def _interrupts_unwind() -> Iterator[None]:
    """A signal to end becomes an exit that runs every `finally`; only the main thread may ask for that."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[signal.Signals, Any] = {number: signal.signal(number, _exit) for number in INTERRUPTS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _exit(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)
