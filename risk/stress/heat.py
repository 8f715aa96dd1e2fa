"""The stress map of one relationship: every coin by the same move, implied volatility by a factor, and what would be
left after its margin and after its layers at each. Pure; USD floats, shown and never settled."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from risk.margin.addons import close_out_cost
from risk.margin.gross import delta_to_close, position_losses
from risk.margin.matrices import RiskMatrices
from risk.margin.measures import losses_in_double
from risk.margin.positions import Positions
from risk.margin.revaluation import profit_matrix
from risk.margin.shocks import ShockSet

Floats = NDArray[np.float64]

MOVES = (-0.60, -0.50, -0.40, -0.30, -0.20, -0.10, 0.0, 0.10, 0.20, 0.30, 0.40, 0.60)
VOL_RATIOS = (0.6, 0.8, 1.0, 1.25, 1.5, 2.0)


@dataclass(frozen=True)
class StressMap:
    """(A, V, M) USD by account, volatility factor and move: `net` loss after margin, `beyond` of it after the layers.
    Sums over accounts are sums of what each bears alone: nothing nets between relationships."""

    net: Floats
    beyond: Floats


def stress_map(
    matrices: RiskMatrices, positions: Positions, collateral: Positions, exposure: Floats, layers: Floats
) -> StressMap:
    """`exposure` (A,) USD already owed, `layers` (A,) USD that funded layers can still pay."""
    coins = matrices.table.coins
    grid = np.array([(1.0 + move, ratio) for ratio in VOL_RATIOS for move in MOVES])
    ones = np.ones((1, len(coins)))
    profit = profit_matrix(matrices.table, ShockSet.of_prices(coins, grid[:, :1] * ones, grid[:, 1:] * ones))
    holds = np.array([item.kind in ("spot", "cash") for item in matrices.table.instruments])
    value = collateral.weighted(np.where(holds, matrices.table.mark, 0.0))
    margin = value[:, None] - losses_in_double(collateral, profit)
    gross = exposure[:, None] + position_losses(positions, profit)
    delta = delta_to_close(positions, matrices)
    for column, ratio in enumerate(grid[:, 0]):
        gross[:, column] += close_out_cost(matrices.liquidity, delta * ratio, matrices.adv_usd, matrices.daily_vol).sum(
            axis=1
        )
    net = np.maximum(gross - margin, 0.0)
    shape = (positions.accounts, len(VOL_RATIOS), len(MOVES))
    return StressMap(net.reshape(shape), np.maximum(net - layers[:, None], 0.0).reshape(shape))
