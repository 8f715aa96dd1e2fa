"""The database and its roles, made idempotently over an administrator's connection.

    bulkhead_owner      owns database and schema; migrations only
    bulkhead_web        logs in, inherits nothing: a request picks bulkhead_portal or bulkhead_staff, or has no rights
    bulkhead_worker, bulkhead_poster, bulkhead_approver    log in, one each for tasks, batch poster and batch approver
    bulkhead_portal, bulkhead_staff    cannot log in; what a client's or an officer's request may do

What each may touch is granted by the migrations. None is a superuser, none bypasses row-level security.
"""

from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from intermediary.config.supervisor.state import StateDirectory

DATABASE = "bulkhead"
OWNER = "bulkhead_owner"
LOGINS = {
    "DATABASE_OWNER_URL": OWNER,
    "DATABASE_URL": "bulkhead_web",
    "DATABASE_WORKER_URL": "bulkhead_worker",
    "DATABASE_POSTER_URL": "bulkhead_poster",
    "DATABASE_APPROVER_URL": "bulkhead_approver",
}
GROUPS = ("bulkhead_portal", "bulkhead_staff")
NO_POWERS = "NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"


def urls(state: StateDirectory, admin_url: str, database: str = DATABASE) -> dict[str, str]:
    """The five addresses on the administrator's server, by environment variable."""
    return {variable: _login_url(admin_url, role, state.secret(role), database) for variable, role in LOGINS.items()}


def create_roles(state: StateDirectory, admin_url: str) -> None:
    """Make or correct every role; passwords are those of the state directory."""
    with psycopg.connect(admin_url, autocommit=True) as connection:
        for group in GROUPS:
            _ensure_role(connection, group, sql.SQL("NOLOGIN INHERIT " + NO_POWERS))
        for role in LOGINS.values():
            inherit = "NOINHERIT" if role == "bulkhead_web" else "INHERIT"
            options = sql.SQL(f"LOGIN {inherit} {NO_POWERS} PASSWORD ") + sql.Literal(state.secret(role))
            _ensure_role(connection, role, options)
        for group in GROUPS:
            connection.execute(sql.SQL("GRANT {} TO bulkhead_web").format(sql.Identifier(group)))


def create_database(admin_url: str, database: str = DATABASE, *, template: str | None = None) -> None:
    """Make the database when it is missing, as a copy of `template` if given; only the named roles may connect."""
    with psycopg.connect(admin_url, autocommit=True) as connection:
        known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone()
        name = sql.Identifier(database)
        if known is None:
            copied = sql.SQL(" TEMPLATE {}").format(sql.Identifier(template)) if template else sql.SQL("")
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, sql.Identifier(OWNER)) + copied)
        connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
        for role in LOGINS.values():
            connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(name, sql.Identifier(role)))


def drop_database(admin_url: str, database: str = DATABASE) -> None:
    """Remove the database with everything in it; sessions on it are ended."""
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))


def _ensure_role(connection: psycopg.Connection[tuple[object, ...]], role: str, options: sql.Composable) -> None:
    known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone()
    verb = sql.SQL("ALTER" if known else "CREATE")
    connection.execute(verb + sql.SQL(" ROLE {} WITH ").format(sql.Identifier(role)) + options)


def _login_url(admin_url: str, role: str, password: str, database: str) -> str:
    parts = urlsplit(admin_url)
    address = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{role}:{quote(password, safe='')}@{address}", path=f"/{database}"))
