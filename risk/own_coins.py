"""Specific wrong-way risk: nobody becomes longer in a coin that is its own, or an affiliate's.

The position is worth nothing just when its owner fails, and no margin line tells it from another's: scenario weights
know the market, not the client. So it is refused like the same coin as margin is. What stood before the coin was stated
may stay or shrink, and who is short of its own coin gains when it fails. Delta decides, so that a put sold is refused
and a put bought is not.
"""

from collections.abc import Sequence

from intermediary.errors import Refusal
from intermediary.ports import PlannedTrade
from risk.weighing import Weighed

ROUNDING = 1e-9  # of the delta: sums of floats in two orders


def refuse_longer_own_coins(weighed: Weighed, trades: Sequence[PlannedTrade]) -> None:
    """Refuse `own_coin_longer` when these trades, which are booked in `weighed`, leave more dollar delta in a coin that
    is the relationship's own than before, and more than none."""
    own = weighed.relationship.own_coins
    if not own or not trades:
        return
    batch, universe = weighed.found.batch, weighed.market.universe
    table, after = batch.matrices.table, batch.net_delta[weighed.found.index]
    for coin in sorted(own.intersection(table.coins)):
        column = table.coins.index(coin)
        rows = [(universe.row_of_instrument[trade.instrument_id], float(trade.quantity)) for trade in trades]
        added = sum(quantity * table.delta_usd[row] for row, quantity in rows if table.column[row] == column)
        before, then = float(after[column] - added), float(after[column])
        if then > max(before, 0.0) + ROUNDING * (abs(before) + abs(then)):
            raise Refusal(
                "own_coin_longer",
                f"{coin} is this party's own coin, or an affiliate's: nobody becomes longer in its own.",
                underlying=coin,
                delta_usd_before=round(before),
                delta_usd_after=round(then),
            )
