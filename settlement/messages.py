"""The EIP-712 messages of the house, pure: what the poster asks to be signed and the approver signs.

A movement's `ref` names the journal entry it settles: SHA-256 over the entry's id and body hash (or the instruction's
id when no money moves), so a public event leads back to exactly one entry.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

from intermediary.models import ChainInstruction
from intermediary.typed_data import word, words_of
from settlement.bindings import contract
from settlement.signing.policy import BATCH, MOVEMENT, TYPES

KIND_CODE = {
    ChainInstruction.Kind.REQUIRE: 0,
    ChainInstruction.Kind.CREDIT: 1,
    ChainInstruction.Kind.DEBIT: 2,
    ChainInstruction.Kind.RETURN: 3,
}


class Instructed(Protocol):
    """What a movement's message says of its instruction."""

    @property
    def kind(self) -> str: ...
    @property
    def amount_base_units(self) -> int: ...
    @property
    def required_base_units(self) -> int: ...


def ref_of(instruction: ChainInstruction) -> str:
    """0x bytes32 that leads from the chain to the journal."""
    entry = instruction.entry
    return ref(instruction.id, instruction.entry_id, entry.body_hash if entry is not None else None)


def ref(instruction_id: UUID, entry_id: UUID | None, body_hash: str | None) -> str:
    """The same, of an instruction whose entry, if it has one, has this body."""
    named = instruction_id.bytes
    if entry_id is not None:
        assert body_hash is not None, "an entry has a body"
        named = entry_id.bytes + bytes.fromhex(body_hash)
    return "0x" + hashlib.sha256(named).hexdigest()


def movement_of(made: Instructed, ref: str, vault: str, contract_seq: int) -> dict[str, Any]:
    """One movement as the contract and the signature see it."""
    return {
        "vault": vault,
        "kind": KIND_CODE[ChainInstruction.Kind(made.kind)],
        "seq": contract_seq,
        "amount": made.amount_base_units,
        "required": made.required_base_units,
        "ref": ref,
    }


def batch_message(
    house: str, chain_id: int, number: int, statement: str, movements: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """The message of a batch."""
    content = {"id": number, "statement": statement, "movements": list(movements)}
    return _message(house, chain_id, "Batch", content)


def claim_message(house: str, chain_id: int, vault: str, nonce: int, amount: int, evidence: str) -> dict[str, Any]:
    """The message of a default claim."""
    content = {"vault": vault, "nonce": nonce, "amount": amount, "evidence": evidence}
    return _message(house, chain_id, "Claim", content)


def cap_message(house: str, chain_id: int, cap: int, nonce: int) -> dict[str, Any]:
    """The message of an emergency change of the outflow cap."""
    return _message(house, chain_id, "OutflowCap", {"cap": cap, "nonce": nonce})


def _message(house: str, chain_id: int, primary: str, content: dict[str, Any]) -> dict[str, Any]:
    return {
        "types": TYPES[primary],
        "primaryType": primary,
        "domain": {"name": "House", "version": "1", "chainId": chain_id, "verifyingContract": house},
        "message": content,
    }


def batch_calldata(message: Mapping[str, Any], approver: str, signature: bytes) -> bytes:
    """The call `postBatch(id, statement, movements, approver, signature)`."""
    content = message["message"]
    movements = [words_of(MOVEMENT, move) for move in content["movements"]]
    listed = word(len(movements), "uint256") + b"".join(movements)
    signed = word(len(signature), "uint256") + signature + bytes(-len(signature) % 32)
    head = 5 * 32
    places = word(head, "uint256") + word(approver, "address") + word(head + len(listed), "uint256")
    return contract("House").selector("postBatch") + words_of(BATCH[:2], content) + places + listed + signed
