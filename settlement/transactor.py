"""Transactions of set-up and of the demo's wallets: send several, wait for all. Not the operator's outbox.

What moves clients' money goes through `settlement.sender`, which survives crashes. Here a failure stops the caller,
who starts over: deploying, opening vaults and a test wallet's transfers are all safe to repeat or to look up.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from eth_utils.address import to_checksum_address

from intermediary.errors import Refusal
from settlement.bindings import contract, error_name
from settlement.chain import Chain, ChainRefused, call_object
from settlement.signer import Signer

Mine = Callable[[Chain], None]
WAIT_SECONDS = 60  # with a miner or a public chain a transaction may take a few blocks
POLL_SECONDS = 0.2


class Transactor:
    """One key's transactions on one chain. `mine` makes a block where nobody else does; None waits for the miner."""

    def __init__(self, chain: Chain, signer: Signer, mine: Mine | None = None) -> None:
        self.chain, self.signer, self._mine = chain, signer, mine
        nonce, block = self.chain.batch(
            [
                ("eth_getTransactionCount", [signer.address, "pending"]),
                ("eth_getBlockByNumber", ["latest", False]),
            ]
        )
        self._nonce, self._base_fee = int(nonce, 16), int(block["baseFeePerGas"], 16)
        self._waiting: list[str] = []
        self.sent = 0  # transactions so far

    def send(self, to: str | None, data: bytes, *, gas_limit: int | None = None) -> str:
        """Sign and send one call (a creation when `to` is None); its hash. Raises with the contract's error name."""
        gas = gas_limit or self._estimate(to, data)
        rules = self.chain.rules
        max_fee = min(3 * self._base_fee + rules.tip_wei, rules.fee_cap_wei)
        signed = self.signer.sign_transaction(
            {
                "type": 2,
                "chainId": self.chain.id(),
                "nonce": self._nonce,
                "to": to or "",
                "value": 0,
                "data": data,
                "gas": gas,
                "maxFeePerGas": max_fee,
                "maxPriorityFeePerGas": min(rules.tip_wei, max_fee),
            }
        )
        self.chain.call("eth_sendRawTransaction", "0x" + signed.raw.hex())
        self._nonce += 1
        self.sent += 1
        self._waiting.append(signed.hash)
        return signed.hash

    def call(self, to: str, name: str, function: str, *arguments: Any, gas_limit: int | None = None) -> str:
        """Send one named call to a contract."""
        return self.send(to, contract(name).encode(function, arguments), gas_limit=gas_limit)

    def deploy(self, name: str, *arguments: Any) -> str:
        """Create a contract and wait for it; its address."""
        self.send(None, contract(name).creation(arguments))
        return str(to_checksum_address(self.wait()[-1]["contractAddress"]))

    def wait(self) -> list[dict[str, Any]]:
        """Receipts of everything sent since the last wait; refuses when one reverted or never came."""
        hashes, self._waiting = self._waiting, []
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            if self._mine and hashes:
                self._mine(self.chain)
            receipts = [found for found in self.chain.receipts(hashes) if found]
            if len(receipts) == len(hashes):
                return _all_succeeded(receipts)
            if time.monotonic() > deadline:
                raise Refusal("not_mined_in_time", "A transaction was not mined in time.", hashes=hashes)
            time.sleep(0 if self._mine else POLL_SECONDS)

    def _estimate(self, to: str | None, data: bytes) -> int:
        target = call_object(to, data) if to else {"data": "0x" + data.hex()}
        try:
            # Against the pending block: earlier transactions of this key count already.
            found = self.chain.call("eth_estimateGas", target | {"from": self.signer.address}, "pending")
        except ChainRefused as error:
            raise Refusal(
                "call_would_revert", f"The contract refuses: {error_name(error.revert_data)} ({error.message})", to=to
            ) from error
        return int(found, 16) * 5 // 4  # storage may have become colder by the time it runs


def _all_succeeded(receipts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    for receipt in receipts:
        if int(receipt["status"], 16) != 1:
            raise Refusal("transaction_reverted", "A transaction reverted.", hash=receipt["transactionHash"])
    return list(receipts)
