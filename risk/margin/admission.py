"""The admission test: a line or a trade is accepted only if the relationship survives every stress on its own means.

In each scenario the loss left after the client's margin, at its stressed value, must fit the layers set aside for this
relationship: first-loss retention, outstanding tail principal, senior retention. Nobody else's money is in the sum. A
refusal names the scenario that binds and shows every number. Amounts are ints in base units of the settlement token;
losses round up, collateral rounds down. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from intermediary.money import multiply_exactly, round_down, round_up
from risk.margin.stress import StressScenario

BPS = Decimal(10_000)
DOLLAR = Decimal(1)
TOKEN_PLACES = 10**6  # a stressed price of the settlement token has no more places


def tokens_for(short_by: int, token_value: Decimal) -> int:
    """Settlement tokens (base units, rounded up) that realise this many base units at their stressed value."""
    return -(-short_by * TOKEN_PLACES // int(token_value * TOKEN_PLACES))


@dataclass(frozen=True, kw_only=True)
class ScenarioOutcome:
    """One scenario in base units: `position_loss` of the positions at the stressed price (negative: a gain),
    `close_out_cost` of replacing them, `collateral_value` that the held margin then realises, without haircuts, and
    `token_value`, what one more settlement token would realise, of one dollar."""

    name: str
    title: str
    position_loss: int
    close_out_cost: int
    collateral_value: int
    token_value: Decimal = DOLLAR


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What stands behind the relationship beyond its margin, base units. `exposure` is variation margin the client
    already owes and has not paid (negative: owed to it); `tail` is the whole width of its slices'
    layer: their principal, and the part that the house retains and its float stands for."""

    first_loss: int
    tail: int
    senior_retention: int
    exposure: int = 0

    @property
    def layers(self) -> int:
        """Width of all layers together."""
        return self.first_loss + self.tail + self.senior_retention


@dataclass(frozen=True, kw_only=True)
class AdmissionRow:
    """One scenario judged: `net_loss` left after margin, `short_by` what the layers cannot take (0: it fits)."""

    outcome: ScenarioOutcome
    net_loss: int
    short_by: int

    @property
    def repair(self) -> int:
        """Settlement tokens (base units, rounded up) that, held as margin, would make this scenario fit."""
        return tokens_for(self.short_by, self.outcome.token_value)


@dataclass(frozen=True, kw_only=True)
class AdmissionDecision:
    """The verdict. `binding` is the scenario with the largest net loss, of equals the one that costs most."""

    passed: bool
    binding: AdmissionRow
    rows: tuple[AdmissionRow, ...]
    resources: Resources

    @property
    def repair(self) -> int:
        """Settlement tokens (base units) that, held as margin, would make every scenario fit; 0 when all do."""
        return max(row.repair for row in self.rows)

    def as_data(self) -> dict[str, Any]:
        """The numbers of the decision for a refusal, a page or an audit row: names, ints in base units, one bool."""
        outcome = self.binding.outcome
        return {
            "passed": self.passed,
            "scenario": outcome.name,
            "scenario_title": outcome.title,
            "exposure": self.resources.exposure,
            "position_loss": outcome.position_loss,
            "close_out_cost": outcome.close_out_cost,
            "margin_value": outcome.collateral_value,
            "net_loss": self.binding.net_loss,
            "first_loss": self.resources.first_loss,
            "tail": self.resources.tail,
            "senior_retention": self.resources.senior_retention,
            "short_by": self.binding.short_by,
            "repair": self.repair,
        }


def assess(outcomes: Sequence[ScenarioOutcome], resources: Resources) -> AdmissionDecision:
    """Judge every scenario; passed when none is short. Raises ValueError on no scenario: silence is not a pass."""
    if not outcomes:
        raise ValueError("an admission test needs at least one scenario")
    if min(resources.first_loss, resources.tail, resources.senior_retention) < 0:
        raise ValueError("a layer cannot be negative")
    rows = []
    for outcome in outcomes:
        gross = resources.exposure + outcome.position_loss + outcome.close_out_cost
        net_loss = max(0, gross - outcome.collateral_value)
        short_by = max(0, net_loss - resources.layers)
        rows.append(AdmissionRow(outcome=outcome, net_loss=net_loss, short_by=short_by))
    binding = max(rows, key=lambda row: (row.net_loss, row.outcome.position_loss + row.outcome.close_out_cost))
    passed = all(row.short_by == 0 for row in rows)
    return AdmissionDecision(passed=passed, binding=binding, rows=tuple(rows), resources=resources)


def linear_outcome(
    scenario: StressScenario,
    *,
    positions: Mapping[str, Decimal],
    marks: Mapping[str, Decimal],
    collateral: Mapping[str, Decimal],
    cash: Decimal,
    decimals: int,
) -> ScenarioOutcome:
    """The outcome of a book of spot, perpetuals and cash, in exact decimals.

    `positions` coins held per underlying (negative: short), `marks` USD price at the last variation payment,
    `collateral` coins held as margin, `cash` settlement tokens held as margin. Positions are replaced, and collateral
    sold, at the stressed mark worsened by the scenario's slippage; the loss includes that slippage. Only for scenarios
    without the liquidity model: that one needs floats; raises ValueError otherwise.
    """
    if scenario.uses_liquidity_model:
        raise ValueError(f"{scenario.name} prices its close-out with the liquidity model")
    slip = Decimal(scenario.slippage_bps) / BPS
    loss = Decimal(0)
    for coin, quantity in positions.items():
        worse = 1 - slip if quantity > 0 else 1 + slip
        price = multiply_exactly(scenario.stressed_mark(coin, marks[coin]), worse)
        loss += multiply_exactly(quantity, marks[coin] - price)
    value = multiply_exactly(cash, min(scenario.peg, DOLLAR))
    for coin, quantity in collateral.items():
        value += multiply_exactly(quantity, scenario.stressed_mark(coin, marks[coin]), 1 - slip)
    return ScenarioOutcome(
        name=scenario.name,
        title=scenario.title,
        position_loss=round_up(loss.scaleb(decimals)),
        close_out_cost=round_up(scenario.fixed_cost_usd.scaleb(decimals)),
        collateral_value=round_down(value.scaleb(decimals)),
        token_value=min(scenario.peg, DOLLAR),
    )
