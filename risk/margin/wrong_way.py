"""Wrong-way risk: what a client's book loses in just those worlds in which the client itself is likely to fail. Pure.

The index of distress is that of the loss model (`shortfall`): a client's distress is sqrt(rho) times the market's plus
a part of its own, all standard normal, so admission, attachment and this line speak of one thing. The market's distress
x of a scenario is the normal score of its fall: a fat tail of prices is in the losses already and must not be counted
again in the weights.

Scenario weights are tilted to exp(theta x), theta such that the mean of x is what the stressed client implies. Of all
weights with that mean these are the closest to equal ones (least relative entropy; Csiszar 1975, the Esscher transform
of actuaries). The add-on is the largest gain of expected shortfall over all markets from usual to that one, never below
zero: a client fails in a market that is half as bad, too, and no book pays less because a worse one is thought of.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from risk.margin.ruleset import Ruleset

Floats = NDArray[np.float64]

LARGEST_TILT = 8.0  # halved 60 times it is exact; theta is about the mean itself, which no ruleset puts above two
HALVINGS = 60
STEP = 0.30  # between the means at which expected shortfall is taken: half of what version 4 asks for


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
    if not distress.mean() - 1e-9 <= mean <= float(_weights(distress, LARGEST_TILT) @ distress):
        raise ValueError(f"no tilt gives distress a mean of {mean}")
    low, high = 0.0, LARGEST_TILT
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


def effective_scenarios(distress: Floats, weights: Floats, share: float) -> float:
    """How many equally likely scenarios tell as much as those in the worst `share` of the probability do for a book
    that falls just as the market does: (sum of weights) squared over the sum of their squares (Kish 1965)."""
    descending = weights[np.argsort(-distress, kind="stable")]
    taken = np.minimum(descending, np.maximum(share - (np.cumsum(descending) - descending), 0.0))
    return float(taken.sum() ** 2 / (taken @ taken))


def largest_mean(distress: Floats, share: float, least_scenarios: float) -> float:
    """The mean of distress beyond which the tail would rest on fewer than `least_scenarios` effective scenarios.

    Raises ValueError when it does already under equal weights."""
    if effective_scenarios(distress, _weights(distress, 0.0), share) < least_scenarios - 1e-9:
        raise ValueError(f"a tail of {share} of {distress.size} scenarios rests on fewer than {least_scenarios}")
    low, high = 0.0, LARGEST_TILT
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        if effective_scenarios(distress, _weights(distress, middle), share) >= least_scenarios:
            low = middle
        else:
            high = middle
    return float(_weights(distress, low) @ distress)


@dataclass(frozen=True)
class Tilts:
    """Weights of the scenarios in ever worse markets: `weights` (J, S), equal ones first, then those under which
    distress has the means STEP, 2 STEP, and so on; the stressed mean lies `last_step` of a step, at most one, behind
    the last but one. `share` of the probability is the tail; `effective` scenarios it rests on under the last weights.
    """

    weights: Floats
    last_step: float
    share: float
    effective: float

    @classmethod
    def of(cls, distress: Floats, ruleset: Ruleset) -> "Tilts | None":
        """For `distress` (S,); None under a ruleset without the add-on."""
        if not ruleset.wrong_way_distress:
            return None
        order = np.argsort(distress, kind="stable")
        share, mean = 1.0 - ruleset.wrong_way_quantile, stressed_mean(ruleset)
        ascending = _of_ascending(distress[order].tobytes(), share, mean, ruleset.wrong_way_least_scenarios)
        weights = np.empty_like(ascending.weights)
        weights[:, order] = ascending.weights
        return replace(ascending, weights=weights)

    @property
    def scenarios_needed(self) -> int:
        """How many worst losses tell the gain of nearly every book that has one."""
        scenarios: int = self.weights.shape[1]
        return ceil(self.share * scenarios - 1e-9) + 1

    def gain(self, shortfalls: Floats) -> Floats:
        """(A,) the largest gain of expected shortfall up to the stressed mean, from `shortfalls` (A, J) under each of
        the weights. Between two means it is linear, so that it never falls as the mean rises. A gain counts as a loss
        of zero."""
        losses = np.maximum(shortfalls, 0.0)
        gains = np.maximum.accumulate(losses - losses[:, :1], axis=1)
        gain: Floats = gains[:, -2] + self.last_step * (gains[:, -1] - gains[:, -2])
        return gain


@lru_cache(maxsize=4)  # normal scores are the same every day but for their order: every market has this one
def _of_ascending(distress: bytes, share: float, mean: float, least_scenarios: float) -> Tilts:
    scores = np.frombuffer(distress)
    sound = STEP * floor(largest_mean(scores, share, least_scenarios) / STEP)  # whole steps: the last weights are sound
    reached = min(mean, sound)
    steps = max(1, ceil(reached / STEP - 1e-9))
    weights = np.stack([tilted_weights(scores, STEP * step) for step in range(steps + 1)])
    return Tilts(weights, reached / STEP - (steps - 1), share, effective_scenarios(scores, weights[-1], share))
