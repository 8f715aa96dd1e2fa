"""Loss models as a tick makes them, for measurements without a database.

Books of perpetuals against the day's scenarios from recorded history, one Pareto tail a book: nothing of them is
simpler than in life but that nobody owes anything.
"""

from functools import cache
from itertools import pairwise

import numpy as np
from django.conf import settings

from intermediary.config.demo import world
from risk.margin.instruments import Instrument
from risk.margin.layers import LossModel, live_loss_model
from risk.margin.positions import Positions
from risk.margin.requirement import RequirementBatch, RiskMatrices, requirements
from risk.margin.ruleset import Ruleset, ruleset
from risk.margin.scenarios import build_scenarios
from risk.market.feeds import open_feed
from risk.market.history import load_history
from risk.market.snapshot import MarketSnapshot

RULESET, HAZARD_ANNUAL = "standard", 0.06
HELD_USD = 1e6  # standard deviation of what a book holds of each coin
# Edges of three layers in multiples of margin: first loss, two classes.
EDGES = (0.05, 0.25, 0.60, 1.20)


@cache
def market() -> MarketSnapshot:
    """The market in which all of this is measured."""
    return next(iter(open_feed(settings.MARKET_HISTORY_DIR).bars(world.START, world.END)))


@cache
def books(count: int) -> RequirementBatch:
    """So many relationships, each long and short some million dollars of every coin, with margin as required."""
    rules, snapshot = ruleset(RULESET), market()
    day = snapshot.as_of.date()
    scenarios = build_scenarios(rules, day, load_history(settings.MARKET_HISTORY_DIR, day)).of_coins(snapshot.coins)
    perpetuals = tuple(Instrument(id=coin, kind="perp", underlying=coin) for coin in snapshot.coins)
    instruments = (*perpetuals, Instrument(id="USDC", kind="cash", underlying="USDC"))
    matrices = RiskMatrices.build(snapshot, rules, scenarios, instruments)
    held = HELD_USD * np.random.default_rng(7).standard_normal((count, len(perpetuals)))
    units = held / matrices.table.notional_usd[: len(perpetuals)]
    rows = [[(coin, float(quantity)) for coin, quantity in enumerate(row)] for row in units]
    return requirements(matrices, Positions.from_rows(rows))


def loss_model(batch: RequirementBatch, account: int, rules: Ruleset) -> LossModel:
    """One relationship's model: its scenario losses, the tail fitted to them, its margin."""
    return live_loss_model(
        batch.scenario_losses(account),
        hazard_annual=HAZARD_ANNUAL,
        margin_usd=float(batch.total[account]),
        ruleset=rules,
        cost_usd=float(batch.liquidity[account]),
    )


def loss_models(count: int) -> list[LossModel]:
    """The models of so many relationships."""
    batch, rules = books(count), ruleset(RULESET)
    return [loss_model(batch, account, rules) for account in range(count)]


def layers(model: LossModel) -> list[tuple[float, float]]:
    """Three layers of a relationship (attach, detach) in dollars of loss beyond margin."""
    edges = [edge * model.margin for edge in EDGES]
    return list(pairwise(edges))
