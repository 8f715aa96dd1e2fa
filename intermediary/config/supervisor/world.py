"""From empty servers to a world that can be used: roles, schema, pages' files, contracts and seed; and back to empty.

A finished world is one mark in the state directory. Whatever is found without it is half-done and is removed
before building again, so that a first start may be cut short anywhere. Each step shows its progress.
"""

import shutil
from collections.abc import Mapping

import psycopg

from intermediary.config.supervisor import anvil, database_roles, embedded
from intermediary.config.supervisor.environment import role_environment
from intermediary.config.supervisor.processes import wait_until
from intermediary.config.supervisor.progress import run_step, say
from intermediary.config.supervisor.state import CannotStart, StateDirectory, hash_of_files
from intermediary.config.supervisor.table import DJANGO

KEEPER_SECONDS = 10.0  # a keeper notices within half a second; saving the chain takes a second or two
WORLD, SCHEMA, FILES = "world", "schema", "page-files"
BUILT = "built"
WISH = "fresh-world-wanted"  # a file: the feed, which reads the wish from the database, leaves it for the supervisor


def world_is_whole(state: StateDirectory) -> bool:
    """Whether a world was built to its end and its chain, if it is ours, was saved."""
    return state.step_done(WORLD, BUILT)


def forget_world(state: StateDirectory) -> None:
    """Mark the world as not built; `empty_chain` and `empty_database` then remove what is left of it."""
    for step in (WORLD, SCHEMA):
        state.forget_step(step)
    (state.root / "welcome.txt").unlink(missing_ok=True)


def wanted_anew(state: StateDirectory) -> bool:
    """Whether the feed was told on a page to start over; the wish is taken by asking."""
    wish = state.run / WISH
    if not wish.exists():
        return False
    wish.unlink()
    return True


def empty_chain(state: StateDirectory) -> None:
    """Remove the embedded chain's saved state. Refused while another command uses the chain."""
    if not _chain_is_stopped(state):
        raise CannotStart("chain_is_unused", "another command uses the demo chain; wait until it has ended.")
    shutil.rmtree(state.root / "anvil", ignore_errors=True)


def empty_database(admin_url: str | None, owner_url: str, *, may_reset: bool) -> None:
    """Make the database empty: drop and make it on a server we administer, else replace its schema if allowed."""
    if admin_url is not None:
        database_roles.drop_database(admin_url)
        database_roles.create_database(admin_url)
        return
    with psycopg.connect(owner_url, autocommit=True) as connection:
        if connection.execute("SELECT to_regclass('django_migrations')").fetchone() == (None,):
            return
        if not may_reset:
            raise CannotStart(
                "database_belongs_to_this_world",
                "the given database holds a world that was not built to its end from here. `make run FRESH=1` empties "
                "it and builds a new one; or set BULKHEAD_VAR to the state directory it was built from.",
            )
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")


def schema_hash() -> str:
    """What the schema is made from: it is migrated again when this changes."""
    return hash_of_files("*/migrations/*", "*/*/migrations/*", "*/sql/*", "*/*/sql/*", "requirements.lock")


def prepare_world(
    state: StateDirectory, shared: Mapping[str, str], databases: Mapping[str, str], *, with_demo: bool
) -> None:
    """Schema, pages' files and, in the demo, contracts and seed; nothing of it twice. Raises StepFailed."""
    owner = role_environment(shared, databases, "owner")
    _step(state, SCHEMA, "Database schema", ("migrate", "--no-input", "-v", "1"), owner, schema_hash())
    static = ("collectstatic", "--no-input", "-v", "0")
    files = hash_of_files("templates/static/**/*", "package-lock.json", "requirements.lock")
    _step(state, FILES, "Pages' style and scripts", static, owner, files)
    if with_demo and not world_is_whole(state):
        say("  … Building the demo world: contracts, agreements, first deposits")
        everything = {**role_environment(shared, databases, "worker"), **databases}
        run_step(
            "Demo world",
            (*DJANGO, "bootstrap_world"),
            log=state.log_file("bootstrap"),
            environment=everything,
            show_output=True,
            reasons_only=True,
        )
    state.mark_done(WORLD, BUILT)


def chain_was_lost(state: StateDirectory) -> bool:
    """Whether the embedded chain forgot what the finished world had written to it."""
    return world_is_whole(state) and _chain_is_stopped(state) and anvil.state_was_lost(state)


def _chain_is_stopped(state: StateDirectory) -> bool:
    """Whether anvil rests; after a killed start its keeper still needs a moment to save it."""
    return wait_until(lambda: not embedded.is_running(state, "anvil"), seconds=KEEPER_SECONDS)


def _step(
    state: StateDirectory, step: str, title: str, command: tuple[str, ...], environment: Mapping[str, str], key: str
) -> None:
    if state.step_done(step, key):
        return
    run_step(title, (*DJANGO, *command), log=state.log_file("start"), environment=environment, reasons_only=True)
    state.mark_done(step, key)
