"""Pricing measures: from the physical probability of a loss to the one that investors are paid for.

Nothing public calibrates a measure to tail risk of crypto credit, so a measure is named, versioned by its parameters
and disclosed next to the physical figures. A measure loads the *annual* probability S that the net loss N of a
relationship exceeds x; other terms follow from a constant annual hazard of exceedance, S*(t) = 1 - (1 - S*(1))^t.
The expected outstanding share of a note is then N*(t) = 1 - 1/(d-a) Int_a^d S*(x,t) dx, weighted by principal over
its slices. Two kinds:
- a *distortion* loads each probability by itself, so layers add up: Wang, feared Wang, linear, power;
- a *layer load* knows a slice only as a whole, by its expected loss and its probability of a first loss: Lane, and the
  standard-deviation load. The priced losses of two layers do not add up to that of both.
Which one is official, and with which parameters, stands in `rulesets`; how they were found, in `calibration`.
Pure numpy and scipy; the probabilities come from the risk engine's loss model.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtr

from risk.margin.shortfall import gauss_legendre

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class SliceCurve:
    """Annual exceedance of one slice at quadrature points of its layer.

    `annual_exceedance[k]` = P(N > x_k within one year), `weights[k]` sum to one over the layer (`layer_quadrature`);
    `principal` in any unit, the same for all slices of a note. `first_loss` = P(N > attach), for measures that load by
    it; where it is not given, the probability at the lowest point stands for it.
    """

    principal: float
    annual_exceedance: FloatArray
    weights: FloatArray
    first_loss: float | None = None

    def __post_init__(self) -> None:
        s = self.annual_exceedance
        if s.shape != self.weights.shape or s.ndim != 1:
            raise ValueError("one weight a probability")
        if not bool(np.all((s >= 0) & (s <= 1))) or abs(float(self.weights.sum()) - 1) > 1e-9:
            raise ValueError("probabilities lie in [0, 1] and weights sum to one")
        if not self.principal > 0:
            raise ValueError("a slice has principal")

    @property
    def expected_loss(self) -> float:
        """Annual, physical, a share of principal."""
        return float(self.annual_exceedance @ self.weights)

    @property
    def probability_first_loss(self) -> float:
        """Annual, physical."""
        return float(self.annual_exceedance[0]) if self.first_loss is None else self.first_loss


class PricingMeasure(Protocol):
    """What turns physical annual probabilities into priced ones, never lower for the slice as a whole."""

    @property
    def name(self) -> str: ...

    def loaded(self, slice_: SliceCurve) -> FloatArray:
        """(K,) priced annual probability at each point of the slice."""
        ...


class Distortion(ABC):
    """A measure that loads each probability by itself: law-invariant, rising, never below the physical one."""

    @abstractmethod
    def distort(self, annual_exceedance: FloatArray) -> FloatArray:
        """Priced annual probabilities, in the shape of the physical ones."""

    def loaded(self, slice_: SliceCurve) -> FloatArray:
        """(K,) priced annual probability at each point of the slice."""
        return self.distort(slice_.annual_exceedance)


@dataclass(frozen=True)
class PhysicalMeasure(Distortion):
    """No load: prices at the expected loss. The reference that every measure is shown against."""

    name: str = "physical"

    def distort(self, annual_exceedance: FloatArray) -> FloatArray:
        return np.asarray(annual_exceedance, dtype=np.float64)


@dataclass(frozen=True)
class WangTransform(Distortion):
    """S* = max(S, t_k(N^-1(S) + lambda)): Wang (2004), "Cat bond pricing using probability transforms".

    lambda .454 and k 5 are its fit to the cat bonds of 1999-2000. With k = 5 the Student tail gives a high floor at
    small probabilities (an annual 0.05% becomes 1.8%), which is disclosed and not repaired here.
    """

    market_price_of_risk: float = 0.454
    degrees_of_freedom: float = 5.0

    @property
    def name(self) -> str:
        return f"wang-lambda-{self.market_price_of_risk:g}-k-{self.degrees_of_freedom:g}"

    def distort(self, annual_exceedance: FloatArray) -> FloatArray:
        physical = np.asarray(annual_exceedance, dtype=np.float64)
        shifted = stdtr(self.degrees_of_freedom, ndtri(physical) + self.market_price_of_risk)
        return np.asarray(np.maximum(physical, shifted), dtype=np.float64)


@dataclass(frozen=True)
class FearedWang(Distortion):
    """S* = max(S, N(N^-1(S + c S^p (1 - S)) + lambda)): the normal Wang transform of a feared probability, in which
    the loss also comes for a reason that the model does not have.

    That reason has the probability c = `unmodelled` where the model is sure of nothing, and fades with the model's own
    by a small power p = `fading`: a probability ten times smaller is feared half as much at p = .3. With p = 0 it is a
    floor under every spread, also of what is next to impossible; with c = 0 the normal transform itself. One price of
    risk lambda, which is also where the level of the market enters.
    """

    market_price_of_risk: float
    unmodelled: float
    fading: float = 0.0

    @property
    def name(self) -> str:
        return f"feared-wang-lambda-{self.market_price_of_risk:g}-c-{self.unmodelled:g}-p-{self.fading:g}"

    def distort(self, annual_exceedance: FloatArray) -> FloatArray:
        physical = np.asarray(annual_exceedance, dtype=np.float64)
        feared = physical + self.unmodelled * physical**self.fading * (1 - physical)
        return np.asarray(np.maximum(physical, ndtr(ndtri(feared) + self.market_price_of_risk)), dtype=np.float64)


@dataclass(frozen=True)
class LinearLoad(Distortion):
    """S* = min(1, max(S, floor + multiple S)): the straight line of spread on expected loss that desks quote."""

    floor: float
    multiple: float

    @property
    def name(self) -> str:
        return f"linear-floor-{self.floor:g}-multiple-{self.multiple:g}"

    def distort(self, annual_exceedance: FloatArray) -> FloatArray:
        physical = np.asarray(annual_exceedance, dtype=np.float64)
        loaded = np.maximum(physical, self.floor + self.multiple * physical)
        return np.asarray(np.minimum(1.0, loaded), dtype=np.float64)


@dataclass(frozen=True)
class PowerLoad(Distortion):
    """S* = min(1, max(S, scale S^exponent)): log-linear in the probability; the proportional hazard transform of Wang
    (1995) where the scale is one."""

    exponent: float
    scale: float = 1.0

    @property
    def name(self) -> str:
        return f"power-{self.exponent:g}-scale-{self.scale:g}"

    def distort(self, annual_exceedance: FloatArray) -> FloatArray:
        physical = np.asarray(annual_exceedance, dtype=np.float64)
        loaded = np.maximum(physical, self.scale * physical**self.exponent)
        return np.asarray(np.minimum(1.0, loaded), dtype=np.float64)


class LayerLoad(ABC):
    """A measure that loads a layer as a whole."""

    @abstractmethod
    def priced(self, expected_loss: FloatArray, first_loss: FloatArray) -> FloatArray:
        """(n,) priced annual losses, at most one, of layers with these physical annual figures."""

    def loaded(self, slice_: SliceCurve) -> FloatArray:
        """(K,) the same priced annual probability at each point of the slice."""
        priced = self.priced(np.array([slice_.expected_loss]), np.array([slice_.probability_first_loss]))
        return np.full_like(slice_.annual_exceedance, priced[0])


@dataclass(frozen=True)
class LaneLoad(LayerLoad):
    """Expected excess return EER = scale PFL^a CEL^b over the expected loss: Lane (2000), "Pricing risk transfer
    transactions", whose fit to the bonds of 1999 is .55, .49 and .57."""

    scale: float = 0.55
    frequency: float = 0.49
    severity: float = 0.57

    @property
    def name(self) -> str:
        return f"lane-{self.scale:g}-{self.frequency:g}-{self.severity:g}"

    def priced(self, expected_loss: FloatArray, first_loss: FloatArray) -> FloatArray:
        conditional = np.divide(expected_loss, first_loss, out=np.zeros_like(expected_loss), where=first_loss > 0)
        excess = self.scale * first_loss**self.frequency * np.minimum(1.0, conditional) ** self.severity
        return np.asarray(np.minimum(1.0, expected_loss + excess), dtype=np.float64)


@dataclass(frozen=True)
class DeviationLoad(LayerLoad):
    """EL + multiple x sqrt(EL (1 - EL)): the standard-deviation principle on a loss of all or nothing, which bounds the
    deviation of a slice from above."""

    multiple: float

    @property
    def name(self) -> str:
        return f"deviation-{self.multiple:g}"

    def priced(self, expected_loss: FloatArray, first_loss: FloatArray) -> FloatArray:
        deviation = np.sqrt(np.maximum(0.0, expected_loss * (1 - expected_loss)))
        return np.asarray(np.minimum(1.0, expected_loss + self.multiple * deviation), dtype=np.float64)


# The official measure of the standard ruleset (`rulesets`), at the level zero of a market that nobody has seen lately.
OFFICIAL = FearedWang(market_price_of_risk=0.2434, unmodelled=0.0396, fading=0.1519)


def layer_quadrature(attach: float, detach: float, count: int = 32) -> tuple[FloatArray, FloatArray]:
    """Gauss-Legendre points x[count] inside [attach, detach] and weights[count] that sum to one."""
    points, weights = gauss_legendre(count)
    return attach + (detach - attach) * (points + 1) / 2, weights / 2


def expected_outstanding(slices: Sequence[SliceCurve], measure: PricingMeasure, times_years: FloatArray) -> FloatArray:
    """N*(t) of a note for each t[T] >= 0 in years: share of today's principal, 1 at t = 0, falling in t."""
    times = np.asarray(times_years, dtype=np.float64)[:, None]
    outstanding = np.zeros(times.shape[0])
    for slice_ in slices:
        yearly_survival = 1 - measure.loaded(slice_)
        outstanding += slice_.principal * (yearly_survival**times @ slice_.weights)
    return outstanding / sum(slice_.principal for slice_ in slices)


def expected_outstanding_from_losses(principals: FloatArray, expected_loss: FloatArray) -> FloatArray:
    """N(t) of a note from term structures of its slices: `expected_loss[n, T]` as shares of `principals[n]`."""
    weights = np.asarray(principals, dtype=np.float64)
    return np.asarray(1 - weights @ np.asarray(expected_loss, dtype=np.float64) / weights.sum(), dtype=np.float64)
