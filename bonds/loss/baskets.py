"""Loss distribution of a tranche that holds slices of several relationships.

The loss of such a tranche is a *sum of layer losses*: every slice is ring-fenced, so no relationship's loss reaches
beyond its own principal. Relationships depend on each other only through a common distress factor m. Given m they
are independent, so each slice's loss is put on a lattice, the lattices are convolved by FFT at every node of m, and
the nodes are mixed.

What needs no lattice does not use one: expected loss is additive, and the probabilities that any slice is touched
(PFL) or that all are exhausted (PLL) are products given m. The lattice serves VaR, expected shortfall and the
distribution. It preserves means exactly: with q_j the mean exceedance of cell j, the mass at j is q_(j-1) - q_j.
Losses are in the unit of `principal`; conditional probabilities come from the risk engine's loss model. Pure numpy.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from math import ceil
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft

FloatArray = NDArray[np.float64]
Exceedance = Callable[[FloatArray], FloatArray]  # x[K] -> P(N > x | m)[M, K]
Means = Callable[[FloatArray], FloatArray]  # edges[J + 1] -> mean of P(N > x | m) between neighbours [M, J]

CELLS_MAX = 65_536  # a distribution of 2**16 cells at 60 nodes takes 30 MB; a finer step shows nothing more
POINTS_A_CELL = 4  # Gauss-Legendre inside a cell, exact for cubics


@dataclass(frozen=True)
class ConditionalSlice:
    """One slice given each of M nodes of the distress factor.

    `cell_exceedance[M, J]`: mean of P(loss > y | m) over y in [j, j + 1) x step. `attach_exceedance[M]` and
    `detach_exceedance[M]`: P(N > attach | m) and P(N > detach | m).
    """

    relationship_id: UUID
    principal: float
    cell_exceedance: FloatArray
    attach_exceedance: FloatArray
    detach_exceedance: FloatArray

    def loss_pmf(self) -> FloatArray:
        """P(loss = j x step | m) [M, J + 1], with the mean of the loss itself."""
        edges = np.pad(self.cell_exceedance, ((0, 0), (1, 1)), constant_values=((0, 0), (1, 0)))
        return np.asarray(edges[:, :-1] - edges[:, 1:], dtype=np.float64)


@dataclass(frozen=True)
class TrancheRisk:
    """Measures of a tranche over the horizon of its exceedances. `expected_loss`, `pfl`, `pll` lie in [0, 1];
    `loss_pmf[k]` = P(loss = k x step)."""

    principal: float
    step: float
    expected_loss: float
    pfl: float
    pll: float
    loss_pmf: FloatArray

    @property
    def conditional_expected_loss(self) -> float:
        """CEL = EL / PFL: the share lost once any is lost; zero for a tranche that cannot lose."""
        return self.expected_loss / self.pfl if self.pfl > 0 else 0.0

    def value_at_risk(self, level: float) -> float:
        """Smallest loss on the lattice that is not exceeded with probability `level`; at most the principal."""
        _check_level(level)
        index = int(np.searchsorted(np.cumsum(self.loss_pmf), level - 1e-12))
        return min(index * self.step, self.principal)

    def expected_shortfall(self, level: float) -> float:
        """Mean of the worst 1 - `level` of outcomes; at most the principal."""
        _check_level(level)
        tail = 1 - level
        index = int(np.searchsorted(np.cumsum(self.loss_pmf), level - 1e-12))
        losses = np.arange(self.loss_pmf.size) * self.step
        beyond = float(self.loss_pmf[index + 1 :].sum())
        worst = float(self.loss_pmf[index + 1 :] @ losses[index + 1 :]) + (tail - beyond) * float(losses[index])
        return min(worst / tail, self.principal)


def condition_slice(
    relationship_id: UUID,
    principal: float,
    attach: float,
    detach: float,
    step: float,
    exceedance: Exceedance,
    means: Means | None = None,
) -> ConditionalSlice:
    """Put one slice's layer [attach, detach) on a lattice of `step`, in the unit of `principal`.

    A slice with less principal than its layer is wide loses pro rata (the rest is the retained vertical slice). A last
    cell that the principal fills in part counts as such, so the mean stays exact. Means inside a cell are those of
    `means` where it is known, else by quadrature.
    """
    if not (0 <= attach < detach and principal > 0 and step > 0):
        raise ValueError(f"no layer or no lattice: [{attach}, {detach}), principal {principal}, step {step}")
    cells = ceil(principal / step - 1e-9)
    if cells > CELLS_MAX:
        raise ValueError(f"{cells} cells for one slice; choose a step of at least {principal / CELLS_MAX}")
    lows = np.arange(cells) * step
    highs = np.minimum(lows + step, principal)
    a_unit = (detach - attach) / principal
    if means is None:
        points, weights = np.polynomial.legendre.leggauss(POINTS_A_CELL)
        losses = (lows[:, None] + (highs - lows)[:, None] * (points + 1) / 2).ravel()
        given = exceedance(attach + losses * a_unit)
        inside = given.reshape(given.shape[0], cells, POINTS_A_CELL) @ (weights / 2)
    else:
        inside = means(attach + np.append(lows, principal) * a_unit)
    ends = exceedance(np.array([attach, detach]))
    return ConditionalSlice(
        relationship_id=relationship_id,
        principal=principal,
        cell_exceedance=inside * (highs - lows) / step,
        attach_exceedance=ends[:, 0],
        detach_exceedance=ends[:, 1],
    )


def convolve(pmfs: Sequence[FloatArray]) -> FloatArray:
    """Distribution of a sum of independent lattice losses at each node: pmfs [M, J_i + 1] -> [M, sum J_i + 1].

    By twos, then the sums by twos: most transforms are short ones, and of many slices it is several times faster.
    """
    size = sum(pmf.shape[1] - 1 for pmf in pmfs) + 1
    if size > CELLS_MAX:
        raise ValueError(f"{size} cells for one tranche; choose a wider step")
    sums = list(pmfs)
    while len(sums) > 1:
        odd = sums[-1:] if len(sums) % 2 else []
        sums = [_of_two(one, other) for one, other in zip(sums[::2], sums[1::2], strict=False)] + odd
    return np.asarray(sums[0], dtype=np.float64)


def _of_two(one: FloatArray, other: FloatArray) -> FloatArray:
    size = one.shape[1] + other.shape[1] - 1
    length = next_fast_len(size, real=True)
    spectrum = rfft(one, length, axis=1) * rfft(other, length, axis=1)
    # The transform leaves noise of 1e-16 a cell, also below zero.
    return np.asarray(np.clip(irfft(spectrum, length, axis=1)[:, :size], 0.0, None), dtype=np.float64)


def tranche_risk(slices: Sequence[ConditionalSlice], node_weights: FloatArray, step: float) -> TrancheRisk:
    """Measures of a tranche of ring-fenced slices; `node_weights[M]` sum to one and every slice has the same nodes."""
    weights = np.asarray(node_weights, dtype=np.float64)
    if abs(float(weights.sum()) - 1) > 1e-9 or any(s.attach_exceedance.shape != weights.shape for s in slices):
        raise ValueError("node weights sum to one, and every slice is given at every node")
    if not slices or len({s.relationship_id for s in slices}) != len(slices):
        raise ValueError("a tranche needs at least one slice, and one a relationship")
    principal = sum(s.principal for s in slices)
    expected = sum(float(weights @ s.cell_exceedance.sum(axis=1)) * step for s in slices)
    untouched = reduce(np.multiply, (1 - s.attach_exceedance for s in slices))
    exhausted = reduce(np.multiply, (s.detach_exceedance for s in slices))
    return TrancheRisk(
        principal=principal,
        step=step,
        expected_loss=expected / principal,
        pfl=1 - float(weights @ untouched),
        pll=float(weights @ exhausted),
        loss_pmf=weights @ convolve([s.loss_pmf() for s in slices]),
    )


def normal_nodes(count: int = 60) -> tuple[FloatArray, FloatArray]:
    """Gauss-Hermite nodes m[count] of a standard normal factor and weights that sum to one."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(count)
    return nodes, weights / weights.sum()


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"a confidence level lies strictly between 0 and 1, not {level}")
