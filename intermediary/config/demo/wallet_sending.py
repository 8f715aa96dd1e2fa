"""Transactions of the demo's keys, one at a time in this process.

The same key may be asked by the automatic client and by the person in front of the portal at once. Whoever wants to
send holds `one_at_a_time` from its first look at the key's transactions until its own is on its way; so no two take one
number, and nobody answers for something that another has just paid.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from intermediary.errors import Refusal
from intermediary.models import Asset
from settlement.bindings import contract, read
from settlement.chain import Chain
from settlement.signer import Signer
from settlement.transactor import Mine, Transactor

BUSY_SECONDS = (
    20.0  # two calls that a silent node lets run into their timeout; then this turn is given up, not waited for
)
_turn = threading.RLock()


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """The only sender of this process inside the block. Refuses rather than waits for ever."""
    if not _turn.acquire(timeout=BUSY_SECONDS):
        raise Refusal("wallet_busy", "The wallet is busy with another transaction; try again.")
    try:
        yield
    finally:
        _turn.release()


def under_way(chain: Chain, address: str) -> bool:
    """Whether a transaction of this address waits for its block: what it has done is then not to be seen yet."""
    mined, sent = chain.batch([("eth_getTransactionCount", [address, state]) for state in ("latest", "pending")])
    return int(sent, 16) > int(mined, 16)


@dataclass(frozen=True)
class Sent:
    """One transaction on its way."""

    hash: str
    sender: Transactor

    def wait(self) -> None:
        """Until it is mined; refuses when it reverted or was not. Not to be called in one's turn."""
        self.sender.wait()


def send(chain: Chain, signer: Signer, to: str, data: bytes, mine: Mine | None = None) -> Sent:
    """Sign and send one call."""
    with one_at_a_time():
        sender = Transactor(chain, signer, mine)
        return Sent(sender.send(to, data), sender)


def send_tokens(chain: Chain, signer: Signer, asset: Asset, to: str, amount_base_units: int, mine: Mine | None) -> Sent:
    """Send a plain token transfer."""
    data = contract("DemoUSDC").encode("transfer", [to, amount_base_units])
    return send(chain, signer, asset.token_address, data, mine)


def balance(chain: Chain, asset: Asset, address: str) -> int:
    """Tokens at an address, at the head, base units."""
    return int(read(chain, asset.token_address, "DemoUSDC", "balanceOf", address))
