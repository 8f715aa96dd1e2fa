"""The schema of a world that is gone tomorrow: migrated once a checkout, then restored.

Django needs ten seconds of a core for our migrations; what the same migrations made before is restored from a dump in
one. For databases on embedded servers that a command or a test makes for itself; the platform's own database is always
migrated, step by step.
"""

import fcntl
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from intermediary.config.services import Services
from intermediary.config.supervisor.postgres import client_binary
from intermediary.config.supervisor.progress import CHECKOUT
from intermediary.config.supervisor.world import schema_hash

DUMPS = CHECKOUT / "var"


def make_current(running: Services, name: str, migrate: Callable[[], object]) -> None:
    """Give the empty database `name` the schema of today: restored, or by `migrate`, which works as its owner.

    Whoever asks while another process migrates waits for its dump. Raises RuntimeError with what psql or pg_dump said.
    """
    dump = DUMPS / f"schema-{schema_hash()[:16]}.sql"
    with _one_at_a_time():
        if not dump.exists():
            migrate()
            for older in DUMPS.glob("schema-*.sql"):
                older.unlink()
            unfinished = dump.with_suffix(".part")
            _run("pg_dump", "-f", unfinished, running.admin_url_of(name))
            unfinished.replace(dump)
            return
    restore = ("-q", "--single-transaction", "-v", "ON_ERROR_STOP=1", "-o", os.devnull, "-f", dump)
    _run("psql", *restore, running.admin_url_of(name))


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    DUMPS.mkdir(exist_ok=True)
    with (DUMPS / "schema.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(program: str, *arguments: str | Path) -> None:
    result = subprocess.run([client_binary(program), *map(str, arguments)], capture_output=True, text=True)
    if result.returncode != 0:
        raise RuntimeError(f"{program}: {result.stderr}")
