"""The embedded demo chain: anvil on loopback, mined on demand, its state saved at every clean stop.

Blocks carry platform time, which starts in the past: the genesis is older than any recorded market, since a
block cannot be older than its parent. Two blocks behind the head are final (one slot an epoch).
A chain that was killed has lost everything since its last clean stop; `state_was_lost` tells.
"""

import http.client
import json
import platform
import shutil
import signal
from pathlib import Path
from typing import Any

from intermediary.config.supervisor.keeper import KeeperSpec
from intermediary.config.supervisor.processes import LOOPBACK
from intermediary.config.supervisor.progress import CHECKOUT
from intermediary.config.supervisor.state import CannotStart, StateDirectory, named_disk_errors

CHAIN_ID = 31337
# Of as many blocks balances can be asked for: three minutes in which the watcher may be away, for 100 MB of memory.
# Without a limit every block's whole state goes to disk, two gigabytes an hour.
STATES_KEPT = 200
GENESIS_TIME = 1_514_764_800  # 2018-01-01: recorded history starts later


class EmbeddedAnvil:
    """The `anvil` service."""

    name = "anvil"

    def prepare(self, state: StateDirectory, port: int) -> KeeperSpec:
        home = state.root / "anvil"
        with named_disk_errors(home):
            home.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(home / "history", ignore_errors=True)  # states of old blocks, as earlier versions left them
        argv = [str(_binary()), "--host", LOOPBACK, "--port", str(port), "--chain-id", str(CHAIN_ID), "--silent"]
        argv += ["--no-mining", "--slots-in-an-epoch", "1", "--timestamp", str(GENESIS_TIME), "--order", "fifo"]
        argv += ["--hardfork", "prague", "--state", "state.json", "--prune-history", str(STATES_KEPT)]
        return KeeperSpec(
            name=self.name,
            argv=argv,
            directory=str(home),
            log=str(state.log_file(self.name)),
            users=str(state.run / f"{self.name}.users"),
            record=str(state.run / f"{self.name}.json"),
            port=port,
            stop_signal=signal.SIGTERM,
            stop_seconds=30.0,  # it writes its whole state before it goes
            clean_mark=str(home / "stopped-cleanly"),
            saved=str(home / "state.json"),
            remove=(str(home),) if state.ephemeral else (),
        )

    def answers(self, state: StateDirectory, port: int) -> bool:
        return block_number(port) is not None


def url(port: int) -> str:
    """The RPC address."""
    return f"http://{LOOPBACK}:{port}"


def rpc(address: str, method: str, *parameters: object) -> Any:
    """One JSON-RPC call to a chain on this machine, past any proxy of the environment. Raises OSError, ValueError."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=5)
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
    try:
        connection.request("POST", "/", json.dumps(request), {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
    except http.client.HTTPException as error:
        raise ValueError(f"{method}: no HTTP answer") from error
    finally:
        connection.close()
    if "result" not in answer:
        raise ValueError(f"{method}: {answer.get('error')}")
    return answer["result"]


def block_number(port: int) -> int | None:
    """The head's number; None when nobody answers."""
    try:
        return int(rpc(url(port), "eth_blockNumber"), 16)
    except (OSError, ValueError):
        return None


def state_was_lost(state: StateDirectory) -> bool:
    """Whether the chain ended without saving itself: its file is then older than what the platform has seen.

    Only meaningful while it is stopped.
    """
    return not (state.root / "anvil" / "stopped-cleanly").exists()


def _binary() -> Path:
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    path = CHECKOUT / "node_modules" / "@foundry-rs" / f"anvil-linux-{machine}" / "bin" / "anvil"
    if not path.exists():
        raise CannotStart(
            "dependencies_are_installed", "anvil is missing; run `make setup`, or set CHAIN_RPC_URLS to another chain."
        )
    return path
