"""The platform's side of a remote signer (docs/signer.md): a key that another process holds.

Nothing that comes back is believed: the signature must be of the signer's own address over exactly what was asked.
Silence means that nothing was signed as far as we know; since the same request gets the same answer, asking again is
always safe.
"""

import http.client
import json
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from intermediary.errors import Refusal
from intermediary.typed_data import signer_of
from settlement.signer import SignedTransaction, refuse_published
from settlement.signing.messages import PROTOCOL, written

TIMEOUT_SECONDS = 5  # signing takes milliseconds; a hardware module behind it a second


class RemoteSigner:
    """A key behind `unix:/path` or `http://127.0.0.1:port`."""

    def __init__(self, role: str, place: str, token_file: str = "") -> None:
        self._role, self._place, self._token_file = role, place, token_file
        self._address = ""

    @property
    def address(self) -> str:
        """Asked for once. Refuses `signer_away`, and `signer_wrong` when it holds another role's key."""
        if not self._address:
            said = self._ask("GET", "/v1/key")
            if said.get("protocol") != PROTOCOL or said.get("role") != self._role:
                raise self._wrong(f"it is the signer of {said.get('role')}, protocol {said.get('protocol')}")
            refuse_published(self._role, str(said["address"]))
            self._address = str(said["address"])
        return self._address

    def sign_digest(self, digest: bytes) -> bytes:
        """No signer signs what it cannot read."""
        raise Refusal("signer_refused", "blind_signing: a remote signer is shown messages, not their digests.")

    def sign_typed(self, message: dict[str, Any]) -> bytes:
        """65 bytes over a batch or a claim."""
        said = self._sign("typed_data", message)
        signature = str(said.get("signature", ""))
        if signer_of(message, signature) != self.address:
            raise self._wrong("the signature is not its key's over what was asked")
        return bytes.fromhex(signature.removeprefix("0x"))

    def sign_transaction(self, transaction: dict[str, Any]) -> SignedTransaction:
        """A type-2 transaction, signed."""
        said = self._sign("transaction", transaction)
        try:
            raw = bytes.fromhex(str(said["raw"]).removeprefix("0x"))
            hash_ = _hash_if_signed(raw, transaction, self.address)
        except (KeyError, ValueError, TypeError) as error:
            raise self._wrong(f"its answer is no signed transaction: {error}") from error
        if hash_ is None:
            raise self._wrong("it signed another transaction than was asked for")
        return SignedTransaction(raw, hash_)

    def _sign(self, kind: str, what: dict[str, Any]) -> dict[str, Any]:
        _ = self.address
        return self._ask("POST", "/v1/sign", {"protocol": PROTOCOL, kind: written(what)})

    def _ask(self, verb: str, path: str, body: Any = None) -> dict[str, Any]:
        try:
            headers = {"Content-Type": "application/json"}
            if self._token_file:
                headers["Authorization"] = f"Bearer {Path(self._token_file).read_text().strip()}"
            connection = _connect(self._place)
            try:
                connection.request(verb, path, json.dumps(body) if body is not None else None, headers)
                answer = connection.getresponse()
                status, said = answer.status, json.loads(answer.read())
            finally:
                connection.close()
        except (OSError, http.client.HTTPException, ValueError) as error:
            text = f"{self._role} at {self._place}: {error!r}"
            raise Refusal("signer_away", text, role=self._role, place=self._place) from error
        if not isinstance(said, dict):
            raise self._wrong("its answer is no object")
        if status != 200:
            refused = said.get("error") or {}
            text = f"{refused.get('code')}: {refused.get('message')} {refused.get('data') or ''}".strip()
            raise Refusal("signer_refused", f"{self._role}: {text}", role=self._role, reason=refused.get("code"))
        return said

    def _wrong(self, what: str) -> Refusal:
        return Refusal("signer_wrong", f"{self._role} at {self._place}: {what}", role=self._role, place=self._place)


class _LocalConnection(http.client.HTTPConnection):
    """HTTP over a local socket."""

    def __init__(self, path: str) -> None:
        super().__init__("signer", timeout=TIMEOUT_SECONDS)
        self._path_of_socket = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path_of_socket)


def _connect(place: str) -> http.client.HTTPConnection:
    if place.startswith("unix:"):
        return _LocalConnection(place.removeprefix("unix:"))
    parts = urlsplit(place)
    if parts.scheme != "http" or parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise Refusal("bad_signer", f"{place} is neither unix:/path nor http:// on the loopback.")
    return http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT_SECONDS)


def _hash_if_signed(raw: bytes, asked: dict[str, Any], address: str) -> str | None:
    """The hash of these bytes, if they are what was asked for, signed by this address."""
    from eth_account import Account  # see intermediary.typed_data
    from eth_account.typed_transactions.typed_transaction import TypedTransaction
    from eth_utils.crypto import keccak
    from hexbytes import HexBytes

    found = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
    data = asked["data"] if isinstance(asked["data"], bytes) else bytes.fromhex(asked["data"].removeprefix("0x"))
    plain = {name: found[name] for name in ("chainId", "nonce", "value", "gas", "maxFeePerGas", "maxPriorityFeePerGas")}
    same = plain == {name: asked[name] for name in plain} and bytes(found["data"]) == data
    same = same and bytes(found["to"]) == bytes.fromhex(asked["to"].removeprefix("0x"))
    return "0x" + keccak(raw).hex() if same and Account.recover_transaction(raw) == address else None
