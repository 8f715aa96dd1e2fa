"""Whether another transaction really took a nonce of ours: what one node shows may be invented, and on its word a
payment would be made twice.

Nobody but the key can sign, so the bytes of what is shown are put together anew: they must have the hash it is said to
have, be of this chain, and bear the key's signature. That it is in a final block the other nodes must say too.
"""

import logging
from collections.abc import Mapping
from typing import Any

from eth_utils.crypto import keccak

from intermediary.errors import Refusal
from settlement.chain import Chain

log = logging.getLogger(__name__)
# The fields of each form in their order, before the signature. No key of ours and no wallet of a person sends others.
FEES = ("maxPriorityFeePerGas", "maxFeePerGas", "gas", "to", "value", "input", "accessList")
FIELDS = {
    0: ("nonce", "gasPrice", "gas", "to", "value", "input"),
    1: ("chainId", "nonce", "gasPrice", "gas", "to", "value", "input", "accessList"),
    2: ("chainId", "nonce", *FEES),
}
BYTES = ("to", "input")


def is_signed_by(sent: Mapping[str, Any], address: str, chain_id: int) -> bool:
    """Whether a node's description of a transaction is one that this key signed for this chain."""
    if sent["from"].lower() != address.lower():
        return False
    from eth_account import Account  # see intermediary.typed_data

    try:
        raw = _raw(sent)
        of_chain = _chain_id(sent)
        signer = str(Account.recover_transaction(raw))
    except Exception:  # whatever a node may say in place of a transaction
        log.exception("transaction %s cannot be put together", sent.get("hash"))
        return False
    is_hash = "0x" + keccak(raw).hex() == sent["hash"]
    return is_hash and of_chain in (chain_id, None) and signer.lower() == address.lower()


def is_final_for_all(chain: Chain, sent: Mapping[str, Any]) -> bool:
    """Whether every other configured node that answers has this transaction in the same block, and that block final.
    One that is silent is not waited for, as with finality."""
    for url in chain.rules.rpc_urls:
        witness = Chain(url, chain.rules)
        try:
            witness.id()
            (receipt,) = witness.receipts([sent["hash"]])
            final = witness.head_and_final()[1]
        except Refusal as error:
            log.warning("%s says nothing of transaction %s: %s", witness.name, sent["hash"], error)
            continue
        finally:
            witness.close()
        if receipt is None or receipt["blockHash"] != sent["blockHash"] or int(receipt["blockNumber"], 16) > final:
            log.error("%s does not have transaction %s in a final block", witness.name, sent["hash"])
            return False
    return True


def _raw(sent: Mapping[str, Any]) -> bytes:
    """The signed bytes of a transaction that a node describes."""
    import rlp  # takes a second, and is seldom asked for

    kind = int(sent.get("type") or "0x0", 16)
    fields = [_field(name, sent[name]) for name in FIELDS[kind]]
    parity = sent["v"] if kind == 0 else sent.get("yParity", sent.get("v"))
    signature = [_number(parity), _number(sent["r"]), _number(sent["s"])]
    return (bytes([kind]) if kind else b"") + bytes(rlp.encode([*fields, *signature]))


def _chain_id(sent: Mapping[str, Any]) -> int | None:
    """The chain that a transaction was signed for; None of the oldest form, which is of any."""
    if int(sent.get("type") or "0x0", 16):
        return int(sent["chainId"], 16)
    v = int(sent["v"], 16)
    return (v - 35) // 2 if v >= 35 else None


def _field(name: str, said: Any) -> Any:
    if name == "accessList":
        return [[_bytes(one["address"]), [_bytes(key) for key in one["storageKeys"]]] for one in said]
    return _bytes(said) if name in BYTES else _number(said)


def _bytes(said: str | None) -> bytes:
    return bytes.fromhex((said or "").removeprefix("0x"))


def _number(said: str) -> int:
    return int(said, 16)
