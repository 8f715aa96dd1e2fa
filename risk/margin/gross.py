"""Books of relationships without a netting opinion. Pure.

Whether a contract nets is for the law of the client's insolvency. Where no opinion says that it does, a liquidator may
keep the client to the trades that gain and leave those that lose: what is owed on one is not reduced by what is gained
on another. So every instrument is a book of its own, and gains count for nothing. In one instrument positions net: they
are one contract already, since a trade against an older one uses it up when it is novated.

Margin held is no trade. It is security for the whole claim, in a vault of its own, and moves with the market as ever:
a scenario's loss is what the losing instruments lose together, and what the margin then loses or gains.

Initial margin is the sum of what each instrument would ask alone (M1: additive), as if all had their worst day at once;
a scenario is one day, in which those that gain are left out. Only the cost of running down is not that of each alone:
it grows faster than size, and there is one market of a coin, so all that is held in it counts, long and short together.
"""

import numpy as np
from numpy.typing import NDArray

from risk.margin.matrices import RiskMatrices
from risk.margin.measures import losses_in_double
from risk.margin.positions import Positions

Floats = NDArray[np.float64]

BLOCK = 256  # books of one instrument whose losses are held at once: 4 MB


def position_losses(positions: Positions, profit: Floats) -> Floats:
    """(A, shocks) USD of positions under the shocks of `profit`; of a gross account what its losing instruments lose,
    never below zero."""
    losses = losses_in_double(positions, profit)
    if positions.gross is None or not positions.gross.any():
        return losses
    losses[positions.gross] = 0.0
    books, owners = positions.by_instrument()
    for start in range(0, books.accounts, BLOCK):
        lost = np.maximum(losses_in_double(books.slice(start, start + BLOCK), profit), 0.0)
        for row, owner in zip(lost, owners[start : start + BLOCK].tolist(), strict=True):
            losses[owner] += row
    return losses


def joint_losses(positions: Positions, collateral: Positions | None, profit: Floats) -> Floats:
    """(A, shocks) USD of positions and margin assets of the same accounts together."""
    losses = losses_in_double(positions.with_held(collateral), profit)
    if positions.gross is None or not positions.gross.any():
        return losses
    mine = np.flatnonzero(positions.gross)
    losses[mine] = position_losses(positions.take(mine), profit)
    if collateral is not None:
        losses[mine] += losses_in_double(collateral.take(mine), profit)
    return losses


def net_delta(positions: Positions, matrices: RiskMatrices) -> Floats:
    """(A, U) USD delta by underlying; cash has none."""
    columns = matrices.table.column[positions.indices]
    keep = columns >= 0
    delta = np.zeros((positions.accounts, len(matrices.table.coins)))
    amounts = positions.quantity * matrices.table.delta_usd[positions.indices]
    np.add.at(delta, (positions.owners()[keep], columns[keep]), amounts[keep])
    return delta


def delta_to_close(positions: Positions, matrices: RiskMatrices) -> Floats:
    """(A, U) USD delta that would have to be replaced in the market of each underlying, not below zero: the net one,
    and of a gross account all that is held, long and short added up."""
    delta = np.abs(net_delta(positions, matrices))
    if positions.gross is None or not positions.gross.any():
        return delta
    delta[positions.gross] = 0.0
    books, owners = positions.by_instrument()
    np.add.at(delta, owners, np.abs(net_delta(books, matrices)))
    return delta
