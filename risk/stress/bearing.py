"""Who bears a stress: the loss of a relationship against its margin, then its own layers in the order of loss, then
UNCOVERED; and the same for the intermediary, which is the sum of its relationships and their need of cash.

Everybody whose margin does not cover the scenario is taken to default in it. No relationship's layers pay for another,
so nothing nets between them. Amounts are ints in settlement base units; losses round up, margin rounds down. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from intermediary.money import amount_from_float, requirement_from_float
from intermediary.waterfall import layer_loss
from risk.margin.admission import Resources, ScenarioOutcome, assess
from risk.margin.matrices import RiskMatrices
from risk.margin.positions import Positions
from risk.margin.requirement import stressed_books
from risk.margin.revaluation import profit_matrix
from risk.margin.shocks import stress_shocks
from risk.margin.stress import StressScenario
from risk.market.snapshot import MarketSnapshot

Floats = NDArray[np.float64]

TOGETHER = 2  # the largest relationships whose default at once the liquidity float must carry


@dataclass(frozen=True, kw_only=True)
class Borne:
    """One scenario of one relationship, or of many added up; base units.

    `gross` exposure already owed, loss of positions and cost of the close-out (negative: a gain); `margin` used of its
    stressed value; then what is left: `first_loss`, `tail`, `senior`, `uncovered`. `prefinance` is the cash that the
    intermediary lays out for a defaulter until its coins are sold and its layers have paid: gross beyond the margin
    held in the settlement token.
    """

    gross: int = 0
    margin: int = 0
    first_loss: int = 0
    tail: int = 0
    senior: int = 0
    uncovered: int = 0
    prefinance: int = 0

    @property
    def net_loss(self) -> int:
        """What margin does not cover."""
        return self.first_loss + self.tail + self.senior + self.uncovered


def total(parts: Sequence[Borne]) -> Borne:
    """The sum; nothing of none."""
    return Borne(**{item.name: sum(getattr(part, item.name) for part in parts) for item in fields(Borne)})


def under_scenarios(
    matrices: RiskMatrices, snapshot: MarketSnapshot, scenarios: Sequence[StressScenario]
) -> RiskMatrices:
    """The same market and parameters with another stress list: `scenarios` in their order."""
    shocks = stress_shocks(snapshot, scenarios)
    rules = replace(matrices.ruleset, stress=tuple(scenarios))
    return replace(matrices, ruleset=rules, stress_shocks=shocks, stress=profit_matrix(matrices.table, shocks))


def bear_books(
    matrices: RiskMatrices,
    positions: Positions,
    collateral: Positions,
    resources: Sequence[Resources],
    decimals: int = 6,
) -> list[list[Borne]]:
    """By account and scenario of the matrices' stress list, who bears what. Raises as `judged_books`."""
    judged = judged_books(matrices, positions, collateral, resources, decimals)
    return [[borne for _, borne in rows] for rows in judged]


def judged_books(
    matrices: RiskMatrices,
    positions: Positions,
    collateral: Positions,
    resources: Sequence[Resources],
    decimals: int = 6,
) -> list[list[tuple[ScenarioOutcome, Borne]]]:
    """As `bear_books`, each with what the scenario does to positions and margin. Raises ValueError unless `collateral`
    and `resources` are of as many accounts."""
    if len(resources) != positions.accounts or collateral.accounts != positions.accounts:
        raise ValueError("positions, collateral and resources are not of the same accounts")
    loss, cost, margin = (part.tolist() for part in stressed_books(matrices, positions, collateral))
    cash = stressed_cash(matrices, collateral).tolist()
    scenarios = matrices.ruleset.stress
    found = []
    for account, means in enumerate(resources):
        rows = zip(scenarios, loss[account], cost[account], margin[account], cash[account], strict=True)
        outcomes = [
            (
                ScenarioOutcome(
                    name=scenario.name,
                    title=scenario.title,
                    position_loss=requirement_from_float(lost, decimals),
                    close_out_cost=requirement_from_float(costs, decimals),
                    collateral_value=amount_from_float(held, decimals),
                ),
                amount_from_float(in_cash, decimals),
            )
            for scenario, lost, costs, held, in_cash in rows
        ]
        found.append([(outcome, bear(outcome, means, in_cash)) for outcome, in_cash in outcomes])
    return found


def bear(outcome: ScenarioOutcome, resources: Resources, cash: int) -> Borne:
    """One scenario judged as the admission test judges it, and poured through the layers. `cash` is the part of the
    margin's stressed value held in the settlement token, base units."""
    net = assess([outcome], resources).binding.net_loss
    gross = resources.exposure + outcome.position_loss + outcome.close_out_cost
    tail_from = resources.first_loss
    senior_from = tail_from + resources.tail
    return Borne(
        gross=gross,
        margin=max(0, gross) - net,
        first_loss=layer_loss(net, 0, tail_from),
        tail=layer_loss(net, tail_from, senior_from),
        senior=layer_loss(net, senior_from, resources.layers),
        uncovered=max(0, net - resources.layers),
        prefinance=max(0, gross - cash) if net else 0,
    )


def stressed_cash(matrices: RiskMatrices, collateral: Positions) -> Floats:
    """(A, K) USD that margin in the settlement token is worth in each scenario of the stress list."""
    is_cash = np.array([item.kind == "cash" for item in matrices.table.instruments])
    value = np.where(is_cash, matrices.table.mark, 0.0)[:, None] + np.where(is_cash[:, None], matrices.stress, 0.0)
    return np.stack([collateral.weighted(column) for column in value.T], axis=1)


@dataclass(frozen=True)
class TwoLargest:
    """The scenario in which the default of the `TOGETHER` largest needs most cash: index of the scenario, indices of
    the accounts (largest first, fewer when fewer default), and what both together bear."""

    scenario: int
    accounts: tuple[int, ...]
    borne: Borne


def two_largest(borne: Sequence[Sequence[Borne]]) -> TwoLargest | None:
    """Of accounts by scenarios; None when nobody defaults in any scenario. Of equals the first."""
    best: TwoLargest | None = None
    for scenario in range(len(borne[0]) if borne else 0):
        order = sorted(range(len(borne)), key=lambda account: -borne[account][scenario].prefinance)[:TOGETHER]
        chosen = tuple(account for account in order if borne[account][scenario].net_loss)
        found = TwoLargest(scenario, chosen, total([borne[account][scenario] for account in chosen]))
        if chosen and (best is None or found.borne.prefinance > best.borne.prefinance):
            best = found
    return best
