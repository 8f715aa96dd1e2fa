"""The state directory of one installation: where logs, locks, records, secrets and finished steps are kept.

    var/run      locks and records of running services and processes
    var/log      one log a process
    var/steps    a mark for each finished step of the first start
    var/secrets.json   generated passwords, readable by the owner only

Removing the directory forgets the installation; nothing outside it is needed to run again,
except the data of an embedded PostgreSQL that root had to put elsewhere (see `postgres.py`).
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from intermediary.config.supervisor.progress import CHECKOUT, free_mb, full_disk_story
from intermediary.errors import Refusal

RESERVE_BYTES = 48_000_000  # the demo chain's saved state is 12 MB after two days of the replay, a checkpoint less
LOG_BYTES_MAX = 5_000_000  # a log larger than this at start is put aside; one older generation is kept


class CannotStart(Refusal):
    """The installation cannot start, and says what a person has to change."""


class StateDirectory:
    """Paths, secrets and marks below one root. Creating it creates the folders."""

    def __init__(self, root: Path, *, ephemeral: bool = False) -> None:
        self.root = root.absolute()
        self.ephemeral = ephemeral
        self.run = self.root / "run"
        self.log = self.root / "log"
        self.steps = self.root / "steps"
        with named_disk_errors(self.root):
            for folder in (self.root, self.run, self.log, self.steps):
                folder.mkdir(parents=True, exist_ok=True)

    @classmethod
    def temporary(cls) -> "StateDirectory":
        """A state directory for one test session. An unprivileged server must be able to pass through it."""
        root = Path(tempfile.mkdtemp(prefix="bulkhead-"))
        root.chmod(0o711)
        return cls(root, ephemeral=True)

    @property
    def name_hash(self) -> str:
        """A short name for this installation among all on the machine."""
        return hashlib.sha256(str(self.root).encode()).hexdigest()[:12]

    def secret(self, name: str) -> str:
        """The secret called `name`, made at the first request and kept (file mode 0600)."""
        with lock(self.run / "secrets.lock"):
            path = self.root / "secrets.json"
            known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
            if name not in known:
                known[name] = secrets.token_urlsafe(32)
                write_private(path, json.dumps(known, indent=1, sort_keys=True))
            return known[name]

    def has_secret(self, name: str) -> bool:
        """Whether the secret called `name` has been made."""
        path = self.root / "secrets.json"
        return path.exists() and name in json.loads(path.read_text())

    def step_done(self, step: str, key: str) -> bool:
        """Whether `step` finished with these inputs (`key` is their hash)."""
        mark = self.steps / step
        return mark.exists() and mark.read_text() == key

    def mark_done(self, step: str, key: str) -> None:
        write_private(self.steps / step, key)

    def forget_step(self, step: str) -> None:
        (self.steps / step).unlink(missing_ok=True)

    def log_file(self, name: str) -> Path:
        """The log of process `name`; a large one is put aside first."""
        path = self.log / f"{name}.log"
        if path.exists() and path.stat().st_size > LOG_BYTES_MAX:
            path.replace(path.with_suffix(".log.1"))
        return path

    def require_free_space(self, megabytes: int, *others: Path) -> None:
        """Refuse early what would end half-done on a full disk: this directory's, or that of one of `others`."""
        for place in (self.root, *others):
            free = free_mb(place)
            if free < megabytes:
                raise CannotStart(
                    "disk_has_room",
                    f"{megabytes} MB of free disk are needed below {place}, {free} MB are left. Make room there.",
                    needed_mb=megabytes,
                    free_mb=free,
                )

    def keep_reserve(self) -> None:
        """Occupy some room that `release_reserve` gives back: a stop on a full disk still has to save the chain."""
        path = self.root / "reserve"
        if not path.exists():
            with named_disk_errors(self.root), path.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)

    def release_reserve(self) -> None:
        (self.root / "reserve").unlink(missing_ok=True)


def hash_of_files(*patterns: str) -> str:
    """The hash of all files of the checkout that match: what a step was made from."""
    digest = hashlib.sha256()
    files = {path for pattern in patterns for path in CHECKOUT.glob(pattern) if path.is_file()}
    for path in sorted(files):
        if path.suffix != ".pyc":
            digest.update(str(path.relative_to(CHECKOUT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def write_private(path: Path, text: str) -> None:
    """Replace a file at once, readable by its owner only: a reader sees the old text or the new, never a part."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    with named_disk_errors(path.parent):
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)


@contextlib.contextmanager
def lock(path: Path, *, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold `path` exclusively; `on_wait` is called once when somebody else has it."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if on_wait is not None:
                on_wait()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def named_disk_errors(where: Path) -> Iterator[None]:
    """Turn what a disk can refuse into a sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise CannotStart("disk_has_room", full_disk_story(where)) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise CannotStart("state_directory_is_writable", f"{error.filename or where} is not writable.") from error
        raise
