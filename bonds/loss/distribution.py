"""The whole distribution of a class' loss over a horizon: value at risk, expected shortfall, exceedance curve.

Slices depend on each other through the distress factor m that they share; given m they are independent and convolved
(`baskets`). With `degrees_of_freedom` they depend given m as well, as in a Student copula without correlation: what is
left to chance in each, e_i, is divided by the root of one variable g that all share, chi-squared over its degrees of
freedom. A loss beyond x that has the probability h given m has N(sqrt(g) t^-1(h)) given m and g, whose mean over g is h
again. So every slice keeps its expected loss, its PFL and its PLL, while all lose together more often; with many
degrees it is the model without mixing. Pure numpy.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import inf, isinf

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, roots_genlaguerre, stdtrit

from bonds.loss.baskets import CELLS_MAX, ConditionalSlice, TrancheRisk, condition_slice, tranche_risk
from bonds.loss.note_risk import HORIZON_YEARS, Piece
from risk.margin.shortfall import DISTRESS_LIMIT, ScenarioSeverity, default_probability, gap_scale, mean_exceedance

Floats = NDArray[np.float64]

LATTICE_CELLS = 64  # of the widest piece; means do not depend on it
DISTRESS_POINTS = 97  # on +-9: the mean of scenario losses is right to a part in ten thousand (tested)
MIXING_POINTS = 24  # of g; what they miss of a mean is put right
DEGREES_OF_FREEDOM = (4.0, 100.0)  # with fewer the rule for g is too coarse, with more nothing is left of mixing
_M = np.linspace(-DISTRESS_LIMIT, DISTRESS_LIMIT, DISTRESS_POINTS)
_WEIGHTS = np.exp(-0.5 * _M**2) / np.exp(-0.5 * _M**2).sum()


def note_distribution(
    pieces: Sequence[Piece], degrees_of_freedom: float = inf, horizon_years: float = HORIZON_YEARS
) -> TrancheRisk:
    """Of a class with principal, in the unit of its pieces, over the coming year or another horizon (years). Raises
    ValueError for one without."""
    standing = [piece for piece in pieces if piece.principal > 0]
    if not standing:
        raise ValueError("a class without principal has no distribution of losses")
    widest, total = max(piece.principal for piece in standing), sum(piece.principal for piece in standing)
    step = max(widest / LATTICE_CELLS, 2 * total / CELLS_MAX)
    weights = np.outer(_mixing(degrees_of_freedom)[1], _WEIGHTS).ravel()
    slices = [_conditional(piece, step, degrees_of_freedom, horizon_years) for piece in standing]
    return tranche_risk(slices, weights, step)


def _conditional(piece: Piece, step: float, degrees_of_freedom: float, horizon_years: float) -> ConditionalSlice:
    """A piece on the lattice at every pair of factors. What is known about one in default holds at all of them."""
    model = piece.model
    if model is None:
        return _known(piece, step, _mixing(degrees_of_freedom)[0].size * _M.size)
    default = default_probability(model, _M, horizon_years)[:, None]
    scale = gap_scale(model, _M)[:, None]

    def exceedance(x: Floats) -> Floats:
        level = np.asarray(x, dtype=np.float64)[None, :] + model.margin - model.cost
        return _mixed(default * model.severity.survival(level / scale), degrees_of_freedom)

    def means(edges: Floats) -> Floats:
        return _mixed(default * mean_exceedance(model, edges, _M), degrees_of_freedom)

    return condition_slice(
        piece.relationship_id,
        piece.principal,
        piece.attach,
        piece.detach,
        step,
        exceedance,
        means if isinstance(model.severity, ScenarioSeverity) else None,
    )


def _mixed(given_distress: Floats, degrees_of_freedom: float) -> Floats:
    """(G x M, K) probability given g and m, g by g, from that given m (M, K)."""
    if isinf(degrees_of_freedom):
        return given_distress
    mixing, shares = _mixing(degrees_of_freedom)
    quantile = stdtrit(degrees_of_freedom, given_distress)
    found = ndtr(np.sqrt(mixing)[:, None, None] * quantile)
    mean = np.tensordot(shares, found, axes=1)
    found *= np.divide(given_distress, mean, out=np.ones_like(mean), where=mean > 0)
    return np.asarray(np.minimum(found, 1.0).reshape(-1, given_distress.shape[1]), dtype=np.float64)


def _known(piece: Piece, step: float, nodes: int) -> ConditionalSlice:
    cells = int(np.ceil(piece.principal / step - 1e-9))
    lost = np.clip(piece.known_loss * piece.principal / step - np.arange(cells), 0.0, 1.0)
    return ConditionalSlice(
        relationship_id=piece.relationship_id,
        principal=piece.principal,
        cell_exceedance=np.tile(lost, (nodes, 1)),
        attach_exceedance=np.full(nodes, float(piece.known_loss > 0)),
        detach_exceedance=np.full(nodes, float(piece.known_loss >= 1)),
    )


@lru_cache(maxsize=16)
def _mixing(degrees_of_freedom: float) -> tuple[Floats, Floats]:
    """Nodes of g and weights that sum to one; the single node one without mixing."""
    if isinf(degrees_of_freedom):
        return np.ones(1), np.ones(1)
    if not DEGREES_OF_FREEDOM[0] <= degrees_of_freedom <= DEGREES_OF_FREEDOM[1]:
        raise ValueError(f"a Student dependence has degrees of freedom within {DEGREES_OF_FREEDOM}")
    nodes, weights = roots_genlaguerre(MIXING_POINTS, degrees_of_freedom / 2 - 1)
    return 2 * nodes / degrees_of_freedom, weights / weights.sum()
