"""Add-ons to base margin: the cost of running a position down, and the gap no history holds.

Liquidity follows Almgren and Chriss with square-root impact: running X down over T days costs half the spread, an
impact that falls with T, and a risk that grows with it. The charge is the cost at the best T without the risk that the
margin period holds already. The jump grid revalues everything at moves far outside the scenarios.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from risk.margin.ruleset import Ruleset
from risk.market.parameters import MAJORS

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class LiquidityModel:
    """Coefficients of the run-down cost, dimensionless but for `spread` (a fraction of price) and days."""

    eta: float
    k: float
    spread: float
    participation: float
    days_in_mpor: float

    @classmethod
    def of(cls, ruleset: Ruleset) -> "LiquidityModel":
        """The coefficients of a ruleset."""
        return cls(
            eta=ruleset.liquidity_eta,
            k=ruleset.liquidity_k,
            spread=ruleset.liquidity_spread_bps / 10_000.0,
            participation=ruleset.liquidity_participation,
            days_in_mpor=ruleset.liquidity_days_in_mpor,
        )

    def cost(self, notional: Floats, adv: Floats, vol: Floats, days: Floats) -> Floats:
        """USD cost of running |notional| down evenly over `days`: spread/2 X + eta sigma X sqrt(X/(V T))
        + k sigma X sqrt(T/3). All arguments broadcast; `adv` USD a day, `vol` daily, `days` > 0."""
        size = np.abs(notional)
        value: Floats = self.spread / 2.0 * size + self.impact(size, adv, vol, days) + self.risk(size, vol, days)
        return value

    def impact(self, notional: Floats, adv: Floats, vol: Floats, days: Floats) -> Floats:
        """Price moved by our own orders, USD."""
        size = np.abs(notional)
        value: Floats = self.eta * vol * size * np.sqrt(size / (adv * days))
        return value

    def risk(self, notional: Floats, vol: Floats, days: Floats | float) -> Floats:
        """Price risk while a shrinking position is still held, USD."""
        value: Floats = self.k * vol * np.abs(notional) * np.sqrt(days / 3.0)
        return value

    def best_days(self, notional: Floats, adv: Floats) -> Floats:
        """T* = (eta/k) sqrt(3 X / V), without the participation cap."""
        value: Floats = self.eta / self.k * np.sqrt(3.0 * np.abs(notional) / adv)
        return value

    def least_cost(self, notional: Floats, adv: Floats, vol: Floats) -> Floats:
        """The cost at T*: 2 sigma X sqrt(eta k) (X/(3V))^(1/4) + spread/2 X."""
        size = np.abs(notional)
        value: Floats = 2.0 * self.impact_at_best(size, adv, vol) + self.spread / 2.0 * size
        return value

    def impact_at_best(self, notional: Floats, adv: Floats, vol: Floats) -> Floats:
        """The impact of a run-down over T*: sigma X sqrt(eta k) (X/(3V))^(1/4), which is also its risk over T*. USD."""
        size = np.abs(notional)
        value: Floats = vol * size * np.sqrt(self.eta * self.k) * (size / (3.0 * adv)) ** 0.25
        return value

    def days(self, notional: Floats, adv: Floats) -> Floats:
        """The best time, lengthened where it would trade more than the participation cap of ADV."""
        value: Floats = np.maximum(self.best_days(notional, adv), np.abs(notional) / (self.participation * adv))
        return value

    def charge(self, notional: Floats, adv: Floats, vol: Floats) -> Floats:
        """Liquidity margin in USD, elementwise: spread, impact at the best pace, and the risk of the run-down beyond
        what the margin period already holds:

            spread/2 X + sigma X sqrt(eta k) (X/(3V))^(1/4) + k sigma X (sqrt(T/3) - sqrt(d/3))^+,  T = `days`.

        Beyond the spread it grows as X^1.25 wherever the run-down fits into the period, and faster beyond. A cap
        lengthens the time at risk and takes nothing off the impact, so every parameter that is stricter makes it
        larger."""
        size = np.abs(notional)
        over = self.risk(size, vol, self.days(size, adv)) - self.risk(size, vol, self.days_in_mpor)
        value: Floats = self.spread / 2.0 * size + self.impact_at_best(size, adv, vol) + np.maximum(over, 0.0)
        return value


def close_out_cost(model: LiquidityModel, notional: Floats, adv: Floats, vol: Floats) -> Floats:
    """USD lost to spread and impact when `notional` is sold within the margin period's liquidation time, whatever it
    costs: the stress losses already hold the price move itself."""
    size = np.abs(notional)
    days = np.full_like(size, model.days_in_mpor)
    value: Floats = model.spread / 2.0 * size + np.minimum(model.impact(size, adv, vol, days), size)
    return value


def jump_requirement(losses: Floats, coins: Sequence[str], peg_loss: Floats, majors_share: float) -> Floats:
    """(A,) USD. `losses` (A, U, G) of each account by underlying on the jump grid, whose last shock is a price of zero;
    `peg_loss` (A,) the loss of cash at the jump peg.

    One gap strikes at a time: `majors_share` of the worst joint move of the majors (never to zero), or the largest
    single non-major plus the second largest, or the peg.
    """
    majors = np.array([coin in MAJORS for coin in coins])
    joint = losses[:, majors, :-1].sum(axis=1).max(axis=1)
    single = np.maximum(losses[:, ~majors, :].max(axis=2), 0.0)
    two_worst = np.sort(single, axis=1)[:, -2:].sum(axis=1)
    worst: Floats = np.maximum.reduce([majors_share * joint, two_worst, peg_loss, np.zeros(losses.shape[0])])
    return worst
