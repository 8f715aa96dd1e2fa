"""EIP-712 messages: the 32 bytes that are signed, and who signed them.

A batch has two hundred parts of six words each, for which a library that takes any message needs fifty times as long as
laying the words out; that is done here. Whatever is not a word, a text or a list of such parts, and every value that is
not plainly of its type, is left to the library, to encode or to refuse.

`eth_account` is imported where it is used: importing it computes pairings of the BLS12-381 curve, 1.3 s of processor
time that every process of the platform would spend at its start, and most of them never sign.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from eth_utils.crypto import keccak

Fields = Sequence[Mapping[str, str]]
_BITS = {f"uint{bits}": bits for bits in range(8, 257, 8)}
_HEX_DIGITS = {"address": 40, "bytes32": 64}
_SIGNATURE = re.compile("(0x)?[0-9a-fA-F]{130}")


def digest_of(message: dict[str, Any]) -> bytes:
    """The 32 bytes that a wallet signs for this full EIP-712 message."""
    types = message["types"]
    try:
        of_domain = _hash_struct(types, "EIP712Domain", message["domain"])
        return keccak(b"\x19\x01" + of_domain + _hash_struct(types, message["primaryType"], message["message"]))
    except (ValueError, KeyError, TypeError, OverflowError):
        return _digest_by_library(message)


def words_of(fields: Fields, values: Mapping[str, Any]) -> bytes:
    """The values of fields of one word each, as the contract reads them: 32 bytes a field. Errors as of `word`."""
    return b"".join([word(values[field["name"]], field["type"]) for field in fields])


def word(value: Any, kind: str) -> bytes:
    """One value in 32 bytes: an int for an unsigned number, 0x hexadecimal for an address or bytes32.

    OverflowError where a number does not fit its type, ValueError for any other value or type.
    """
    if kind in _BITS and type(value) is int:
        if value >> _BITS[kind]:
            raise OverflowError(f"{value} does not fit {kind}")
        return value.to_bytes(32)
    if kind in _HEX_DIGITS and isinstance(value, str) and value[:2] == "0x" and len(value) == 2 + _HEX_DIGITS[kind]:
        return bytes.fromhex(value[2:]).rjust(32, b"\0")
    raise ValueError(f"{value!r} is no {kind} of one word")


def _hash_struct(types: Mapping[str, Fields], name: str, values: Mapping[str, Any]) -> bytes:
    parts = [_type_hash(types, name)]
    for field in types[name]:
        kind, value = field["type"], values[field["name"]]
        if kind == "string":
            parts.append(keccak(text=value))
        elif kind.endswith("[]"):
            of_item, fields = _type_hash(types, kind[:-2]), types[kind[:-2]]
            parts.append(keccak(b"".join([keccak(of_item + words_of(fields, item)) for item in value])))
        else:
            parts.append(word(value, kind))
    return keccak(b"".join(parts))


def _type_hash(types: Mapping[str, Fields], name: str) -> bytes:
    listed = sorted({field["type"][:-2] for field in types[name] if field["type"].endswith("[]")})
    texts = [
        f"{part}({','.join(field['type'] + ' ' + field['name'] for field in types[part])})" for part in (name, *listed)
    ]
    return keccak(text="".join(texts))


def _digest_by_library(message: dict[str, Any]) -> bytes:
    from eth_account.messages import encode_typed_data

    signable = encode_typed_data(full_message=message)
    return keccak(b"\x19" + signable.version + signable.header + signable.body)


def signer_of(message: dict[str, Any], signature: str) -> str | None:
    """The checksummed address whose key made this signature (65 bytes r, s, v in hexadecimal); None when it is not
    well formed, or of no key at all."""
    if not _SIGNATURE.fullmatch(signature):
        return None
    from eth_account import Account
    from eth_account.messages import encode_typed_data
    from eth_keys.exceptions import BadSignature

    try:
        return str(Account.recover_message(encode_typed_data(full_message=message), signature=signature))
    except (ValueError, BadSignature):
        return None
