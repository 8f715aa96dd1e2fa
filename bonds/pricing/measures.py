"""Pricing measures: from the physical probability of a loss to the one that investors are paid for.

Nothing public calibrates a measure to tail risk of crypto credit, so a measure is named, versioned by its parameters
and disclosed next to the physical figures. A measure distorts the *annual* probability S that the net loss N of a
relationship exceeds x; other terms follow from a constant annual hazard of exceedance, S*(t) = 1 - (1 - S*(1))^t.
The expected outstanding share of a note is then N*(t) = 1 - 1/(d-a) Int_a^d S*(x,t) dx, weighted by principal over
its slices. Pure numpy and scipy; the probabilities come from the risk engine's loss model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtr

from risk.margin.shortfall import gauss_legendre

FloatArray = NDArray[np.float64]


class PricingMeasure(Protocol):
    """A law-invariant distortion of annual exceedance probabilities; never below the physical ones."""

    @property
    def name(self) -> str: ...

    def distort(self, annual_exceedance: FloatArray) -> FloatArray: ...


@dataclass(frozen=True)
class PhysicalMeasure:
    """No load: prices at the expected loss. The reference that every measure is shown against."""

    name: str = "physical"

    def distort(self, annual_exceedance: FloatArray) -> FloatArray:
        return np.asarray(annual_exceedance, dtype=np.float64)


@dataclass(frozen=True)
class WangTransform:
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


OFFICIAL: PricingMeasure = WangTransform()  # of every mark, guidance and quotation


@dataclass(frozen=True)
class SliceCurve:
    """Annual exceedance of one slice at quadrature points of its layer.

    `annual_exceedance[k]` = P(N > x_k within one year), `weights[k]` sum to one over the layer (`layer_quadrature`);
    `principal` in any unit, the same for all slices of a note.
    """

    principal: float
    annual_exceedance: FloatArray
    weights: FloatArray

    def __post_init__(self) -> None:
        s = self.annual_exceedance
        if s.shape != self.weights.shape or s.ndim != 1:
            raise ValueError("one weight a probability")
        if not bool(np.all((s >= 0) & (s <= 1))) or abs(float(self.weights.sum()) - 1) > 1e-9:
            raise ValueError("probabilities lie in [0, 1] and weights sum to one")
        if not self.principal > 0:
            raise ValueError("a slice has principal")


def layer_quadrature(attach: float, detach: float, count: int = 32) -> tuple[FloatArray, FloatArray]:
    """Gauss-Legendre points x[count] inside [attach, detach] and weights[count] that sum to one."""
    points, weights = gauss_legendre(count)
    return attach + (detach - attach) * (points + 1) / 2, weights / 2


def expected_outstanding(slices: Sequence[SliceCurve], measure: PricingMeasure, times_years: FloatArray) -> FloatArray:
    """N*(t) of a note for each t[T] >= 0 in years: share of today's principal, 1 at t = 0, falling in t."""
    times = np.asarray(times_years, dtype=np.float64)[:, None]
    outstanding = np.zeros(times.shape[0])
    for slice_ in slices:
        yearly_survival = 1 - measure.distort(slice_.annual_exceedance)
        outstanding += slice_.principal * (yearly_survival**times @ slice_.weights)
    return outstanding / sum(slice_.principal for slice_ in slices)


def expected_outstanding_from_losses(principals: FloatArray, expected_loss: FloatArray) -> FloatArray:
    """N(t) of a note from term structures of its slices: `expected_loss[n, T]` as shares of `principals[n]`."""
    weights = np.asarray(principals, dtype=np.float64)
    return np.asarray(1 - weights @ np.asarray(expected_loss, dtype=np.float64) / weights.sum(), dtype=np.float64)
