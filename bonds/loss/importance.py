"""Simulation of rare losses by importance sampling, for what depends on the path of a loss and has no closed form.

Almost no draw of the loss model costs a tranche anything. Here every draw does: distress m is drawn around `theta`
where losses come from, m ~ N(theta, 1), and counts with its likelihood exp(theta^2 / 2 - theta m); the default is
forced and counts with its probability p(T; m); the gap is drawn beyond the point where it begins to matter and counts
with the probability of lying there. The time of default follows from p(t; m) of the same model, so that expected losses
by any earlier day are those of the exact quadrature (`risk.margin.layers`), which computes whatever it can.

theta is the mean of m under the density that would have no variance for the expected loss, Int m f / Int f with
f(m) = phi(m) p(T; m) E[layer loss | m]: the cross-entropy choice within normals of unit variance. Draws are
independent, so a standard error is that of a mean. Relationships of one class share m and nothing else. Pure numpy.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from risk.margin.layers import LossModel
from risk.margin.shortfall import default_probability, gap_scale, gauss_legendre

Floats = NDArray[np.float64]

DRAWS = 20_000  # relative standard errors of the reference layers are below half a percent (tested)
_GRID = np.linspace(-9.0, 9.0, 721)  # theta needs no more: it moves the variance, never the mean
_POINTS_A_LAYER = 8
_SMALLEST = np.finfo(np.float64).tiny  # a probability that is divided by, or whose logarithm is taken


@dataclass(frozen=True)
class CoveredLayer:
    """The layer [attach, detach) of one relationship's loss beyond margin, in the unit of its model, and the principal
    of a class that stands behind it, in any unit that is the same for all."""

    model: LossModel
    attach: float
    detach: float
    principal: float

    def share_lost(self, net_loss: Floats) -> Floats:
        """The part of the layer that a net loss takes, in [0, 1]."""
        return np.asarray(np.clip((net_loss - self.attach) / (self.detach - self.attach), 0.0, 1.0), dtype=np.float64)


@dataclass(frozen=True)
class Estimate:
    """A simulated mean and its standard error."""

    value: float
    standard_error: float

    @classmethod
    def of(cls, weighted: Floats) -> "Estimate":
        """From one weighted outcome a draw (n,)."""
        return cls(float(weighted.mean()), float(weighted.std(ddof=1)) / float(np.sqrt(weighted.size)))


@dataclass(frozen=True)
class ForcedDefaults:
    """One relationship in each of n draws: `chance` (n,) that it defaults by the horizon with a loss beyond the point
    it was drawn from, given that draw's distress; then its default comes at `years` (n,) and costs `net_loss` (n,)."""

    chance: Floats
    years: Floats
    net_loss: Floats


def theta_for(layers: Sequence[CoveredLayer], years: float) -> float:
    """Where distress is drawn around: see the module. Zero where nothing can be lost."""
    points, weights = gauss_legendre(_POINTS_A_LAYER)
    lost = np.zeros_like(_GRID)
    for layer in layers:
        level = layer.attach + (layer.detach - layer.attach) * (points + 1) / 2 + layer.model.margin - layer.model.cost
        beyond = layer.model.severity.survival(level / gap_scale(layer.model, _GRID)[:, None])
        lost += layer.principal * default_probability(layer.model, _GRID, years) * (beyond @ weights)
    density = lost * np.exp(-0.5 * _GRID**2)
    return float(_GRID @ density / density.sum()) if density.sum() > 0.0 else 0.0


def draw_distress(generator: np.random.Generator, draws: int, theta: float) -> tuple[Floats, Floats]:
    """m (n,) ~ N(theta, 1) and its likelihood against N(0, 1)."""
    m = generator.standard_normal(draws) + theta
    return m, np.exp(0.5 * theta**2 - theta * m)


def force_default(
    generator: np.random.Generator, model: LossModel, m: Floats, years: float, beyond: float
) -> ForcedDefaults:
    """A default within `years` of a loss beyond `beyond` (model's unit, >= 0), in every draw of distress (n,)."""
    default = default_probability(model, m, years)
    scale = gap_scale(model, m)
    gap = model.severity.survival((beyond + model.margin - model.cost) / scale)
    # 1 - u lies in (0, 1]: a draw at the point itself is possible, one of no probability is not.
    exceedance = np.maximum(gap * (1.0 - generator.random(m.size)), _SMALLEST)
    net_loss = scale * model.severity.quantile(exceedance) - model.margin + model.cost
    return ForcedDefaults(
        chance=default * gap,
        years=_default_times(model, m, default * (1.0 - generator.random(m.size)), years),
        net_loss=np.maximum(net_loss, beyond),
    )


def sampled_layer_loss(
    layer: CoveredLayer, years: float, generator: np.random.Generator, draws: int = DRAWS
) -> Estimate:
    """Expected loss of a layer as a share of it: what the exact quadrature gives, and the check of this file."""
    m, likelihood = draw_distress(generator, draws, theta_for([layer], years))
    found = force_default(generator, layer.model, m, years, layer.attach)
    return Estimate.of(likelihood * found.chance * layer.share_lost(found.net_loss))


def _default_times(model: LossModel, m: Floats, probability: Floats, years: float) -> Floats:
    """t at which p(t; m) is `probability`: N^-1(1 - exp(-h t)) = sqrt(1 - rho) N^-1(probability) + sqrt(rho) m."""
    if model.hazard_annual == 0.0:
        return np.full(m.size, years)
    barrier = np.sqrt(1.0 - model.rho) * ndtri(np.maximum(probability, _SMALLEST)) + np.sqrt(model.rho) * m
    return np.asarray(np.minimum(-np.log1p(-ndtr(barrier)) / model.hazard_annual, years), dtype=np.float64)
