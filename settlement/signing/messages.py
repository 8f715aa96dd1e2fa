"""Requests to a signer, read strictly: integers are decimal strings, bytes 0x hex, and nothing unknown is left over.

What is signed is built from what was read here and shown to the policy, never from the request's own encoding.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from eth_utils.address import is_address, to_checksum_address

from settlement.signing.policy import TYPES
from settlement.signing.refused import NotSigned

PROTOCOL = 1
TRANSACTION = {
    "type": "uint8",
    "chainId": "uint256",
    "nonce": "uint64",
    "to": "address",
    "value": "uint256",
    "data": "bytes",
    "gas": "uint64",
    "maxFeePerGas": "uint256",
    "maxPriorityFeePerGas": "uint256",
}
_NUMBER = re.compile("0|[1-9][0-9]{0,77}")
_HEX = re.compile("0x([0-9a-fA-F]{2})*")


def transaction_of(said: Any) -> dict[str, Any]:
    """A type-2 transaction. Refuses `bad_request`."""
    found = _fields(said, [{"name": name, "type": kind} for name, kind in TRANSACTION.items()], {}, "transaction")
    if found["type"] != 2:
        raise _bad("transaction.type", "only type 2 is signed")
    return found


def typed_data_of(said: Any) -> dict[str, Any]:
    """A full EIP-712 message whose types are ours to the letter. Refuses `bad_request` and `type_not_allowed`."""
    whole = _object(said, {"types", "primaryType", "domain", "message"}, "message")
    primary = whole["primaryType"]
    if not isinstance(primary, str) or whole["types"] != TYPES.get(primary):
        raise NotSigned("type_not_allowed", "Batches, claims and caps of a house are signed, by their exact types.")
    types = TYPES[primary]
    return {
        "types": types,
        "primaryType": primary,
        "domain": _fields(whole["domain"], types["EIP712Domain"], types, "domain"),
        "message": _fields(whole["message"], types[primary], types, "message"),
    }


def written(value: Any) -> Any:
    """A value as a request says it."""
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, Mapping):
        return {key: written(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [written(one) for one in value]
    return value


def _fields(said: Any, fields: Sequence[Mapping[str, str]], types: Mapping[str, Any], where: str) -> dict[str, Any]:
    whole = _object(said, {field["name"] for field in fields}, where)
    return {
        field["name"]: _value(whole[field["name"]], field["type"], types, f"{where}.{field['name']}")
        for field in fields
    }


def _value(said: Any, kind: str, types: Mapping[str, Any], where: str) -> Any:
    if kind.endswith("[]"):
        if not isinstance(said, list):
            raise _bad(where, "is no list")
        return [_value(one, kind[:-2], types, where) for one in said]
    if kind in types:
        return _fields(said, types[kind], types, where)
    if not isinstance(said, str):
        raise _bad(where, "is no string")
    if kind == "string":
        return said
    if kind == "address":
        if said and not is_address(said):
            raise _bad(where, "is no address")
        return str(to_checksum_address(said)) if said else ""
    if kind.startswith("uint"):
        if not _NUMBER.fullmatch(said) or int(said) >= 1 << int(kind[4:]):
            raise _bad(where, f"is no {kind} in decimal digits")
        return int(said)
    found = bytes.fromhex(said[2:]) if _HEX.fullmatch(said) else None
    if found is None or (kind == "bytes32" and len(found) != 32):
        raise _bad(where, f"is no {kind} in hexadecimal")
    return found


def _object(said: Any, names: set[str], where: str) -> dict[str, Any]:
    if not isinstance(said, dict) or set(said) != names:
        raise _bad(where, f"has exactly the fields {', '.join(sorted(names))}")
    return said


def _bad(where: str, what: str) -> NotSigned:
    return NotSigned("bad_request", f"{where} {what}.", status=400, field=where)
