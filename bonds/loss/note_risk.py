"""Risk and expected principal of a note, from where its relationships stand. Pure numpy.

A *piece* is what a class has left in one slice. While the relationship performs, its loss is the engine's model on
the layer that is left; once it is in default, the further loss is a known (or estimated) share, and nothing else can
happen to it. The class is the principal-weighted sum of its pieces; that any piece, or every piece, is hit depends on
the distress factor they share.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from bonds.loss.baskets import ConditionalSlice, Exceedance, condition_slice, tranche_risk
from bonds.pricing.measures import (
    PhysicalMeasure,
    PricingMeasure,
    SliceCurve,
    expected_outstanding,
    expected_outstanding_from_losses,
    layer_quadrature,
)
from risk.margin.layers import LossModel, shortfall_survival, term_structure
from risk.margin.shortfall import default_probability, gap_scale

Floats = NDArray[np.float64]

HORIZON_YEARS = 1.0
LATTICE_CELLS = 64  # of the widest piece; means and both probabilities do not depend on it
DISTRESS_POINTS = 1_201  # of the normal factor on +-9: EL agrees with the exact quadrature to 1e-5 (tested)
_GRID = np.linspace(-9.0, 9.0, DISTRESS_POINTS)
_DENSITY = np.exp(-0.5 * _GRID**2)
_WEIGHTS = _DENSITY / _DENSITY.sum()


@dataclass(frozen=True)
class Piece:
    """Outstanding principal (USD) of one class in one slice: its layer [attach, detach) in USD under a model, or a
    `known_loss` share when there is no model."""

    relationship_id: UUID
    principal: float
    attach: float
    detach: float
    model: LossModel | None
    known_loss: float = 0.0


@dataclass(frozen=True)
class NoteRisk:
    """Over the coming year, as shares of outstanding principal: expected loss, P(any loss), P(total loss)."""

    expected_loss: float
    pfl: float
    pll: float


def note_risk(pieces: Sequence[Piece]) -> NoteRisk:
    """Risk of a class. A class without principal has none."""
    total = sum(piece.principal for piece in pieces)
    if total <= 0:
        return NoteRisk(0.0, 0.0, 0.0)
    known = [piece for piece in pieces if piece.model is None]
    lost = sum(piece.principal * piece.known_loss for piece in known)
    untouched = float(all(piece.known_loss == 0 for piece in known))
    exhausted = float(all(piece.known_loss >= 1 for piece in known))
    modelled = [piece for piece in pieces if piece.model is not None]
    if modelled:
        step = max(piece.principal for piece in modelled) / LATTICE_CELLS
        risk = tranche_risk([_conditional(piece, step) for piece in modelled], _WEIGHTS, step)
        lost += risk.expected_loss * risk.principal
        untouched *= 1 - risk.pfl
        exhausted *= risk.pll
    return NoteRisk(lost / total, 1 - untouched, exhausted)


def outstanding_at(pieces: Sequence[Piece], measure: PricingMeasure, times_years: Floats) -> Floats:
    """Expected share of today's principal at each time [T] under a measure; 1 at time zero."""
    times = np.asarray(times_years, dtype=np.float64)
    total = sum(piece.principal for piece in pieces)
    shares = np.zeros(times.size)
    for piece in pieces:
        shares += piece.principal * _piece_outstanding(piece, measure, times)
    return np.asarray(shares / total, dtype=np.float64)


def _piece_outstanding(piece: Piece, measure: PricingMeasure, times: Floats) -> Floats:
    if piece.model is None:
        return np.where(times > 0, 1.0 - piece.known_loss, 1.0)
    if isinstance(measure, PhysicalMeasure):
        losses = term_structure(piece.model, piece.attach, piece.detach, times)
        return expected_outstanding_from_losses(np.array([piece.principal]), losses[None, :])
    points, weights = layer_quadrature(piece.attach, piece.detach)
    curve = SliceCurve(piece.principal, shortfall_survival(piece.model, points, HORIZON_YEARS), weights)
    return expected_outstanding([curve], measure, times)


def _conditional(piece: Piece, step: float) -> ConditionalSlice:
    assert piece.model is not None
    return condition_slice(
        piece.relationship_id, piece.principal, piece.attach, piece.detach, step, exceedance_given_distress(piece.model)
    )


def exceedance_given_distress(model: LossModel) -> Exceedance:
    """x[K] -> P(default within a year and loss beyond margin > x | m) [M, K] on this file's grid of m."""
    defaults = default_probability(model, _GRID, HORIZON_YEARS)[:, None]
    scale = gap_scale(model, _GRID)[:, None]

    def exceedance(x: Floats) -> Floats:
        level = np.asarray(x, dtype=np.float64)[None, :] + model.margin - model.cost
        return np.asarray(defaults * model.severity.survival(level / scale), dtype=np.float64)

    return exceedance
