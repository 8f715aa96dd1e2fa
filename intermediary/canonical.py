"""Canonical JSON and its hash: what both sides sign, what the chain stores, what an approval binds.

Keys sorted, no white space, UTF-8, no floats (a float has no one decimal form): amounts are ints, prices strings.
"""

import hashlib
import json
import re
from decimal import Decimal
from typing import Any
from uuid import UUID

DEEPEST = 100  # several times the deepest document of ours, typed data with arrays
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)
_BRACKET = re.compile(r"[][{}]")


def canonical_json(body: Any) -> str:
    """The one text of a JSON value. Raises TypeError on floats and unknown types."""
    return _ENCODER.encode(_plain(body))


def read_json(text: str) -> Any:
    """JSON from outside. Raises ValueError for what is none, and for what is nested deeper than anything of ours.

    The parser recurses in C, and a library of the chain's lets Python recurse so far that such a text ends the process.
    Brackets inside strings count as well.
    """
    depth = 0
    for found in _BRACKET.finditer(text):
        depth += 1 if found.group() in "[{" else -1
        if depth > DEEPEST:
            raise ValueError(f"nested deeper than {DEEPEST}")
    return json.loads(text)


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
