"""What only a demonstration chain can do: mine a block at platform time, hand out gas. Refused on any other chain."""

import time

from django.conf import settings

from intermediary import clock
from intermediary.errors import Refusal
from settlement.chain import Chain

QUIET_BLOCK_SECONDS = 1.0
GAS_WEI = 10**19  # ten ether: a demo wallet never runs dry


class Miner:
    """Makes a block when one is of use: at once while a transaction waits or stands in a block that is not final, else
    one a second as long as platform time passes. A chain that goes on alone would leave the platform's clock behind.

    What is of use is read off the chain each time: a transaction may arrive between a look and the block that takes it.
    """

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self._mined_at = 0.0

    def step(self) -> bool:
        """Mine a block if there is a reason to. Whether there was."""
        if not (has_work(self.chain) or self._is_behind_the_clock()):
            return False
        mine(self.chain)
        self._mined_at = time.monotonic()
        return True

    def _is_behind_the_clock(self) -> bool:
        if time.monotonic() - self._mined_at < QUIET_BLOCK_SECONDS:
            return False
        latest = self.chain.block("latest")
        return latest is not None and clock.now().timestamp() > int(latest["timestamp"], 16) + 1


def has_work(chain: Chain) -> bool:
    """Whether a transaction waits for its block, or for its block to be final."""
    tags = [("eth_getBlockByNumber", [tag, False]) for tag in ("latest", "finalized")]
    pool, latest, final = chain.batch([("txpool_status", []), *tags])
    if int(pool["pending"], 16):
        return True
    first = int(final["number"], 16) + 1 if final else 0
    numbers = range(first, int(latest["number"], 16) + 1)
    open_blocks = chain.batch([("eth_getBlockByNumber", [hex(number), False]) for number in numbers])
    return any(block["transactions"] for block in open_blocks if block)


def mine(chain: Chain) -> None:
    """One block whose time is platform time, at least a second after its parent (a block is younger than that)."""
    _refuse_elsewhere()
    latest = chain.block("latest")
    assert latest is not None, "every chain has a latest block"
    moment = max(int(latest["timestamp"], 16) + 1, int(clock.now().timestamp()))
    chain.call("evm_mine", hex(moment))


def fund_gas(chain: Chain, *addresses: str) -> None:
    """Give these addresses gas to send transactions with."""
    _refuse_elsewhere()
    chain.batch([("anvil_setBalance", [address, hex(GAS_WEI)]) for address in addresses])


def _refuse_elsewhere() -> None:
    if settings.MODE not in ("demo", "test"):
        raise Refusal("demo_chain_only", "Mining by hand and free gas exist on a demonstration chain only.")
