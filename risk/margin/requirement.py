"""The requirement of every account of a shard, with a breakdown that adds up.

total = max(base, jump) + buffer + liquidity + wrong-way, base = max(ES 99%, Pareto VaR 99.7%); of a book that does not
net (`risk.margin.gross`) every line is the sum of what each instrument asks alone. Beside it stand what admission,
early warning and the bonds need: ES 99.5% of positions and collateral together, every stress loss, the loss
if the market fell further, and the scenario losses themselves. Losses are positive USD floats; money begins where the
caller rounds up.
"""

from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from intermediary.errors import Refusal
from intermediary.money import amount_from_float, requirement_from_float
from risk.margin.addons import close_out_cost, jump_requirement
from risk.margin.admission import DOLLAR, ScenarioOutcome
from risk.margin.gross import delta_to_close, joint_losses, net_delta, position_losses
from risk.margin.kept_tails import KeptBooks
from risk.margin.kernels import grouped_losses
from risk.margin.matrices import RiskMatrices
from risk.margin.measures import losses_in_double, shortfall, tail_measures
from risk.margin.positions import Positions
from risk.margin.tails import expected_shortfall

__all__ = [
    "Positions",
    "RequirementBatch",
    "RequirementLine",
    "RiskMatrices",
    "net_delta",
    "requirements",
    "stressed_books",
]

Floats = NDArray[np.float64]


class RequirementLine(NamedTuple):
    """One line of a breakdown, USD."""

    name: str
    amount_usd: float


@dataclass(frozen=True)
class RequirementBatch:
    """Results of A accounts; arrays are (A,) unless said otherwise, USD.

    `es_99`, `evt_var_997`, `base`, `jump` (of a gross book at least the base, instrument by instrument), `buffer`,
    `liquidity`, `wrong_way`, `total`; `total_if_netted` the same number but of a gross book; `es_995` of positions
    and collateral together; `gross_notional`; `net_delta` (A, U); `collateral_value` now, without haircuts;
    `stress_loss`, `stress_cost`, `stress_collateral` (A, K) per scenario of the ruleset; `worst_stress` index of the
    largest loss plus cost; `forecast_loss` (A, 3) of positions at -5/-10/-20%.
    """

    matrices: RiskMatrices
    positions: Positions
    collateral: Positions | None
    es_99: Floats
    evt_var_997: Floats
    base: Floats
    jump: Floats
    buffer: Floats
    liquidity: Floats
    wrong_way: Floats
    total: Floats
    total_if_netted: Floats
    es_995: Floats
    gross_notional: Floats
    net_delta: Floats
    collateral_value: Floats
    stress_loss: Floats
    stress_cost: Floats
    stress_collateral: Floats
    worst_stress: NDArray[np.int64]
    forecast_loss: Floats

    @property
    def stress_names(self) -> tuple[str, ...]:
        """Names of the K scenarios."""
        return tuple(item.name for item in self.matrices.ruleset.stress)

    @property
    def worst_stress_loss(self) -> Floats:
        """(A,) loss plus close-out cost of each account's worst scenario."""
        worst: Floats = (self.stress_loss + self.stress_cost).max(axis=1)
        return worst

    def worst_stress_name(self, account: int) -> str:
        """Name of the scenario that costs this account most."""
        return self.stress_names[int(self.worst_stress[account])]

    def lines(self, account: int) -> tuple[RequirementLine, ...]:
        """The breakdown: summed from the left it is exactly `total[account]`."""
        return tuple(RequirementLine(name, float(part[account])) for name, part in self.parts)

    def scenario_losses(self, account: int) -> Floats:
        """(S,) losses of positions and collateral together, the severity of the loss model."""
        positions, collateral = (
            None if held is None else held.slice(account, account + 1) for held in (self.positions, self.collateral)
        )
        assert positions is not None
        losses: Floats = joint_losses(positions, collateral, self.matrices.profit)[0]
        return losses

    def may_lose(self, account: int) -> bool:
        """Whether its positions lose in any scenario: margin alone, whatever becomes of it, is owed to nobody."""
        row = self.positions.slice(account, account + 1)
        return bool((position_losses(row, self.matrices.profit) > 0.0).any())

    def outcomes(self, account: int, decimals: int = 6) -> tuple[ScenarioOutcome, ...]:
        """What the admission test judges: every stress of the ruleset, then ES over the margin period."""
        losses, costs, margins = (part[account].tolist() for part in self.stressed())
        return tuple(
            _outcome(name, title, loss, cost, margin, decimals, token_value)
            for (name, title, token_value), loss, cost, margin in zip(
                self.scenarios, losses, costs, margins, strict=True
            )
        )

    @cached_property
    def scenarios(self) -> tuple[tuple[str, str, Decimal], ...]:
        """What `outcomes` holds, in its order: name, title, and what one more settlement token would realise."""
        rules = self.matrices.ruleset
        found = [(item.name, item.title, min(item.peg, DOLLAR)) for item in rules.stress]
        if rules.admits_es:
            percent = f"{100 * rules.admission_quantile:g}"
            title = f"Expected shortfall {percent}% over the margin period of risk"
            found.append((f"es_{percent.replace('.', '_')}", title, _token_left(self.matrices)))
        return tuple(found)

    def stressed(self) -> tuple[Floats, Floats, Floats]:
        """(A, J) in the order of `scenarios`: loss of positions, cost of closing them out, value of the margin."""
        if not self.matrices.ruleset.admits_es:
            return self.stress_loss, self.stress_cost, self.stress_collateral
        shortfall = (self.es_995, self.liquidity, self.collateral_value)
        loss, cost, margin = (
            np.column_stack([stress, last])
            for stress, last in zip(
                (self.stress_loss, self.stress_cost, self.stress_collateral), shortfall, strict=True
            )
        )
        return loss, cost, margin

    @cached_property
    def parts(self) -> tuple[tuple[str, Floats], ...]:
        """The lines of all accounts: name, (A,) USD."""
        return (
            ("expected_shortfall_99", self.es_99),
            ("extreme_value_excess", self.base - self.es_99),
            ("jump_excess", np.maximum(self.jump - self.base, 0.0)),
            ("anti_procyclicality_buffer", self.buffer),
            ("liquidity_and_concentration", self.liquidity),
            ("wrong_way_risk", self.wrong_way),
        )


def requirements(
    matrices: RiskMatrices,
    positions: Positions,
    collateral: Positions | None = None,
    kept: KeptBooks | None = None,
) -> RequirementBatch:
    """Requirements of A accounts. `collateral` holds the same accounts' margin assets as positions in instruments of
    the same table; it enters ES 99.5%, stress and the loss model, never the initial margin (haircuts cover it there).
    `kept`: what is known of the tails of just these accounts from the market before; the figures are the same, sooner.
    Raises ValueError on a position outside the table; refuses `instrument_not_valued` when something that is held has
    no price under every shock."""
    positions.check(len(matrices.table.instruments))
    if collateral is not None:
        collateral.check(len(matrices.table.instruments))
    held = positions.with_held(collateral)
    _refuse_unpriced(held, matrices)
    found = _netted(matrices, positions, collateral, held, kept)
    gross = positions.gross
    return found if gross is None or not gross.any() else _without_netting(found, gross)


def _netted(
    matrices: RiskMatrices,
    positions: Positions,
    collateral: Positions | None,
    held: Positions,
    kept: KeptBooks | None = None,
) -> RequirementBatch:
    """Everybody's book as one; `held`: positions and collateral together."""
    gross = _gross(positions, matrices)
    alone = tail_measures(positions, matrices, gross, kept.alone if kept else None)
    es_99, evt, es_995 = alone.es_99, alone.evt_var_997, alone.es_995
    if collateral is not None:
        es_995 = shortfall(held, matrices, gross, matrices.ruleset.admission_quantile, kept.held if kept else None)
    base = np.maximum(es_99, evt)
    delta = net_delta(positions, matrices)
    liquidity = matrices.liquidity.charge(delta, matrices.adv_usd, matrices.daily_vol).sum(axis=1)
    jump = _jump(positions, matrices)
    value = np.zeros(positions.accounts) if collateral is None else collateral.weighted(_values(matrices))
    loss = losses_in_double(positions, matrices.stress)
    cost = _stress_cost(delta, matrices)
    buffer = _buffer(np.maximum(base, jump), delta, matrices)
    total = _total(es_99, base, jump, buffer, liquidity, alone.wrong_way)
    return RequirementBatch(
        matrices=matrices,
        positions=positions,
        collateral=collateral,
        es_99=es_99,
        evt_var_997=evt,
        base=base,
        jump=jump,
        buffer=buffer,
        liquidity=liquidity,
        wrong_way=alone.wrong_way,
        total=total,
        total_if_netted=total,
        es_995=es_995,
        gross_notional=gross,
        net_delta=delta,
        collateral_value=value,
        stress_loss=loss,
        stress_cost=cost,
        stress_collateral=_stress_collateral(collateral, value, matrices),
        worst_stress=np.argmax(loss + cost, axis=1),
        forecast_loss=losses_in_double(positions, matrices.forecast),
    )


def _token_left(matrices: RiskMatrices) -> Decimal:
    """USD that one more settlement token leaves at ES 99.5%, at least: shortfalls of two books add up to no less than
    that of both. A dollar where the table has no token."""
    cash = [row for row, item in enumerate(matrices.table.instruments) if item.kind == "cash"]
    if not cash:
        return DOLLAR
    lost = expected_shortfall(-matrices.profit[cash[:1]], matrices.ruleset.admission_quantile)[0]
    return min(DOLLAR, Decimal(float(matrices.table.mark[cash[0]] - lost)))


def _total(es_99: Floats, base: Floats, jump: Floats, buffer: Floats, liquidity: Floats, wrong_way: Floats) -> Floats:
    """In the order of the lines: floats do not add up the same in every order."""
    total: Floats = ((((es_99 + (base - es_99)) + np.maximum(jump - base, 0.0)) + buffer) + liquidity) + wrong_way
    return total


def _without_netting(found: RequirementBatch, gross: NDArray[np.bool_]) -> RequirementBatch:
    """The same with the figures of the gross accounts: lines instrument by instrument, worlds without their gains."""
    matrices, positions = found.matrices, found.positions
    books, owners = positions.by_instrument()
    alone = _netted(matrices, books, None, books)

    def summed(netted: Floats, parts: Floats) -> Floats:
        sums = np.zeros(positions.accounts)
        np.add.at(sums, owners, parts)
        return np.where(gross, sums, netted)

    to_close = delta_to_close(positions, matrices)
    es_99, base = summed(found.es_99, alone.es_99), summed(found.base, alone.base)
    jump = summed(found.jump, np.maximum(alone.base, alone.jump))
    buffer, wrong_way = summed(found.buffer, alone.buffer), summed(found.wrong_way, alone.wrong_way)
    liquidity = matrices.liquidity.charge(to_close, matrices.adv_usd, matrices.daily_vol).sum(axis=1)
    loss, cost = position_losses(positions, matrices.stress), _stress_cost(to_close, matrices)
    return replace(
        found,
        es_99=es_99,
        evt_var_997=summed(found.evt_var_997, alone.evt_var_997),
        base=base,
        jump=jump,
        buffer=buffer,
        liquidity=liquidity,
        wrong_way=wrong_way,
        total=_total(es_99, base, jump, buffer, liquidity, wrong_way),
        es_995=_joint_shortfall(found, gross),
        stress_loss=loss,
        stress_cost=cost,
        worst_stress=np.argmax(loss + cost, axis=1),
        forecast_loss=position_losses(positions, matrices.forecast),
    )


def _joint_shortfall(found: RequirementBatch, gross: NDArray[np.bool_]) -> Floats:
    """(A,) ES of admission, of gross accounts from their own scenario losses."""
    es_995, quantile = found.es_995.copy(), found.matrices.ruleset.admission_quantile
    for account in np.flatnonzero(gross).tolist():
        losses = found.scenario_losses(account)[None, :]
        es_995[account] = max(float(expected_shortfall(losses, quantile)[0]), 0.0)
    return es_995


def _refuse_unpriced(held: Positions, matrices: RiskMatrices) -> None:
    rows = np.intersect1d(held.indices, matrices.unpriced)
    if rows.size:
        names = [matrices.table.instruments[row].id for row in rows.tolist()]
        reasons = [f"{name} has no price under every scenario" for name in names]
        raise Refusal("instrument_not_valued", "; ".join(reasons) + ".", reasons=reasons)


def stressed_books(
    matrices: RiskMatrices, positions: Positions, collateral: Positions
) -> tuple[Floats, Floats, Floats]:
    """(A, K) each, USD, under the stress list of the matrices: loss of positions, cost of closing them out, value of
    the margin. What `requirements` gives for the same, without the rest."""
    for books in (positions, collateral):
        books.check(len(matrices.table.instruments))
    loss = position_losses(positions, matrices.stress)
    cost = _stress_cost(delta_to_close(positions, matrices), matrices)
    return loss, cost, _stress_collateral(collateral, collateral.weighted(_values(matrices)), matrices)


def _gross(positions: Positions, matrices: RiskMatrices) -> Floats:
    absolute = Positions(positions.indptr, positions.indices, np.abs(positions.quantity))
    return absolute.weighted(matrices.table.notional_usd)


def _values(matrices: RiskMatrices) -> Floats:
    """(I,) market value of one unit of a collateral asset: only spot and cash have one."""
    holds = np.array([item.kind in ("spot", "cash") for item in matrices.table.instruments])
    return np.where(holds, matrices.table.mark, 0.0)


def _jump(positions: Positions, matrices: RiskMatrices) -> Floats:
    table, rules = matrices.table, matrices.ruleset
    grid = np.zeros((positions.accounts, len(table.coins), matrices.jump.shape[1]))
    grouped_losses(grid, positions.indptr, positions.indices, positions.quantity, matrices.jump, table.column)
    cash = np.array([item.kind == "cash" for item in table.instruments])
    fall = np.where(cash, np.maximum(table.mark - rules.jump_peg, 0.0), 0.0)
    return jump_requirement(grid, table.coins, positions.weighted(fall), rules.jump_majors_share)


def _buffer(margin: Floats, delta: Floats, matrices: RiskMatrices) -> Floats:
    """(A,) the part of the ruleset's buffer that is not used up.

    While the coins of a book are as calm as their floor it is `buffer_share` of the margin. As their volatility rises
    by a factor r the margin rises with it and the buffer takes that up: margin (1 + share)/r, less margin, is left, and
    nothing from r = 1 + share on. It is rebuilt as volatility falls, with no memory: market and book alone say it.
    """
    share = matrices.ruleset.buffer_share
    if not share:
        return np.zeros_like(margin)
    size = np.abs(delta)
    calm, now = (size * matrices.vol_floor).sum(axis=1), (size * matrices.daily_vol).sum(axis=1)
    # A book without delta has no coins to be wild.
    rise = np.where(calm > 0.0, now / np.where(calm > 0.0, calm, 1.0), 1.0)
    left: Floats = margin * np.maximum((1.0 + share) / rise - 1.0, 0.0)
    return left


def _stress_cost(delta: Floats, matrices: RiskMatrices) -> Floats:
    """(A, K) USD of replacing the stressed net delta in the scenario's depth, or at its stated slippage."""
    cost = np.zeros((delta.shape[0], len(matrices.ruleset.stress)))
    for index, item in enumerate(matrices.ruleset.stress):
        stressed = np.abs(delta) * matrices.stress_shocks.price_ratio[index]
        depth = matrices.adv_usd * float(item.depth_factor)
        if item.uses_liquidity_model:
            cost[:, index] = close_out_cost(matrices.liquidity, stressed, depth, matrices.daily_vol).sum(axis=1)
        cost[:, index] += stressed.sum(axis=1) * item.slippage_bps / 10_000.0
        cost[:, index] += np.where(stressed.sum(axis=1) > 0.0, float(item.fixed_cost_usd), 0.0)
    return cost


def _stress_collateral(collateral: Positions | None, value: Floats, matrices: RiskMatrices) -> Floats:
    """(A, K) USD that held margin realises: its stressed value less the stated slippage on coins."""
    count = len(matrices.ruleset.stress)
    if collateral is None:
        return np.zeros((value.size, count))
    stressed = value[:, None] - losses_in_double(collateral, matrices.stress)
    slip = np.array([item.slippage_bps / 10_000.0 for item in matrices.ruleset.stress])
    coins = np.array([item.kind != "cash" for item in matrices.table.instruments])
    units = np.where(coins, _values(matrices), 0.0)[:, None] + np.where(coins[:, None], matrices.stress, 0.0)
    for index in np.flatnonzero(slip):
        stressed[:, index] -= slip[index] * collateral.weighted(units[:, index])
    return stressed


def _outcome(
    name: str,
    title: str,
    loss: float,
    cost: float,
    collateral: float,
    decimals: int,
    token_value: Decimal,
) -> ScenarioOutcome:
    return ScenarioOutcome(
        name=name,
        title=title,
        position_loss=requirement_from_float(loss, decimals),
        close_out_cost=requirement_from_float(cost, decimals),
        collateral_value=amount_from_float(collateral, decimals),
        token_value=token_value,
    )
