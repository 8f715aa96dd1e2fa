"""Expected loss and attachment of the layers of one relationship: integrals of the shortfall survival S(x, t).

These are what a noteholder watches and what a tranche is priced from: EL = Int_a^d S / (d - a), the probability that
the layer loses anything, PFL = S(a), and that it loses everything, PLL = S(d). What lies beyond the last layer is
UNCOVERED: `loss_beyond`. Baskets are elsewhere: a tranche over several relationships is a sum of such layers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from risk.margin.ruleset import Ruleset
from risk.margin.shortfall import (
    NODES,
    LossModel,
    ScenarioSeverity,
    expected_excess,
    gauss_legendre,
    shortfall_survival,
)

__all__ = [
    "LayerMeasures",
    "LossBeyond",
    "LossModel",
    "layer_measures",
    "live_loss_model",
    "live_measures",
    "loss_beyond",
    "shortfall_survival",
    "term_structure",
]

Floats = NDArray[np.float64]

LAYER_NODES = 32  # S is smooth in x: doubling moves no figure by 1e-9 (tested)
TAIL_NODES = 64  # of the half line beyond a point: doubling them moves the expected amount by less than 1e-6 (tested)


@dataclass(frozen=True)
class LayerMeasures:
    """Of one layer over one horizon: `el` expected loss as a share of the layer's width, `pfl` probability of a first
    loss, `pll` of total loss, `cel` expected loss given a loss (el / pfl, 0 when none is possible)."""

    el: float
    pfl: float
    pll: float

    @property
    def cel(self) -> float:
        """Conditional expected loss."""
        return self.el / self.pfl if self.pfl > 0.0 else 0.0


def layer_measures(
    model: LossModel, attach: float, detach: float, years: float, nodes: int = NODES, layer_nodes: int = LAYER_NODES
) -> LayerMeasures:
    """Measures of the layer [attach, detach) of the loss beyond margin, in the model's unit, within `years`.

    Raises ValueError unless 0 <= attach < detach.
    """
    points, weights = _layer_nodes(attach, detach, layer_nodes)
    return _of_layer(shortfall_survival(model, points, years, nodes), weights, detach - attach)


def _of_layer(survival: Floats, weights: Floats, width: float) -> LayerMeasures:
    return LayerMeasures(el=float(weights @ survival[:-2]) / width, pfl=float(survival[-2]), pll=float(survival[-1]))


@dataclass(frozen=True)
class LossBeyond:
    """Of the loss beyond a point within one horizon: its `probability`, and its mean `expected` in the model's unit
    over all outcomes, those without a loss included."""

    probability: float
    expected: float


def loss_beyond(
    model: LossModel, attach: float, years: float, nodes: int = NODES, tail_nodes: int = TAIL_NODES
) -> LossBeyond:
    """The part of the loss beyond margin that exceeds `attach` (model's unit): S(a) and Int_a^inf S(x, t) dx.

    The half line is mapped to [0, 1) by x = a + c u / (1 - u). S falls at least as fast as x^-2 (the fit's shape is at
    most a half), so the integrand stays bounded. Raises ValueError when attach is negative.
    """
    points, weights = _tail_nodes(model, attach, tail_nodes)
    return _of_tail(shortfall_survival(model, points, years, nodes), weights)


def _of_tail(survival: Floats, weights: Floats) -> LossBeyond:
    return LossBeyond(probability=float(survival[-1]), expected=float(weights @ survival[:-1]))


def live_measures(
    model: LossModel, layers: Sequence[tuple[float, float]], beyond: float, years: float
) -> tuple[list[LayerMeasures], LossBeyond]:
    """`layer_measures` of each of these layers (attach, detach) and `loss_beyond` a point.

    Of a severity between scenarios the means are in closed form, E(x) = Int_x^inf S dy at the edges alone; where a
    layer is thin against E, its mean is kept between its two probabilities, where it lies."""
    if not isinstance(model.severity, ScenarioSeverity):
        return [layer_measures(model, *layer, years) for layer in layers], loss_beyond(model, beyond, years)
    for layer in layers:
        _check_layer(*layer)
    edges = np.array([point for layer in layers for point in layer] + [beyond])
    survival = shortfall_survival(model, edges, years).tolist()
    above = expected_excess(model, edges, np.array([years]))[:, 0].tolist()
    found = []
    for at, (attach, detach) in enumerate(layers):
        (pfl, pll), (more, less) = survival[2 * at : 2 * at + 2], above[2 * at : 2 * at + 2]
        found.append(LayerMeasures(el=min(max((more - less) / (detach - attach), pll), pfl), pfl=pfl, pll=pll))
    return found, LossBeyond(probability=survival[-1], expected=above[-1])


def term_structure(model: LossModel, attach: float, detach: float, years: Sequence[float] | Floats) -> Floats:
    """(T,) expected loss of the layer, as a share of its width, by each horizon; rises with the horizon."""
    if not isinstance(model.severity, ScenarioSeverity):
        return np.array([layer_measures(model, attach, detach, float(horizon)).el for horizon in years])
    _check_layer(attach, detach)
    above = expected_excess(model, np.array([attach, detach]), np.asarray(years, dtype=np.float64))
    return np.asarray((above[0] - above[1]) / (detach - attach), dtype=np.float64)


def live_loss_model(
    losses_usd: Floats, *, hazard_annual: float, margin_usd: float, ruleset: Ruleset, cost_usd: float = 0.0
) -> LossModel:
    """The loss model of a relationship as it stands now.

    `losses_usd` (S,) its scenario losses over the margin period, positions and collateral together; `margin_usd` held
    at market value, less exposure it has not paid; `cost_usd` of closing out. The scale s0 is 1: the losses are already
    in USD, and distress only spreads them.
    """
    rules = ruleset.loss_model
    return LossModel(
        hazard_annual=hazard_annual,
        rho=rules.rho,
        v=rules.severity_vol,
        s0=1.0,
        severity=ScenarioSeverity.of(losses_usd, rules.tail_share, ruleset.evt_shape_max),
        margin=margin_usd,
        cost=cost_usd,
    )


def _layer_nodes(attach: float, detach: float, nodes: int) -> tuple[Floats, Floats]:
    """Points inside the layer, then its two ends; weights of the points inside."""
    _check_layer(attach, detach)
    point, weight = gauss_legendre(nodes)
    half = (detach - attach) / 2.0
    return np.append(attach + half * (point + 1.0), [attach, detach]), half * weight


def _check_layer(attach: float, detach: float) -> None:
    if not 0.0 <= attach < detach:
        raise ValueError(f"a layer needs 0 <= attach < detach, not {attach} and {detach}")


def _tail_nodes(model: LossModel, attach: float, nodes: int) -> tuple[Floats, Floats]:
    """Points of the half line, then its end; weights of all but that."""
    if attach < 0.0:
        raise ValueError(f"a loss beyond margin starts at zero, not at {attach}")
    point, weight = gauss_legendre(nodes)
    u = (point + 1.0) / 2.0
    scale = max(abs(attach + model.margin - model.cost), model.s0 * max(model.severity.kink, 0.0)) or 1.0
    stretch = scale / (1.0 - u) ** 2
    return np.append(attach + scale * u / (1.0 - u), attach), weight / 2.0 * stretch
