"""EIP-712 messages: the 32 bytes that are signed, and who signed them.

`eth_account` is imported where it is used: importing it computes pairings of the BLS12-381 curve, 1.3 s of processor
time that every process of the platform would spend at its start, and most of them never sign.
"""

import re
from typing import Any

from eth_utils.crypto import keccak

_SIGNATURE = re.compile("(0x)?[0-9a-fA-F]{130}")


def digest_of(message: dict[str, Any]) -> bytes:
    """The 32 bytes that a wallet signs for this full EIP-712 message."""
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
