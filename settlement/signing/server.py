"""The signer's server: HTTP over a local socket or the loopback, one request a connection, one key a process.

It answers one caller at a time: signing takes milliseconds, and the order of the journal is that of the answers.
"""

import hmac
import json
import logging
import socket
import socketserver
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from intermediary.canonical import read_json
from intermediary.typed_data import digest_of
from settlement.signing import messages
from settlement.signing.journal import Journal
from settlement.signing.policy import Policy
from settlement.signing.refused import NotSigned

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount
    from eth_typing import Hash32

log = logging.getLogger(__name__)
LARGEST_REQUEST = 1 << 20  # a batch of 200 movements is some 80 kB
CALLER_SECONDS = 5  # a caller that says nothing for so long is cut off: others wait
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Key:
    """A key with what it may sign, and the record of what it did."""

    account: "LocalAccount"
    policy: Policy
    journal: Journal

    def transaction(self, said: Any) -> dict[str, str]:
        """Raw bytes and hash of a transaction that the policy allows."""
        found = messages.transaction_of(said)
        if self.policy.sending is None:
            raise NotSigned("not_this_key", f"The {self.policy.role}'s key signs no transactions.")
        spending = self.policy.sending.spending(found)
        signed = self.account.sign_transaction(found)
        self.journal.sign_off(spending, bytes(signed.hash))
        return {"raw": "0x" + bytes(signed.raw_transaction).hex(), "hash": "0x" + bytes(signed.hash).hex()}

    def typed_data(self, said: Any) -> dict[str, str]:
        """Signature of a batch or claim that the policy allows."""
        found = messages.typed_data_of(said)
        if self.policy.approving is None:
            raise NotSigned("not_this_key", f"The {self.policy.role}'s key approves nothing.")
        spending = self.policy.approving.spending(found)
        digest = digest_of(found)
        self.journal.sign_off(spending, digest)
        return {"signature": "0x" + bytes(self.account.unsafe_sign_hash(cast("Hash32", digest)).signature).hex()}


class _Handler(BaseHTTPRequestHandler):
    server: "_Server"
    timeout = CALLER_SECONDS
    server_version, sys_version = "bulkhead-signer", ""

    def do_GET(self) -> None:
        self._answer_with(self._key)

    def do_POST(self) -> None:
        self._answer_with(self._sign)

    def _key(self) -> dict[str, Any]:
        if self.path != "/v1/key":
            raise NotSigned("no_such_path", "There are /v1/key and /v1/sign.", status=404)
        key = self.server.key
        return {"protocol": messages.PROTOCOL, "address": str(key.account.address), "role": key.policy.role}

    def _sign(self) -> dict[str, Any]:
        if self.path != "/v1/sign":
            raise NotSigned("no_such_path", "There are /v1/key and /v1/sign.", status=404)
        length = int(self.headers.get("Content-Length") or 0)
        if not 0 < length <= LARGEST_REQUEST:
            raise NotSigned("bad_request", "A request has 1 to 1,048,576 bytes.", status=400, length=length)
        try:
            said = read_json(self.rfile.read(length).decode())
        except ValueError as error:
            raise NotSigned("bad_request", "The request is no JSON.", status=400) from error
        key = self.server.key
        for kind, sign in (("transaction", key.transaction), ("typed_data", key.typed_data)):
            if isinstance(said, dict) and set(said) == {"protocol", kind}:
                if said["protocol"] != messages.PROTOCOL:
                    raise NotSigned("bad_protocol", f"Protocol {messages.PROTOCOL} is spoken here.", status=400)
                return sign(said[kind])
        raise NotSigned("bad_request", "A request has `protocol`, and `transaction` or `typed_data`.", status=400)

    def _answer_with(self, work: Any) -> None:
        try:
            self._authenticate()
            status, body = 200, work()
        except NotSigned as refused:
            log.warning("%s: %s", refused.code, refused.message)
            status, body = refused.status, refused.body()
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _authenticate(self) -> None:
        token = self.server.token
        given = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token and not hmac.compare_digest(token.encode(), given.encode()):
            raise NotSigned("unauthorised", "The token is not this signer's.", status=401)

    def address_string(self) -> str:
        """For the log; a local socket has no address."""
        return "local"

    def log_message(self, format: str, *args: Any) -> None:
        log.info(format, *args)


class _Server(HTTPServer):
    key: Key
    token: str


class _LocalServer(_Server):
    address_family = socket.AF_UNIX

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "signer", 0


def on_socket(path: Path, key: Key, token: str) -> HTTPServer:
    """A server at a local socket of this user only; what a dead one left there is replaced."""
    path.unlink(missing_ok=True)
    server = _LocalServer(str(path), _Handler)  # type: ignore[arg-type]  # a path is the address of such a socket
    path.chmod(0o600)
    server.key, server.token = key, token
    return server


def on_port(port: int, key: Key, token: str) -> HTTPServer:
    """A server on the loopback, which every user of the machine reaches: never without a token."""
    assert token, "the caller has refused a port without a token"
    server = _Server((LOOPBACK, port), _Handler)
    server.key, server.token = key, token
    return server
