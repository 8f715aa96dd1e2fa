"""What only a demonstration chain can do: mine a block at platform time, hand out gas. Refused on any other chain."""

from django.conf import settings

from intermediary import clock
from intermediary.errors import Refusal
from settlement.chain import Chain

GAS_WEI = 10**19  # ten ether: a demo wallet never runs dry


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
