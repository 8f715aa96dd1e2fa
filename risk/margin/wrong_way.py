"""Wrong-way risk: what a client's book loses in just those worlds in which the client itself is likely to fail. Pure.

The index of distress is that of the loss model (`shortfall`): a client's distress is sqrt(rho) times the market's plus
a part of its own, all standard normal, so admission, attachment and this line speak of one thing. The market's distress
x of a scenario is the normal score of its fall: a fat tail of prices is in the losses already and must not be counted
again in the weights.

Scenario weights are tilted to exp(theta x), theta such that the mean of x is what the stressed client implies. Of all
weights with that mean these are the closest to equal ones (least relative entropy; Csiszar 1975, the Esscher transform
of actuaries). The add-on is what expected shortfall gains by it, never below zero.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from risk.margin.kernels import slices
from risk.margin.ruleset import Ruleset

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Integers = NDArray[np.int64]

LARGEST_TILT = 8.0  # halved 60 times it is exact; theta is about the mean itself, which no ruleset puts above two
HALVINGS = 60


def market_distress(moves: Floats) -> Floats:
    """(S,) normal scores of the market's fall in each scenario: mean 0, variance 1, large where prices fall.

    `moves` (S, U) log returns in units of each coin's volatility; the market is their plain mean, so that no coin
    counts for being large or wild. Scenarios that fall alike are ranked in their order.
    """
    market = moves.mean(axis=1)
    rank = np.empty(market.size)
    rank[np.argsort(-market, kind="stable")] = np.arange(market.size)
    scores: Floats = ndtri((rank + 0.5) / market.size)
    return scores


def stressed_mean(ruleset: Ruleset) -> float:
    """Mean distress of the market when the client's own is `wrong_way_distress`: sqrt(rho) times it, the regression of
    the one on the other."""
    return float(np.sqrt(ruleset.loss_model.rho)) * ruleset.wrong_way_distress


def tilted_weights(distress: Floats, mean: float) -> Floats:
    """(S,) weights in proportion to exp(theta x), which add up to 1, under which x has this mean.

    The mean rises with theta, so bisection finds it. Raises ValueError unless 0 <= mean is reached at LARGEST_TILT.
    """
    low, high = 0.0, LARGEST_TILT
    if not distress.mean() - 1e-9 <= mean <= float(_weights(distress, high) @ distress):
        raise ValueError(f"no tilt gives distress a mean of {mean}")
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        if float(_weights(distress, middle) @ distress) < mean:
            low = middle
        else:
            high = middle
    return _weights(distress, 0.5 * (low + high))


def _weights(distress: Floats, theta: float) -> Floats:
    raw = np.exp(theta * (distress - distress.max()))
    weights: Floats = raw / raw.sum()
    return weights


def falling_scenarios(distress: Floats, weights: Floats) -> Integers:
    """Which scenarios, as often as their weight says, stand for the tilted market where it falls: (K,) indices.

    S equally likely places of the weighted scenarios in the order of distress (systematic resampling; Kitagawa 1996),
    so each scenario appears as its weight times S rounded up or down, and the order of the scenarios is of no
    consequence. Those in which the market rises are left out: what a book loses there is not wrong-way.
    """
    order = np.argsort(distress, kind="stable")
    places = (np.arange(distress.size) + 0.5) / distress.size
    drawn = order[np.minimum(np.searchsorted(np.cumsum(weights[order]), places), distress.size - 1)]
    kept: Integers = drawn[distress[drawn] > 0.0]
    return kept


@dataclass(frozen=True)
class TiltedProfits:
    """Profits (I, K) under the scenarios of the falling market, in the three forms that the kernels take; `of` how many
    equally likely ones they are part of."""

    profit: Floats
    profit_single: Singles
    profit_slices: Singles
    of: int

    @classmethod
    def from_scenarios(cls, profit: Floats, distress: Floats, ruleset: Ruleset) -> "TiltedProfits | None":
        """From `profit` (I, S); None under a ruleset without the add-on."""
        if not ruleset.wrong_way_distress:
            return None
        chosen = falling_scenarios(distress, tilted_weights(distress, stressed_mean(ruleset)))
        tilted = np.ascontiguousarray(profit[:, chosen])
        return cls(tilted, tilted.astype(np.float32), slices(tilted), distress.size)
