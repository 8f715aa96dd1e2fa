"""Small readings of the same rows, by one message to the database, each planned once for each connection.

To plan such a reading takes the database several times as long as to carry it out, and on a busy machine every answer
that is waited for is another turn at the processor. So what belongs together is prepared once on a connection, under
the hash of its text, and then asked for together. For few keys: these plans are made for few.
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

from django.db import connection

KEYS = "%s"  # where a reading names what it is about, uuid[]; one without it is about everything
_prepared: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()  # by the driver's connection: it dies with them


def of(keys: Iterable[UUID], *readings: str) -> list[list[Any]]:
    """The rows of each reading, in their order; a reading is one statement with `%s` wherever it names the keys."""
    asked = list(keys)
    with connection.cursor() as cursor:
        known = _prepared.setdefault(connection.connection, set())
        for reading in readings:
            if reading not in known:
                cursor.execute(f"PREPARE {_named(reading)} {_defined(reading)}")
                known.add(reading)
        cursor.execute("; ".join(map(_executed, readings)), [asked for one in readings if KEYS in one])
        found = [cursor.fetchall()]
        while cursor.nextset():
            found.append(cursor.fetchall())
    return found


def _named(reading: str) -> str:
    return f"reading_{sha256(reading.encode()).hexdigest()[:32]}"


def _defined(reading: str) -> str:
    return f"(uuid[]) AS {reading.replace(KEYS, '$1')}" if KEYS in reading else f"AS {reading}"


def _executed(reading: str) -> str:
    return f"EXECUTE {_named(reading)}({KEYS})" if KEYS in reading else f"EXECUTE {_named(reading)}"
