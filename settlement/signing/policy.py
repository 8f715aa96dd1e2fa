"""What one key may sign, as data, and nothing else: a key either sends transactions or approves, never both.

A sending key signs calls of named functions of known contracts, without value, within a gas limit and a fee cap. An
approving key signs batches and claims of known houses, each within its amounts. Both have a limit a day, which
`settlement.signing.journal` counts. Whatever the caller believes, the limits hold: they stand on the signer's machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eth_utils.address import is_address, to_checksum_address
from eth_utils.crypto import keccak

from settlement.signing.refused import NotSigned

CAPS_A_DAY = 4  # of one house at most: who needs more of them in a day is not in an emergency, but has lost a key
ANY_CONTRACT = "*"  # contracts that do not exist yet when the policy is written: a new relationship's retention
DOMAIN = [
    {"name": "name", "type": "string"},
    {"name": "version", "type": "string"},
    {"name": "chainId", "type": "uint256"},
    {"name": "verifyingContract", "type": "address"},
]
MOVEMENT = [
    {"name": "vault", "type": "address"},
    {"name": "kind", "type": "uint8"},
    {"name": "seq", "type": "uint32"},
    {"name": "amount", "type": "uint96"},
    {"name": "required", "type": "uint96"},
    {"name": "ref", "type": "bytes32"},
]
BATCH = [
    {"name": "id", "type": "uint64"},
    {"name": "statement", "type": "bytes32"},
    {"name": "movements", "type": "Movement[]"},
]
CLAIM = [
    {"name": "vault", "type": "address"},
    {"name": "nonce", "type": "uint32"},
    {"name": "amount", "type": "uint96"},
    {"name": "evidence", "type": "bytes32"},
]
OUTFLOW_CAP = [{"name": "cap", "type": "uint96"}, {"name": "nonce", "type": "uint64"}]
TYPES = {
    "Batch": {"EIP712Domain": DOMAIN, "Batch": BATCH, "Movement": MOVEMENT},
    "Claim": {"EIP712Domain": DOMAIN, "Claim": CLAIM},
    "OutflowCap": {"EIP712Domain": DOMAIN, "OutflowCap": OUTFLOW_CAP},
}


@dataclass(frozen=True)
class Spending:
    """What a signature counts against the day's limit: `amount` of the account `of`, once a `key`."""

    of: str
    key: str
    amount: int
    limit: int


@dataclass(frozen=True)
class Calls:
    """Of a sending key: these functions of these contracts (None: of any)."""

    contracts: frozenset[str] | None
    selectors: frozenset[bytes]


@dataclass(frozen=True)
class SendingPolicy:
    """What a sending key may sign."""

    chain_ids: frozenset[int]
    calls: tuple[Calls, ...]
    gas_limit: int
    fee_cap_wei: int
    wei_a_day: int

    def spending(self, sent: Mapping[str, Any]) -> Spending:
        """What this transaction may cost at most. Refuses what the policy does not allow."""
        chain_id, to, data = sent["chainId"], sent["to"], sent["data"]
        _require(
            chain_id in self.chain_ids, "chain_not_allowed", f"Chain {chain_id} is not this key's.", chain=chain_id
        )
        _require(is_address(to), "creation_refused", "This key creates no contract.")
        _require(sent["value"] == 0, "value_not_zero", "This key sends no money of the chain.", value=sent["value"])
        of_contract = [one for one in self.calls if one.contracts is None or to_checksum_address(to) in one.contracts]
        _require(bool(of_contract), "address_not_allowed", f"{to} is no contract that this key calls.", to=to)
        selector = data[:4]
        known = any(selector in one.selectors for one in of_contract)
        _require(known, "function_not_allowed", f"This key does not call 0x{selector.hex()} there.", to=to)
        gas, fee = sent["gas"], sent["maxFeePerGas"]
        _require(gas <= self.gas_limit, "gas_over_limit", "The gas is over the limit.", gas=gas, limit=self.gas_limit)
        _require(fee <= self.fee_cap_wei, "fee_over_limit", "The fee is over the cap.", fee=fee, limit=self.fee_cap_wei)
        return Spending(f"gas {chain_id}", f"{chain_id}:{sent['nonce']}", gas * fee, self.wei_a_day)


@dataclass(frozen=True)
class HouseLimits:
    """Of one house, in base units of its token."""

    movement: int
    claim: int
    day: int
    cap: int  # the highest outflow cap a day that may be set at once; 0: none


@dataclass(frozen=True)
class ApprovingPolicy:
    """What an approving key may sign, by house."""

    chain_ids: frozenset[int]
    houses: Mapping[str, HouseLimits]
    movements: int

    def spending(self, message: Mapping[str, Any]) -> Spending:
        """What this batch, claim or cap moves. Refuses what the policy does not allow."""
        domain, said, primary = message["domain"], message["message"], message["primaryType"]
        house, chain_id = to_checksum_address(domain["verifyingContract"]), domain["chainId"]
        _require(
            chain_id in self.chain_ids, "chain_not_allowed", f"Chain {chain_id} is not this key's.", chain=chain_id
        )
        limits = self.houses.get(house)
        if limits is None or (domain["name"], domain["version"]) != ("House", "1"):
            raise NotSigned("house_not_allowed", f"{house} is no house that this key approves for.", house=house)
        if primary == "Claim":
            amount = said["amount"]
            _require(
                amount <= limits.claim, "claim_over_limit", "The claim is too large.", amount=amount, limit=limits.claim
            )
            key = f"{chain_id}:{house}:{said['vault']}:{said['nonce']}"
            return Spending(f"claims {chain_id} {house}", key, amount, limits.day)
        if primary == "OutflowCap":
            cap = said["cap"]
            _require(cap <= limits.cap, "cap_over_limit", "The cap is too high.", cap=cap, limit=limits.cap)
            return Spending(
                f"caps {chain_id} {house}", f"{chain_id}:{house}:cap:{said['nonce']}", cap, CAPS_A_DAY * cap
            )
        moves = said["movements"]
        count = len(moves)
        _require(
            count <= self.movements, "too_many_movements", "The batch is too long.", count=count, limit=self.movements
        )
        largest = max((one["amount"] for one in moves), default=0)
        _require(
            largest <= limits.movement, "amount_over_limit", "A movement is too large.", amount=largest,
            limit=limits.movement,
        )  # fmt: skip
        total = sum(one["amount"] for one in moves)
        return Spending(f"movements {chain_id} {house}", f"{chain_id}:{house}:{said['id']}", total, limits.day)


@dataclass(frozen=True)
class Policy:
    """One key's: its role, and what it signs."""

    role: str
    sending: SendingPolicy | None
    approving: ApprovingPolicy | None


def from_json(said: Mapping[str, Any]) -> Policy:
    """A policy as written down (docs/signer.md). Refuses `bad_policy`."""
    try:
        sends, approves = said.get("transactions"), said.get("typed_data")
        if (sends is None) == (approves is None):
            raise ValueError("a key signs transactions or typed data, and exactly one of them")
        return Policy(str(said["role"]), _sending(sends) if sends else None, _approving(approves) if approves else None)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise NotSigned("bad_policy", f"The policy cannot be read: {type(error).__name__} {error}") from error


def _sending(said: Mapping[str, Any]) -> SendingPolicy:
    return SendingPolicy(
        chain_ids=frozenset(int(one) for one in said["chain_ids"]),
        calls=tuple(
            Calls(
                None if one["to"] == ANY_CONTRACT else frozenset(str(to_checksum_address(to)) for to in one["to"]),
                frozenset(keccak(text=signature)[:4] for signature in one["functions"]),
            )
            for one in said["calls"]
        ),
        gas_limit=int(said["gas_limit"]),
        fee_cap_wei=int(said["fee_cap_wei"]),
        wei_a_day=int(said["wei_a_day"]),
    )


def _approving(said: Mapping[str, Any]) -> ApprovingPolicy:
    return ApprovingPolicy(
        chain_ids=frozenset(int(one) for one in said["chain_ids"]),
        houses={
            str(to_checksum_address(house)): HouseLimits(
                int(one["movement"]), int(one["claim"]), int(one["day"]), int(one.get("cap", 0))
            )
            for house, one in said["houses"].items()
        },
        movements=int(said["movements"]),
    )


def _require(holds: bool, code: str, message: str, **data: Any) -> None:
    if not holds:
        raise NotSigned(code, message, **data)
