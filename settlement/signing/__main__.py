"""`python -m settlement.signing`: hold one encrypted key and sign what its policy allows, until ended by SIGTERM.

    python -m settlement.signing --keystore poster.json --password-file poster.password --policy poster.policy.json \
        --journal poster.journal --socket /run/bulkhead/poster.sock
"""

import argparse
import json
import logging
import os
import signal
import stat
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from settlement.signing import policy, server
from settlement.signing.journal import Journal
from settlement.signing.refused import NotSigned

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount


def main() -> int:
    """Serve; 2 when something that is needed is missing, unreadable or open to others."""
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    os.umask(0o077)
    try:
        key = server.Key(*_opened(arguments), Journal(arguments.journal))
        token = _private(arguments.token_file).strip() if arguments.token_file else ""
        if arguments.socket is None and not token:
            raise NotSigned("token_needed", "A port is open to every user of this machine: name a --token-file.")
        if arguments.socket:
            serving = server.on_socket(arguments.socket, key, token)
        else:
            serving = server.on_port(arguments.port, key, token)
    except (NotSigned, OSError) as error:
        print(f"{getattr(error, 'code', 'not_started')}: {error}", file=sys.stderr)  # noqa: T201
        return 2
    signal.signal(signal.SIGTERM, _stop)
    logging.info("%s %s signs at %s", key.policy.role, key.account.address, arguments.socket or serving.server_port)
    try:
        serving.serve_forever()
    except KeyboardInterrupt:
        return 0
    finally:
        serving.server_close()
        if arguments.socket:
            arguments.socket.unlink(missing_ok=True)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m settlement.signing", description="Sign what a policy allows.")
    parser.add_argument("--keystore", type=Path, required=True, help="Web3 secret storage, of mode 0600")
    parser.add_argument("--password-file", type=Path, required=True, help="of mode 0600")
    parser.add_argument("--policy", type=Path, required=True, help="what may be signed (docs/signer.md)")
    parser.add_argument("--journal", type=Path, required=True, help="what was signed; counts the day's limits")
    parser.add_argument("--token-file", type=Path, help="what callers must know; needed with --port")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--socket", type=Path, help="a local socket, of mode 0600")
    where.add_argument("--port", type=int, help="of the loopback")
    return parser.parse_args()


def _opened(arguments: argparse.Namespace) -> "tuple[LocalAccount, policy.Policy]":
    from eth_account import Account

    allowed = policy.from_json(json.loads(arguments.policy.read_text()))
    password = _private(arguments.password_file).strip()
    try:
        account = Account.from_key(Account.decrypt(json.loads(_private(arguments.keystore)), password))
    except ValueError as error:
        raise NotSigned("key_not_opened", "The keystore does not open with its password.") from error
    return account, allowed


def _private(path: Path) -> str:
    """The content of a file that nobody else may read."""
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise NotSigned("file_is_open", f"{path} can be read by others: chmod 600.")
    return path.read_text()


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    raise SystemExit(main())
