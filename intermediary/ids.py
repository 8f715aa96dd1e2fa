"""Identifiers: UUIDv7 (RFC 9562), made in Python because PostgreSQL 15 is the floor.

Sortable by creation time to the millisecond, random below it: good index locality, nothing to guess.
`derive` gives the same id for the same parts, so that a retried effect finds its first result.
"""

import os
import time
import uuid

_NAMESPACE = uuid.UUID("6b1c1d0e-0b0a-5f6e-9b8e-62756c6b6864")


def uuid7() -> uuid.UUID:
    """A new time-ordered id."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return uuid.UUID(int=value)


def derive(*parts: object) -> uuid.UUID:
    """The id of an effect that is fully described by its parts: equal parts, equal id (UUIDv5)."""
    return uuid.uuid5(_NAMESPACE, "\x1f".join(str(part) for part in parts))
