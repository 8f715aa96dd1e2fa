"""Handing on what others did not pay for: at the same spread, in rank order. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True)
class Waiting:
    """An order that accepts the spread and got `left_base_units` less than it asked for.

    `minimum_fill_base_units` is what it must get now, or nothing: zero once it got something.
    """

    order_id: UUID
    rank: int
    left_base_units: int
    minimum_fill_base_units: int


def hand_on(missing_base_units: int, waiting: Sequence[Waiting]) -> dict[UUID, int]:
    """What each order gets of the missing amount, lowest rank first, all it still asks for before the next.

    A payment may be short by less than a denomination: the last part is then what is left, so that the class is sold
    in full. An order that would get less than its minimum fill is passed over. Orders that get nothing are not named.
    """
    parts: dict[UUID, int] = {}
    left = missing_base_units
    for one in sorted(waiting, key=lambda each: each.rank):
        part = min(left, one.left_base_units)
        if part <= 0 or part < one.minimum_fill_base_units:
            continue
        parts[one.order_id] = part
        left -= part
    return parts
