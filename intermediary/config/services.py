"""PostgreSQL, Valkey and anvil for whoever needs them: missing ones are started, running ones left alone.

    with services("postgres", "anvil") as running:
        os.environ.update(running.environment)

The supervisor, management commands and tests all come through here. A service lives until its last user has
left, even when that user was killed. A part whose address the environment already names is never started:
`DATABASE_*_URL`, `BROKER_URL` and `CHAIN_RPC_URLS` replace the embedded one each by itself.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from intermediary.config.supervisor import anvil, database_roles, postgres, valkey
from intermediary.config.supervisor.embedded import Running, Service, hold
from intermediary.config.supervisor.progress import CHECKOUT
from intermediary.config.supervisor.state import CannotStart, StateDirectory

EMBEDDED: dict[str, Callable[[], Service]] = {
    "postgres": postgres.EmbeddedPostgres,
    "valkey": valkey.EmbeddedValkey,
    "anvil": anvil.EmbeddedAnvil,
}
REPLACED_BY = {
    "postgres": ("DATABASE_URL", "DATABASE_OWNER_URL", "DATABASE_ADMIN_URL"),
    "valkey": ("BROKER_URL",),
    "anvil": ("CHAIN_RPC_URLS",),
}


@dataclass
class Services:
    """What runs, and the environment variables by which processes find it."""

    state: StateDirectory
    running: dict[str, Running] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def postgres_admin_url(self) -> str:
        """The embedded cluster's superuser, database `postgres`."""
        return postgres.admin_url(self.state, self.running["postgres"].port)

    def admin_url_of(self, database: str) -> str:
        """The superuser's address of another database of the embedded cluster."""
        return postgres.admin_url(self.state, self.running["postgres"].port, database)

    @property
    def valkey_url(self) -> str:
        return self.environment["BROKER_URL"]

    @property
    def anvil_url(self) -> str:
        return self.environment["CHAIN_RPC_URLS"].split(",")[0]


def default_state() -> StateDirectory:
    """The state directory of this checkout: `BULKHEAD_VAR`, default `var` beside `manage.py`."""
    return StateDirectory(Path(os.environ.get("BULKHEAD_VAR") or CHECKOUT / "var"))


@contextlib.contextmanager
def services(
    *names: str,
    state: StateDirectory | None = None,
    environment: Mapping[str, str] = os.environ,
    on_start: Callable[[str], None] = lambda _name: None,
) -> Iterator[Services]:
    """Hold the named services ("postgres", "valkey", "anvil") for the length of the block.

    `on_start` is told the name of each before it is started or joined.
    Raises CannotStart when one does not answer, with the end of its log.
    """
    unknown = set(names) - set(EMBEDDED)
    if unknown:
        raise CannotStart("service_is_known", f"There is no service called {', '.join(sorted(unknown))}.")
    held = Services(state or default_state())
    with contextlib.ExitStack() as stack:
        for name in names:
            if any(environment.get(variable) for variable in REPLACED_BY[name]):
                continue
            on_start(name)
            running = stack.enter_context(hold(EMBEDDED[name](), held.state))
            held.running[name] = running
            held.environment.update(_addresses(held.state, running))
        yield held


def _addresses(state: StateDirectory, running: Running) -> dict[str, str]:
    if running.name == "postgres":
        return database_roles.urls(state, postgres.admin_url(state, running.port))
    if running.name == "valkey":
        return {"BROKER_URL": valkey.url(state, running.port)}
    return {"CHAIN_RPC_URLS": anvil.url(running.port)}
