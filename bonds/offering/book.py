"""The book of an offering: orders in, one clearing spread and exact fills out. Pure integers.

The clearing spread is the lowest at which orders that accept it cover the target; every filled order gets it. Orders
below it are filled in full, orders exactly at it share what is left in proportion to their amounts, by whole
denominations, largest remainder first. So no order gets less for having asked for less, and permuting orders changes
nothing but the order in which equal remainders are served (by order id).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from intermediary.waterfall import share_pro_rata


@dataclass(frozen=True)
class Bid:
    """An order as the book sees it; `amount` is a multiple of the denomination."""

    order_id: UUID
    amount_base_units: int
    minimum_spread_bps: int


@dataclass(frozen=True)
class Clearing:
    """The spread everybody gets, and the fill of each order; fills sum to the target."""

    spread_bps: int
    fills_base_units: dict[UUID, int]


def clear(target_base_units: int, bids: Sequence[Bid], denomination_base_units: int) -> Clearing | None:
    """Clear the book, or None when it does not cover the target. Raises ValueError on amounts off the denomination."""
    amounts = [target_base_units, *(bid.amount_base_units for bid in bids)]
    if any(amount <= 0 or amount % denomination_base_units for amount in amounts):
        raise ValueError(f"amounts are positive multiples of {denomination_base_units} base units")
    if sum(bid.amount_base_units for bid in bids) < target_base_units:
        return None
    spread = _clearing_spread(target_base_units, bids)
    fills = {bid.order_id: 0 for bid in bids}
    for bid in bids:
        if bid.minimum_spread_bps < spread:
            fills[bid.order_id] = bid.amount_base_units
    marginal = sorted((bid for bid in bids if bid.minimum_spread_bps == spread), key=lambda bid: bid.order_id)
    left = (target_base_units - sum(fills.values())) // denomination_base_units
    lots = share_pro_rata(left, [bid.amount_base_units // denomination_base_units for bid in marginal])
    fills.update({bid.order_id: lot * denomination_base_units for bid, lot in zip(marginal, lots, strict=True)})
    return Clearing(spread, fills)


def _clearing_spread(target_base_units: int, bids: Sequence[Bid]) -> int:
    demand = 0
    for bid in sorted(bids, key=lambda bid: bid.minimum_spread_bps):
        demand += bid.amount_base_units
        if demand >= target_base_units:
            return bid.minimum_spread_bps
    raise AssertionError("the caller knows that the book covers the target")
