"""How a defaulted book is replaced: the published schedule, pure.

At each valuation at most a share of the market's depth is used, and the price paid is the mark moved against us in
proportion to that share, and the next slice of the same waits until the market can be counted on to have refilled,
however often it is valued. When the mark has just moved fast, our own slice waits for a bounded number of valuations;
nobody else's trading is touched and no price is ever clipped. The same formula prices the replacement that did happen
and the one that would have happened on time (D4), so that the two differ by the marks alone.

Quantities are signed as the defaulter held them; prices are dollars a unit; depth is dollars within 1% of the mark.
This file knows no database and no clock.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any

from intermediary.money import EXACT, round_down

QUANTITY_STEP = Decimal("0.00000001")  # the finest quantity that a trade may have
PRICE_STEP = Decimal("0.0000000001")  # the finest price: quantity x price stays exact in 18 places
SLIPPAGE_BPS_MAX = 5_000  # a price is never moved by more than half: beyond it the linear formula means nothing


@dataclass(frozen=True)
class CloseOutRules:
    """The published parameters of one close-out, bound into its default notice. Basis points unless named otherwise."""

    participation_bps: int = 5_000  # of the depth, in each slice: a book refills within minutes
    spread_bps: int = 10  # paid on any slice
    impact_bps: int = 100  # paid on a slice that uses the whole depth; depth is measured within 1%, hence 100
    pause_move_bps: int = 500  # a faster move since the last valuation makes our slice wait
    max_pauses: int = 2  # in a row, so that a close-out always ends
    cost_bps: int = 10  # of the notional replaced
    fixed_cost_base_units: int = 0
    # Seconds between the valuations of two slices of one instrument or token: a reading of the books serves for no
    # longer, so none is spent twice however often the market is valued.
    slice_every_s: int = 300

    def body(self) -> dict[str, int]:
        """The plain JSON value that the notice carries."""
        return asdict(self)

    @classmethod
    def from_body(cls, body: dict[str, Any]) -> "CloseOutRules":
        """Read a body back; raises KeyError on a missing parameter. A notice that was given before slices kept a time
        apart promised none."""
        known = {"slice_every_s": 0, **body}
        return cls(**{field.name: int(known[field.name]) for field in fields(cls)})


STANDARD_RULES = CloseOutRules()


@dataclass(frozen=True)
class DepthQuote:
    """What the market can take: dollars within 1% of the mark, and how much worse than usual each dollar moves it."""

    depth_usd_1pct: Decimal
    volatility_multiplier: Decimal = Decimal(1)


@dataclass(frozen=True)
class Slice:
    """One piece to trade now: signed quantity of the defaulter's holding, and its price after slippage."""

    quantity: Decimal
    price: Decimal


def moved_bps(mark: Decimal, previous_mark: Decimal) -> Decimal:
    """Size of the move between two marks in basis points of the earlier one."""
    with localcontext(EXACT):
        return abs(mark - previous_mark) / max(previous_mark, PRICE_STEP) * 10_000


def must_pause(*, mark: Decimal, previous_mark: Decimal | None, pauses: int, rules: CloseOutRules) -> bool:
    """Velocity logic: wait when the mark moved faster than the limit, at most `max_pauses` times in a row."""
    if previous_mark is None or pauses >= rules.max_pauses:
        return False
    return moved_bps(mark, previous_mark) > rules.pause_move_bps


def must_rest(as_of: datetime, last_slice: datetime | None, rules: CloseOutRules) -> bool:
    """Whether a slice at the valuation `as_of` would come too soon after that of the valuation `last_slice`."""
    return last_slice is not None and as_of - last_slice < timedelta(seconds=rules.slice_every_s)


def slippage_bps(notional_usd: Decimal, depth: DepthQuote, rules: CloseOutRules) -> Decimal:
    """spread + impact x (notional / depth) x volatility multiplier."""
    with localcontext(EXACT):
        share = notional_usd / depth.depth_usd_1pct
        return min(rules.spread_bps + rules.impact_bps * share * depth.volatility_multiplier, Decimal(SLIPPAGE_BPS_MAX))


def next_slice(remaining: Decimal, mark: Decimal, depth: DepthQuote, rules: CloseOutRules) -> Slice:
    """The piece of `remaining` (signed) that this valuation's depth allows, at least one quantity step.

    A long position is sold below the mark, a short one bought back above it. What is worth nothing goes in one piece,
    for the smallest price there is.
    """
    with localcontext(EXACT):
        mark = max(mark, PRICE_STEP)
        allowed = depth.depth_usd_1pct * rules.participation_bps / 10_000 / mark
        allowed = max(allowed.quantize(QUANTITY_STEP, ROUND_DOWN), QUANTITY_STEP)
        size = min(abs(remaining), allowed)
        quantity = size.copy_sign(remaining)
        against_us = -1 if remaining > 0 else 1
        factor = 1 + against_us * slippage_bps(size * mark, depth, rules) / 10_000
        return Slice(quantity, _price(mark * factor))


def value_base_units(value_usd: Decimal, decimals: int) -> int:
    """Dollars to settlement base units, towards zero: the one rounding of a close-out, against whoever receives."""
    with localcontext(EXACT):
        units = round_down(abs(value_usd).scaleb(decimals))
    return units if value_usd >= 0 else -units


def costs_base_units(slices: Sequence[Slice], rules: CloseOutRules, decimals: int) -> int:
    """The published cost schedule: fixed part + basis points of the notional replaced; nothing when nothing was."""
    if not slices:
        return 0
    with localcontext(EXACT):
        notional = sum((abs(piece.quantity) * piece.price for piece in slices), Decimal(0))
        return rules.fixed_cost_base_units + value_base_units(notional * rules.cost_bps / 10_000, decimals)


def close_out_base_units(settled_value_usd: Decimal, slices: Sequence[Slice], decimals: int) -> int:
    """The Close-out Amount: what the book lost since the last settlement. Positive: the defaulter owes it."""
    with localcontext(EXACT):
        replaced = sum((piece.quantity * piece.price for piece in slices), Decimal(0))
        return value_base_units(settled_value_usd - replaced, decimals)


def same_slippage(piece: Slice, mark: Decimal, other_mark: Decimal) -> Slice:
    """The same piece traded at another mark with the slippage that it had."""
    with localcontext(EXACT):
        return Slice(piece.quantity, _price(other_mark * (piece.price / max(mark, PRICE_STEP))))


def _price(exact: Decimal) -> Decimal:
    return max(exact.quantize(PRICE_STEP, ROUND_HALF_EVEN), PRICE_STEP)
