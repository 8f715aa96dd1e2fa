"""The figures behind a term sheet's sliders: a class' risk and par spread over a grid of what the model assumes.

Axes: default intensity and severity as factors of today's, the loading rho on distress and the market price of risk as
they are said. EL, PFL, PLL are those of `note_risk` on a coarser rule for distress; the spread is the par coupon over
that of a note that cannot lose, under the official measure with another price of risk. A page interpolates between
the nodes, on the logarithm of probabilities. Beside them the exceedance curve of one relationship. Pure numpy.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonds.loss.note_risk import Piece
from bonds.pricing.measures import Distortion, layer_quadrature
from risk.margin.layers import LossModel
from risk.margin.shortfall import DISTRESS_LIMIT, default_probability, gap_scale, shortfall_survival

Floats = NDArray[np.float64]

HORIZON_YEARS = 1.0
PD_FACTORS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0)
SEVERITY_FACTORS = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
CORRELATIONS = (0.05, 0.2, 0.5, 0.7)
LOAD_FACTORS = (0.0, 0.5, 1.0, 1.5, 2.0)
LAYER_NODES = 16  # inside a class' layer: the grid agrees with the marks to a part in a thousand (tested)
DISTRESS_POINTS = 601  # half of those of the marks
CURVE_POINTS = 61  # of an exceedance curve: more than a chart 600 pixels wide can bend
_DISTRESS = np.linspace(-DISTRESS_LIMIT, DISTRESS_LIMIT, DISTRESS_POINTS)
_WEIGHTS = np.exp(-0.5 * _DISTRESS**2) / np.exp(-0.5 * _DISTRESS**2).sum()


@dataclass(frozen=True)
class Payments:
    """The remaining coupons of a class: times of payment in years (ACT/365), accrual of each in years of its day count
    and in days, discount factors; of equal length."""

    times: Floats
    years: Floats
    days: Floats
    discounts: Floats


@dataclass(frozen=True)
class Axes:
    """The nodes of each slider; `rho` and `load` hold today's own value among them."""

    pd: tuple[float, ...]
    severity: tuple[float, ...]
    rho: tuple[float, ...]
    load: tuple[float, ...]

    def as_data(self, base_rho: float, base_load: float) -> dict[str, Any]:
        """Nodes and today's point, a JSON value."""
        return {
            "pd": list(self.pd),
            "severity": list(self.severity),
            "rho": list(self.rho),
            "load": list(self.load),
            "base": {"pd": 1.0, "severity": 1.0, "rho": base_rho, "load": base_load},
        }


def axes_of(rho: float, load: float) -> Axes:
    """The nodes around today's loading and price of risk."""
    return Axes(
        PD_FACTORS,
        SEVERITY_FACTORS,
        tuple(sorted({*CORRELATIONS, round(rho, 6)})),
        tuple(sorted({round(load * factor, 6) for factor in LOAD_FACTORS})),
    )


@dataclass(frozen=True)
class Grid:
    """Flat, the last axis fastest: `el`, `pfl`, `pll` over pd x severity x rho, `spread` over those x load."""

    el: Floats
    pfl: Floats
    pll: Floats
    spread: Floats

    def as_data(self) -> dict[str, list[float]]:
        """Four significant digits: more than a slider shows."""
        return {name: [float(f"{value:.4g}") for value in values] for name, values in vars(self).items()}


def grid_of(pieces: Sequence[Piece], axes: Axes, measures: Sequence[Distortion], payments: Payments) -> Grid:
    """Over all nodes; `measures` is the official one at each load. Raises ValueError on a class without principal."""
    total = sum(piece.principal for piece in pieces)
    if total <= 0:
        raise ValueError("a class without principal has no risk")
    corners = len(axes.pd) * len(axes.severity) * len(axes.rho)
    lost, untouched = np.zeros(corners), np.ones((corners, DISTRESS_POINTS))
    exhausted = np.ones((corners, DISTRESS_POINTS))
    outstanding = np.zeros((corners, len(measures), payments.times.size))
    for piece in pieces:
        if piece.model is None:
            lost += piece.principal * piece.known_loss
            untouched *= float(piece.known_loss == 0)
            exhausted *= float(piece.known_loss >= 1)
            outstanding += piece.principal * (1 - piece.known_loss)
            continue
        survival, first, last = _of_piece(piece, piece.model, axes)
        _, weights = layer_quadrature(piece.attach, piece.detach, LAYER_NODES)
        lost += piece.principal * (survival @ weights)
        untouched *= 1 - first
        exhausted *= last
        outstanding += piece.principal * _outstanding(survival, weights, measures, payments.times)
    return Grid(
        el=lost / total,
        pfl=1 - untouched @ _WEIGHTS,
        pll=exhausted @ _WEIGHTS,
        spread=_par_spreads(outstanding / total, payments).ravel(),
    )


def exceedance(model: LossModel | None, end: float) -> tuple[Floats, Floats]:
    """(points, annual probability of a net loss beyond each) from zero to `end`, the model's unit."""
    points = np.linspace(0.0, end, CURVE_POINTS)
    return points, np.zeros_like(points) if model is None else shortfall_survival(model, points, HORIZON_YEARS)


def _of_piece(piece: Piece, model: LossModel, axes: Axes) -> tuple[Floats, Floats, Floats]:
    """(corners, nodes) annual exceedance inside the layer, and (corners, distress) probability of passing its ends."""
    points, _ = layer_quadrature(piece.attach, piece.detach, LAYER_NODES)
    levels = np.append(points, [piece.attach, piece.detach]) + model.margin - model.cost
    defaults = np.stack(
        [
            default_probability(
                replace(model, hazard_annual=model.hazard_annual * pd, rho=rho), _DISTRESS, HORIZON_YEARS
            )
            for pd, rho in product(axes.pd, axes.rho)
        ]
    ).reshape(len(axes.pd), len(axes.rho), -1)
    scale = gap_scale(model, _DISTRESS)[:, None]
    beyond = [model.severity.survival(levels[None, :] / (factor * scale)) for factor in axes.severity]
    corners = [defaults[n, k] for n in range(len(axes.pd)) for _ in axes.severity for k in range(len(axes.rho))]
    rows = [beyond[s] for _ in axes.pd for s in range(len(axes.severity)) for _ in axes.rho]
    survival = np.stack([(_WEIGHTS * p) @ gap[:, :-2] for p, gap in zip(corners, rows, strict=True)])
    first = np.stack([p * gap[:, -2] for p, gap in zip(corners, rows, strict=True)])
    last = np.stack([p * gap[:, -1] for p, gap in zip(corners, rows, strict=True)])
    return np.clip(survival, 0.0, 1.0), first, last


def _outstanding(survival: Floats, weights: Floats, measures: Sequence[Distortion], times: Floats) -> Floats:
    """(corners, measures, times) expected share of a slice's principal."""
    loaded = np.stack([measure.distort(survival) for measure in measures], axis=1)
    return np.stack([(1 - loaded) ** time @ weights for time in times], axis=2)


def _par_spreads(outstanding: Floats, payments: Payments) -> Floats:
    """(corners, measures): the share falls evenly over each period and accrues daily, as in `notes`."""
    before = np.concatenate([np.ones((*outstanding.shape[:2], 1)), outstanding[:, :, :-1]], axis=2)
    mean = before + (outstanding - before) * (payments.days - 1) / (2 * payments.days)
    annuity = (payments.discounts * payments.years * mean).sum(axis=2)
    par = (1 - outstanding[:, :, -1] * payments.discounts[-1]) / np.maximum(annuity, 1e-12)
    riskless = (1 - payments.discounts[-1]) / float(payments.discounts @ payments.years)
    return np.asarray(par - riskless, dtype=np.float64)
