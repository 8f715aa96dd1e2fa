"""What a tick computes once for all accounts: every instrument priced under every shock.

Built by one process from (snapshot, ruleset, scenarios, instruments) and used for each shard of accounts. Nothing here
knows an account.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from risk.margin.addons import LiquidityModel
from risk.margin.instruments import Instrument
from risk.margin.kernels import slices
from risk.margin.lookup import ProfitLookup
from risk.margin.revaluation import InstrumentTable, profit_matrix, resolve
from risk.margin.ruleset import Ruleset
from risk.margin.scenarios import ScenarioSet
from risk.margin.shocks import ShockSet, forecast_shocks, jump_shocks, stress_shocks
from risk.margin.wrong_way import Tilts
from risk.market.parameters import load_parameters
from risk.market.snapshot import MarketSnapshot
from risk.market.turnover import share_ahead

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Integers = NDArray[np.int64]

# Into which a position is sold: the half day of run-down that a margin period holds. A figure of its own, so that a
# shorter one there makes the charge larger whatever the hour.
PACE_HOURS = 12.0


@dataclass(frozen=True)
class RiskMatrices:
    """Profit matrices (I instruments by shocks), USD per unit held, and the market data of the add-ons.

    `inputs` the hash of what the scenarios follow from (`ScenarioSet`): with snapshot and book it names a result.
    `profit` scenarios, `profit_single` and `profit_slices` the same in float32 for the bulk; `tilts` their weights
    where clients fail, None under a ruleset that adds nothing for that; `jump` grid; `stress` the ruleset's list;
    `forecast` -5/-10/-20%, options at the volatility that answers; `unpriced` the rows without a price under every
    shock, zero here. `adv_usd`, a day's turnover at the pace of the hours to come, `daily_vol` and its floor
    `vol_floor` (U,) in the order of the table's coins.
    """

    snapshot_id: str
    ruleset: Ruleset
    scenario_id: str
    inputs: str
    table: InstrumentTable
    stress_shocks: ShockSet
    profit: Floats
    profit_single: Singles
    profit_slices: Singles
    tilts: Tilts | None
    jump: Floats
    stress: Floats
    forecast: Floats
    unpriced: Integers
    adv_usd: Floats
    daily_vol: Floats
    vol_floor: Floats
    liquidity: LiquidityModel

    @classmethod
    def build(
        cls, snapshot: MarketSnapshot, ruleset: Ruleset, scenarios: ScenarioSet, instruments: Sequence[Instrument]
    ) -> "RiskMatrices":
        """Price everything. Raises ValueError when the scenarios and the snapshot know different coins. An instrument
        without a price under every shock is `unpriced`: who holds it is refused, and nobody else."""
        table = resolve(instruments, snapshot)
        coins = table.coins
        stressed = stress_shocks(snapshot, ruleset.stress)
        lists = (
            scenarios.shocks,
            jump_shocks(coins, ruleset.jump_moves, ruleset.jump_vol_moves),
            stressed,
            forecast_shocks(coins, scenarios.daily_vol, load_parameters().vol_response),
        )
        priced = [profit_matrix(table, shocks) for shocks in lists]
        bad = ~np.all([np.isfinite(found).all(axis=1) for found in priced], axis=0)
        for found in priced:
            found[bad] = 0.0  # the compiled kernels do not look, and one row that is no number spoils its neighbours
        profit, jump, stress, forecast = priced
        return cls(
            snapshot_id=snapshot.id,
            ruleset=ruleset,
            scenario_id=scenarios.id,
            inputs=scenarios.inputs,
            table=table,
            stress_shocks=stressed,
            profit=profit,
            profit_single=profit.astype(np.float32),
            profit_slices=slices(profit),
            tilts=Tilts.of(scenarios.distress, ruleset),
            jump=jump,
            stress=stress,
            forecast=forecast,
            unpriced=np.flatnonzero(bad),
            adv_usd=_turnover(snapshot, ruleset),
            daily_vol=scenarios.daily_vol,
            vol_floor=scenarios.vol_floor,
            liquidity=LiquidityModel.of(ruleset),
        )

    @cached_property
    def lookup(self) -> ProfitLookup:
        """The scenarios for those who know which of them they want."""
        return ProfitLookup.of(self.scenario_id, self.profit_single)


def _turnover(snapshot: MarketSnapshot, ruleset: Ruleset) -> Floats:
    """(U,) USD a day, at the pace at which it usually comes in the hours ahead."""
    mean = np.array([float(snapshot.underlyings[coin].adv_usd) for coin in snapshot.coins])
    if not ruleset.liquidity_by_hour:
        return mean
    paced: Floats = mean * share_ahead(load_parameters().turnover_profile, snapshot.as_of, PACE_HOURS)
    return paced
