"""The environment a process is started with: the addresses of its own role only, and where to keep state."""

import os
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

from intermediary.config.supervisor.database_roles import LOGINS
from intermediary.config.supervisor.state import CannotStart, StateDirectory

MARKER = "BULKHEAD_SUPERVISOR"  # in every process of ours and of no other: how strays are recognised
CONNECT_SECONDS = 5.0  # a server on another continent answers within one
DEFAULT_PORTS = {"postgresql": 5432, "postgres": 5432, "redis": 6379, "amqp": 5672, "https": 443, "http": 80}
ROLE_VARIABLES = {
    "owner": "DATABASE_OWNER_URL",
    "web": "DATABASE_URL",
    "worker": "DATABASE_WORKER_URL",
    "poster": "DATABASE_POSTER_URL",
    "approver": "DATABASE_APPROVER_URL",
}


def given_database_urls(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The five addresses of another server when they are given; refused when only some are."""
    given = {variable: environment[variable] for variable in LOGINS if environment.get(variable)}
    missing = sorted(set(LOGINS) - set(given))
    if given and missing:
        raise CannotStart(
            "database_addresses_are_complete",
            f"{', '.join(sorted(given))} is set, so {', '.join(missing)} must be set too: each role has its own login "
            "(`manage.py create_database_roles` makes them).",
            missing=missing,
        )
    return given


def require_given_servers(environment: Mapping[str, str] = os.environ) -> None:
    """Refuse to start over a server of somebody else's that does not even accept a connection."""
    for variable in (*LOGINS, "DATABASE_ADMIN_URL", "BROKER_URL", "CHAIN_RPC_URLS"):
        for address in filter(None, environment.get(variable, "").split(",")):
            parts = urlsplit(address)
            host, port = parts.hostname or "localhost", parts.port or DEFAULT_PORTS.get(parts.scheme, 80)
            try:
                socket.create_connection((host, port), timeout=CONNECT_SECONDS).close()
            except OSError as error:
                raise CannotStart(
                    "given_servers_answer", f"{variable} names {host}:{port}, which does not answer ({error.strerror})."
                ) from error


def shared_environment(state: StateDirectory, addresses: Mapping[str, str]) -> dict[str, str]:
    """What every process gets: this process's environment, the addresses of broker and chain, no database address."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DATABASE_")}
    environment.update({key: value for key, value in addresses.items() if not key.startswith("DATABASE_")})
    environment["BULKHEAD_VAR"] = str(state.root)
    environment["PYTHONUNBUFFERED"] = "1"
    environment[MARKER] = state.name_hash
    environment.setdefault("BULKHEAD_MODE", "demo")
    environment.setdefault("SECRET_KEY", state.secret("secret_key"))
    hosts = [environment.get("NO_PROXY") or environment.get("no_proxy"), "127.0.0.1", "localhost"]
    environment["NO_PROXY"] = environment["no_proxy"] = ",".join(filter(None, hosts))  # our servers are on loopback
    return environment


def role_environment(shared: Mapping[str, str], databases: Mapping[str, str], role: str) -> dict[str, str]:
    """The environment of a process that works under one database role and knows no other's password."""
    variable = ROLE_VARIABLES[role]
    return {**shared, "DATABASE_ROLE": role, variable: databases[variable]}
