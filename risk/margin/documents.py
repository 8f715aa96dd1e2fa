"""JSON documents of many accounts at once, column by column: a tick writes thousands of them, and reads none. Pure."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

Piece = Any  # words that every document has there, or a column (A,) of what each has: numbers, truths, words


def texts(pieces: Sequence[Piece]) -> list[str]:
    """(A,) the pieces of each document one after the other. A float is the shortest number that is equal to it, with no
    point where it is whole."""
    columns = [piece if isinstance(piece, str) else pa.array(piece).cast(pa.string()) for piece in pieces]
    found: list[str] = pc.binary_join_element_wise(*columns, "").to_pylist()
    return found
