"""How large the exposure to one relationship may become, and how one-sided the whole book is. Pure.

Potential future exposure over h days: the engine's own daily scenarios carried by the square root of time, the book
valued anew under each (not its delta), with no variation paid meanwhile; quantiles of what would be owed, not below
zero. What stands against it - margin as it would then be worth, then layers - is the limit line.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from risk.margin.gross import position_losses
from risk.margin.matrices import RiskMatrices
from risk.margin.positions import Positions
from risk.margin.revaluation import profit_matrix
from risk.margin.shocks import ShockSet

Floats = NDArray[np.float64]

DAYS = (1.0, 2.0, 5.0, 10.0)
QUANTILES = (0.50, 0.90, 0.975, 0.99)  # the last two are those that credit lines are judged by
LARGEST = 5  # relationships whose share of one side of a coin is told
BLOCK = 256  # relationships whose losses are held at once: 4 MB


def over(shocks: ShockSet, days: float, period_days: float) -> ShockSet:
    """Shocks of one period carried to `days`: log moves of price, volatility and basis by the square root of time. The
    premium of perpetuals reverts within hours and stays what it is."""
    return shocks.carried(float(np.sqrt(days / period_days)))


def future_exposure(
    matrices: RiskMatrices, positions: Positions, exposure: Floats, shocks: ShockSet, days: Sequence[float] = DAYS
) -> Floats:
    """(A, days, quantiles) USD. `exposure` (A,) owed already; `shocks` the scenarios of the matrices' day."""
    found = np.empty((positions.accounts, len(days), len(QUANTILES)))
    for column, horizon in enumerate(days):
        profit = profit_matrix(matrices.table, over(shocks, horizon, matrices.ruleset.mpor_hours / 24.0))
        for start in range(0, positions.accounts, BLOCK):
            part = slice(start, start + BLOCK)
            owed = exposure[part, None] + position_losses(positions.slice(start, start + BLOCK), profit)
            found[part, column] = np.quantile(np.maximum(owed, 0.0), QUANTILES, axis=1).T
    return found


@dataclass(frozen=True)
class Crowding:
    """One coin over all relationships, USD of net delta. `long` and `short` (both positive) added up over whoever is
    on that side; `one_sided` |long - short| / (long + short); `largest` indices of the accounts that hold most of the
    larger side, and `largest_share` theirs of it; `first_long` and `first_short` the largest share that one account has
    of its side. While nobody defaults the sides of an intermediated book match: then the shares tell who is crowded."""

    coin: str
    long: float
    short: float
    one_sided: float
    largest: tuple[int, ...]
    largest_share: float
    first_long: float
    first_short: float


def crowding(coins: Sequence[str], delta: Floats) -> list[Crowding]:
    """Every coin that somebody holds, the largest gross first; `delta` (A, U) net USD by account and coin. What is
    one-sided over many relationships loses at the same time and must be replaced into one market."""
    found = []
    for column, coin in enumerate(coins):
        own = delta[:, column]
        sides = float(np.maximum(own, 0.0).sum()), float(np.maximum(-own, 0.0).sum())
        if sum(sides) == 0.0:
            continue
        larger = own if sides[0] >= sides[1] else -own
        order = [int(row) for row in np.argsort(-larger, kind="stable")[:LARGEST] if larger[row] > 0.0]
        found.append(
            Crowding(
                coin=coin,
                long=sides[0],
                short=sides[1],
                one_sided=abs(sides[0] - sides[1]) / sum(sides),
                largest=tuple(order),
                largest_share=float(larger[order].sum()) / max(sides),
                first_long=_first_share(own),
                first_short=_first_share(-own),
            )
        )
    return sorted(found, key=lambda one: -(one.long + one.short))


def _first_share(side: Floats) -> float:
    """What the largest positive entry has of all positive ones; 0 of none."""
    whole = float(np.maximum(side, 0.0).sum())
    return float(side.max()) / whole if whole > 0.0 else 0.0
