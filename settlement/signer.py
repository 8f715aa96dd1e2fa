"""Keys behind one interface: whoever signs needs an address and two verbs, not a private key.

A live platform asks a remote signer (`settlement.remote_signer`), another process that holds one key and shows what it
signs to a policy, or reads encrypted keystores (one a role, its password in a file of its own). The demo's keys derive
from anvil's public mnemonic, are worth nothing, and are refused outside demo and test mode. Poster, approver and
operator are different keys of different processes.
"""

import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from django.conf import settings

from intermediary.errors import Refusal
from intermediary.typed_data import digest_of

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount
    from eth_typing import Hash32

ANVIL_MNEMONIC = "test test test test test test test test test test test junk"
# The first ten are funded by anvil itself; the others never send anything but test transactions.
DEMO_INDEX = {
    "admin": 0,
    "house": 0,  # signs terms for the intermediary
    "poster": 1,
    "approver": 2,
    "operator": 3,
    "onboarder": 4,
    "structurer": 5,
    "market": 6,
    "costs": 7,
    "trustee": 8,
    "faucet": 9,
    "expert": 10,
    "enforcer": 11,
}
DEMO_WALLETS_START = 100


@dataclass(frozen=True)
class SignedTransaction:
    """What goes to the chain, and the hash it will have there."""

    raw: bytes
    hash: str


class Signer(Protocol):
    """A key, wherever it lies."""

    @property
    def address(self) -> str:
        """Checksummed address."""

    def sign_digest(self, digest: bytes) -> bytes:
        """65 bytes r, s, v over a 32-byte digest."""

    def sign_typed(self, message: dict[str, Any]) -> bytes:
        """65 bytes over a full EIP-712 message."""

    def sign_transaction(self, transaction: dict[str, Any]) -> SignedTransaction:
        """A type-2 transaction, signed."""


@dataclass(frozen=True)
class LocalSigner:
    """A key in this process's memory."""

    account: "LocalAccount"

    @property
    def address(self) -> str:
        return str(self.account.address)

    def sign_digest(self, digest: bytes) -> bytes:
        assert len(digest) == 32, "a digest has 32 bytes"
        return bytes(self.account.unsafe_sign_hash(cast("Hash32", digest)).signature)

    def sign_typed(self, message: dict[str, Any]) -> bytes:
        return self.sign_digest(digest_of(message))

    def sign_transaction(self, transaction: dict[str, Any]) -> SignedTransaction:
        signed = self.account.sign_transaction(transaction)
        return SignedTransaction(bytes(signed.raw_transaction), "0x" + signed.hash.hex().removeprefix("0x"))


def signer_for(role: str) -> Signer:
    """The key of a process ("poster", "operator", "approver", ...): a remote signer where one is configured, else what
    this mode uses. Refuses `key_configured_twice`: which of two keys is meant must not be a guess."""
    place = os.environ.get(f"SETTLEMENT_{role.upper()}_SIGNER", "")
    if not place:
        return keystore_signer(role) if settings.MODE == "production" else demo_signer(role)
    if os.environ.get(f"SETTLEMENT_{role.upper()}_KEYSTORE"):
        raise Refusal("key_configured_twice", f"{role} has a remote signer and a keystore; it needs one of them.")
    from settlement.remote_signer import RemoteSigner  # it checks signatures, which few processes need

    return RemoteSigner(role, place, os.environ.get(f"SETTLEMENT_{role.upper()}_SIGNER_TOKEN_FILE", ""))


def demo_signer(name: str) -> Signer:
    """One of the demo's operating keys."""
    return _from_mnemonic(DEMO_INDEX[name])


def demo_addresses() -> frozenset[str]:
    """The addresses of the demo's operating keys: whoever reads the mnemonic holds them."""
    return frozenset(_derived(index).address for index in DEMO_INDEX.values())


def demo_wallet(index: int) -> Signer:
    """The key of a demo client or investor, counted from 0; not funded with gas."""
    return _from_mnemonic(DEMO_WALLETS_START + index)


def keystore_signer(role: str) -> Signer:
    """A Web3 secret storage file, opened with the password in another file. Refuses when either is not configured."""
    keystore = os.environ.get(f"SETTLEMENT_{role.upper()}_KEYSTORE", "")
    password = os.environ.get(f"SETTLEMENT_{role.upper()}_PASSWORD_FILE", "")
    if not keystore or not password:
        raise Refusal("no_key_configured", f"SETTLEMENT_{role.upper()}_KEYSTORE and _PASSWORD_FILE are not both set.")
    from eth_account import Account  # see intermediary.typed_data

    content = json.loads(Path(keystore).read_text())
    try:
        key = Account.decrypt(content, Path(password).read_text().strip())
    except ValueError as error:
        raise Refusal("key_not_opened", f"The keystore of {role} does not open with its password.") from error
    signer = LocalSigner(Account.from_key(key))
    refuse_published(role, signer.address)
    return signer


def refuse_published(role: str, address: str) -> None:
    """Refuses `demo_key_refused` in production for a key that everybody has, wherever it is kept."""
    if settings.MODE == "production" and address in demo_addresses():
        raise Refusal("demo_key_refused", f"{role} is {address}, whose key is published.")


def _from_mnemonic(index: int) -> Signer:
    if settings.MODE not in ("demo", "test"):
        raise Refusal("demo_key_refused", "Keys of a published mnemonic are used in demo and test mode only.")
    return _derived(index)


@cache
def _derived(index: int) -> Signer:
    from eth_account import Account  # see intermediary.typed_data

    Account.enable_unaudited_hdwallet_features()
    return LocalSigner(Account.from_mnemonic(ANVIL_MNEMONIC, account_path=f"m/44'/60'/0'/0/{index}"))
