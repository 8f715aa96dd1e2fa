"""What a margin asset could lose before it is sold, by the same scenarios as the positions. Pure.

haircut = max(floor, 1 - exp(-ES)) + concentration, ES the 99% expected shortfall of the asset's log loss over the
margin period. Signed terms bind (they name their own haircuts); this figure says whether they are enough.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

import numpy as np

from risk.margin.matrices import RiskMatrices
from risk.margin.tails import expected_shortfall

BPS = 10_000


@dataclass(frozen=True)
class ModelHaircut:
    """Of one asset, as shares of its price: `floor` of the ruleset, `shortfall` 1 - exp(-ES), `concentration` the cost
    of selling all that is held of it."""

    asset: str
    floor: float
    shortfall: float
    concentration: float

    @property
    def bps(self) -> int:
        """The haircut in basis points, at most the whole price."""
        return min(BPS, bps_up(max(self.floor, self.shortfall) + self.concentration))


def bps_up(share: float) -> int:
    """Basis points, rounded up; what a float has beyond a millionth of one is noise."""
    return ceil(round(share * BPS, 6))


def model_haircuts(matrices: RiskMatrices, held_usd: Mapping[str, float]) -> list[ModelHaircut]:
    """Of every margin asset of the matrices (spot and cash that stand under an asset's code in `held_usd`), in their
    order. `held_usd` what all relationships together hold of each, market value: in a crash all of it is sold at once.
    """
    rules, table = matrices.ruleset, matrices.table
    found = []
    for row, item in enumerate(table.instruments):
        if item.id not in held_usd or item.kind not in ("spot", "cash"):
            continue
        # A price of zero has no logarithm; the model has none, but a stressed peg might.
        left = np.maximum(1.0 + matrices.profit[row] / table.mark[row], 1e-12)
        shortfall = float(expected_shortfall(-np.log(left)[None, :], rules.es_quantile)[0])
        if item.kind == "cash":
            # What is called for is called for in this very token: its peg is no risk of the requirement. It is one of
            # the house that replaces in dollars, and the admission test counts it.
            shortfall = 0.0
        found.append(
            ModelHaircut(
                asset=item.id,
                floor=rules.haircut_bps.get(item.id, rules.haircut_other_bps) / BPS,
                shortfall=float(-np.expm1(-max(shortfall, 0.0))),
                concentration=_concentration(matrices, int(table.column[row]), held_usd[item.id]),
            )
        )
    return found


def _concentration(matrices: RiskMatrices, column: int, held_usd: float) -> float:
    """Liquidity charge of selling this much, as a share of it; a token that is cash is redeemed, not sold."""
    if column < 0 or held_usd <= 0.0:
        return 0.0
    size, adv, vol = (np.array([value]) for value in (held_usd, matrices.adv_usd[column], matrices.daily_vol[column]))
    return float(matrices.liquidity.charge(size, adv, vol)[0]) / held_usd
