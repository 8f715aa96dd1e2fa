"""Risk and expected principal of a note, from where its relationships stand. Pure numpy.

A *piece* is what a class has left in one slice. While the relationship performs, its loss is the engine's model on
the layer that is left; once it is in default, the further loss is a known (or estimated) share, and nothing else can
happen to it. The class is the principal-weighted sum of its pieces; that any piece, or every piece, is hit depends on
the distress factor they share. How its loss is distributed beyond these three figures is `distribution`'s.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from bonds.loss.baskets import Exceedance
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
LAYER_POINTS = 16  # inside a layer: expected principal moves by 1e-9 from there to 256 (tested to 1e-7)
DISTRESS_POINTS = 401  # of the normal factor on +-9: PFL and PLL of several slices are right to 3e-3 of them (tested)
_GRID = np.linspace(-9.0, 9.0, DISTRESS_POINTS)
_DENSITY = np.exp(-0.5 * _GRID**2)
_WEIGHTS = _DENSITY / _DENSITY.sum()


@dataclass(frozen=True)
class Piece:
    """Outstanding principal (USD) of one class in one slice: its layer [attach, detach) in USD under a model, or a
    `known_loss` share when there is no model. What its model says is computed once, when somebody asks."""

    relationship_id: UUID
    principal: float
    attach: float
    detach: float
    model: LossModel | None
    known_loss: float = 0.0

    @cached_property
    def annual_exceedance(self) -> Floats:
        """(K + 2,) P(N > x within a year) at the `LAYER_POINTS` of its quadrature, then at attach and at detach."""
        assert self.model is not None
        points, _ = layer_quadrature(self.attach, self.detach, LAYER_POINTS)
        survival = shortfall_survival(self.model, np.append(points, [self.attach, self.detach]), HORIZON_YEARS)
        return np.asarray(np.clip(survival, 0.0, 1.0), dtype=np.float64)

    @cached_property
    def risk(self) -> "NoteRisk":
        """Of the piece alone, by quadrature."""
        if self.model is None:
            return NoteRisk(self.known_loss, float(self.known_loss > 0), float(self.known_loss >= 1))
        pfl, pll = (float(found) for found in self.annual_exceedance[-2:])
        mean = self.curve.expected_loss
        return NoteRisk(min(max(mean, pll), pfl), pfl, pll)  # rounding of a layer that hardly anything reaches

    @cached_property
    def curve(self) -> SliceCurve:
        """What a pricing measure loads."""
        _, weights = layer_quadrature(self.attach, self.detach, LAYER_POINTS)
        found = self.annual_exceedance
        return SliceCurve(self.principal, found[:-2], weights, first_loss=float(found[-2]))


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
    alone = [piece.risk for piece in pieces]
    if len(alone) == 1:
        return alone[0]
    lost = sum(piece.principal * risk.expected_loss for piece, risk in zip(pieces, alone, strict=True))
    untouched, exhausted = np.ones(_GRID.size), np.ones(_GRID.size)
    for piece in pieces:
        if piece.model is None:
            untouched *= float(piece.known_loss == 0)
            exhausted *= float(piece.known_loss >= 1)
        else:
            first, last = exceedance_given_distress(piece.model)(np.array([piece.attach, piece.detach])).T
            untouched *= 1 - first
            exhausted *= last
    return NoteRisk(lost / total, 1 - float(_WEIGHTS @ untouched), float(_WEIGHTS @ exhausted))


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
    return expected_outstanding([piece.curve], measure, times)


def exceedance_given_distress(model: LossModel) -> Exceedance:
    """x[K] -> P(default within a year and loss beyond margin > x | m) [M, K] on this file's grid of m."""
    defaults = default_probability(model, _GRID, HORIZON_YEARS)[:, None]
    scale = gap_scale(model, _GRID)[:, None]

    def exceedance(x: Floats) -> Floats:
        level = np.asarray(x, dtype=np.float64)[None, :] + model.margin - model.cost
        return np.asarray(defaults * model.severity.survival(level / scale), dtype=np.float64)

    return exceedance
