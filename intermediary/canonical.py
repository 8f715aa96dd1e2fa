"""Canonical JSON and its hash: what both sides sign, what the chain stores, what an approval binds.

Keys sorted, no white space, UTF-8, no floats (a float has no one decimal form): amounts are ints, prices strings.
"""

import hashlib
import json
from decimal import Decimal
from typing import Any
from uuid import UUID


def canonical_json(body: Any) -> str:
    """The one text of a JSON value. Raises TypeError on floats and unknown types."""
    return json.dumps(_plain(body), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def sha256_hex(text: str) -> str:
    """SHA-256 of the UTF-8 text, 64 hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def hash_of(body: Any) -> str:
    """SHA-256 of the canonical JSON."""
    return sha256_hex(canonical_json(body))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        raise TypeError("floats have no canonical form; use an int or a decimal string")
    if isinstance(value, UUID | Decimal):
        return str(value)
    if value is None or isinstance(value, bool | int | str):
        return value
    raise TypeError(f"{type(value).__name__} has no canonical form")
