"""S(x, t): the probability that a relationship defaults within t and its loss beyond margin exceeds x.

One standard normal m is distress: it loads the default and scales the gap. Given m they are independent, so
S(x, t) = Int p(t; m) P(G > margin + x | m) phi(m) dm with
p(t; m) = N((N^-1(1 - exp(-Lambda t)) - sqrt(rho) m) / sqrt(1 - rho)),
G = s(m) Z, s(m) = s0 exp(-v m - v^2 / 2). The integral is exact quadrature, split where the severity has a kink.
All amounts share one unit, the caller's: USD in the platform, multiples of margin in the reference table.
"""

from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr, ndtri

from risk.margin.kernels.survival import scenario_cells, scenario_excess, scenario_survival
from risk.margin.tails import fit_pareto, worst_losses

Floats = NDArray[np.float64]

NODES = 64  # Gauss-Legendre nodes a panel: doubling them moves no figure by 1e-9 (tested)
DISTRESS_LIMIT = 9.0  # beyond nine standard deviations the normal density is below 1e-18
TABLE_ROWS = 4_097  # of `defaulting`: cubics between them move no survival by 1e-9 of itself (tested)


@cache
def gauss_legendre(nodes: int) -> tuple[Floats, Floats]:
    """Points on [-1, 1] and weights that sum to two: to find them takes longer than to use them."""
    found = np.polynomial.legendre.leggauss(nodes)
    for part in found:
        part.flags.writeable = False
    return found


class Severity(Protocol):
    """The law of Z, the gap given default before scaling by distress."""

    @property
    def kink(self) -> float:
        """Where the density jumps: the quadrature splits there."""
        ...

    def survival(self, z: Floats) -> Floats:
        """P(Z > z), any shape."""
        ...

    def quantile(self, exceedance: Floats) -> Floats:
        """The smallest z that Z exceeds with no more than this probability in (0, 1], any shape: of a uniform number,
        a draw of Z."""
        ...


@dataclass(frozen=True)
class NormalBodySeverity:
    """Pareto tail beyond `u` with P(Z > u) = share; below it the normal upper tail scaled to meet it."""

    u: float
    xi: float
    beta: float
    share: float

    @property
    def kink(self) -> float:
        """The threshold."""
        return self.u

    def survival(self, z: Floats) -> Floats:
        """P(Z > z) = min(1, Q(z) share / Q(u)) up to u, share (1 + xi (z - u)/beta)^(-1/xi) beyond."""
        body = np.minimum(1.0, np.exp(log_ndtr(-z) - log_ndtr(-self.u)) * self.share)
        return np.where(z > self.u, _pareto_survival(z, self.u, self.xi, self.beta, self.share), body)

    def quantile(self, exceedance: Floats) -> Floats:
        """Q^-1(p Q(u) / share) down to the share of the tail, the tail's own quantile below it."""
        within = np.minimum(exceedance * np.exp(log_ndtr(-self.u)) / self.share, 1.0)
        tail = _pareto_quantile(np.minimum(exceedance, self.share), self.u, self.xi, self.beta, self.share)
        return np.where(exceedance < self.share, tail, -ndtri(within))


@dataclass(frozen=True)
class ScenarioSeverity:
    """The relationship's own scenario losses, interpolated, with a Pareto tail beyond the threshold.

    `points` ascending losses up to the threshold `u` and `levels` the share of scenarios above each.
    """

    points: Floats
    levels: Floats
    u: float
    xi: float
    beta: float
    share: float

    @classmethod
    def of(cls, losses: Floats, share: float, shape_max: float) -> "ScenarioSeverity":
        """From equally likely scenario losses (S,); the worst `share` of them is replaced by the fitted tail."""
        count = max(2, round(losses.size * share))
        worst = worst_losses(losses[None, :], count + 1)
        tail = fit_pareto(worst, losses.size, shape_max)
        body = np.sort(losses)[: losses.size - count]
        levels = 1.0 - (np.arange(body.size) + 1.0) / losses.size
        points = np.concatenate([body, [max(float(tail.u[0]), float(body[-1]))]])
        return cls(
            points=points,
            levels=np.concatenate([levels, [tail.share]]),
            u=float(points[-1]),
            xi=float(tail.xi[0]),
            beta=float(tail.beta[0]),
            share=tail.share,
        )

    @property
    def kink(self) -> float:
        """The threshold."""
        return self.u

    @cached_property
    def table(self) -> Floats:
        """(3, k) points, levels, and Int_z^inf P(Z > y) dy at each point, as the kernels read them."""
        excess = self.beta * self.share / (1.0 - self.xi)
        steps = np.diff(self.points) * (self.levels[1:] + self.levels[:-1]) / 2.0
        beyond = excess + np.append(np.cumsum(steps[::-1])[::-1], 0.0)
        return np.stack([self.points, self.levels, beyond])

    @cached_property
    def tail(self) -> Floats:
        """Threshold, shape, scale and share."""
        return np.array([self.u, self.xi, self.beta, self.share])

    def survival(self, z: Floats) -> Floats:
        """P(Z > z): the interpolated share of scenarios, then the tail; 1 below the smallest loss."""
        body = np.interp(z, self.points, self.levels, left=1.0)
        return np.where(z > self.u, _pareto_survival(z, self.u, self.xi, self.beta, self.share), body)

    def quantile(self, exceedance: Floats) -> Floats:
        """Between the scenario losses by their shares, the tail's own quantile beyond the threshold."""
        body = np.interp(exceedance, self.levels[::-1], self.points[::-1])
        tail = _pareto_quantile(np.minimum(exceedance, self.share), self.u, self.xi, self.beta, self.share)
        return np.where(exceedance < self.share, tail, body)


@dataclass(frozen=True)
class LossModel:
    """One relationship. `hazard_annual` default intensity; `rho` its loading on distress; `v` and `s0` the scale of the
    gap; `margin` held net of threshold and unpaid exposure; `cost` of liquidation; same unit for s0 Z, margin, cost."""

    hazard_annual: float
    rho: float
    v: float
    s0: float
    severity: Severity
    margin: float
    cost: float = 0.0

    def __post_init__(self) -> None:
        if not (self.hazard_annual >= 0.0 and 0.0 <= self.rho < 1.0 and self.v >= 0.0 and self.s0 > 0.0):
            raise ValueError("hazard and v must not be negative, rho in [0, 1), s0 positive")


def default_probability(model: LossModel, distress: Floats, years: float) -> Floats:
    """p(t; m), the probability of default within `years` given distress m (low m is bad)."""
    return chance_of_default(model.hazard_annual, model.rho, distress, years)


def chance_of_default(hazard_annual: float, rho: float, distress: Floats, years: float) -> Floats:
    """The same by what it depends on."""
    if hazard_annual == 0.0 or years <= 0.0:
        return np.zeros_like(distress)
    barrier = ndtri(-np.expm1(-hazard_annual * years))
    probability: Floats = ndtr((barrier - np.sqrt(rho) * distress) / np.sqrt(1.0 - rho))
    return probability


def gap_scale(model: LossModel, distress: Floats) -> Floats:
    """s(m): lognormal in distress, with mean s0."""
    scale: Floats = model.s0 * np.exp(-model.v * distress - 0.5 * model.v**2)
    return scale


def shortfall_survival(model: LossModel, x: Floats, years: float, nodes: int = NODES) -> Floats:
    """S(x, t) for every x (n,) >= 0: probability of a loss beyond margin larger than x within `years`."""
    level = np.atleast_1d(np.asarray(x, dtype=np.float64)) + model.margin - model.cost
    if isinstance(model.severity, ScenarioSeverity):
        return _compiled_survival(model, model.severity, level, years, nodes)
    return survival_by_numpy(model, level, years, nodes)


def survival_by_numpy(model: LossModel, level: Floats, years: float, nodes: int = NODES) -> Floats:
    """The same for any severity, by the gap `level` (n,) = x + margin - cost that leaves such a loss."""
    distress, weight = _distress_nodes(model, level, nodes)
    gap = level[:, None] / gap_scale(model, distress)
    density = np.exp(-0.5 * distress**2) / np.sqrt(2.0 * np.pi)
    integrand = default_probability(model, distress, years) * model.severity.survival(gap) * density
    survival: Floats = np.sum(weight * integrand, axis=1)
    return survival


def _compiled_survival(model: LossModel, severity: ScenarioSeverity, level: Floats, years: float, nodes: int) -> Floats:
    survival = np.empty(level.size)
    scenario_survival(
        survival,
        level,
        _panels(model, level),
        _rule(nodes),
        severity.table[:2],
        severity.tail,
        defaulting(model.hazard_annual, model.rho, years),
        model.v,
        model.s0,
    )
    return survival


def expected_excess(model: LossModel, x: Floats, years: Floats, nodes: int = NODES) -> Floats:
    """(n, T) expected loss beyond margin above each x (n,) >= 0 by each horizon: Int_x^inf S(y, t) dy, in the model's
    unit, for a severity that is interpolated between scenarios: the integral over losses is in closed form."""
    severity = model.severity
    if not isinstance(severity, ScenarioSeverity):
        raise TypeError("the mean beyond a point is known in closed form for scenario losses only")
    level = np.asarray(x, dtype=np.float64) + model.margin - model.cost
    excess = np.empty((level.size, len(years)))
    scenario_excess(
        excess,
        level,
        _panels(model, level),
        _rule(nodes),
        severity.table,
        severity.tail,
        _by_horizon(model.hazard_annual, model.rho, tuple(float(horizon) for horizon in years)),
        model.v,
        model.s0,
    )
    return excess


def mean_exceedance(model: LossModel, edges: Floats, distress: Floats) -> Floats:
    """(M, J) mean of P(loss beyond margin > x, given a default and distress m) over x between neighbours of `edges`
    (J + 1,), ascending, at each m of `distress` (M,); of the same severity."""
    severity = model.severity
    if not isinstance(severity, ScenarioSeverity):
        raise TypeError("the mean between two points is known in closed form for scenario losses only")
    means = np.empty((distress.size, edges.size - 1))
    level = np.asarray(edges, dtype=np.float64) + model.margin - model.cost
    scenario_cells(means, level, gap_scale(model, distress), severity.table, severity.tail)
    return means


@lru_cache(maxsize=64)  # a line's intensity is one of few, and a horizon too
def defaulting(hazard_annual: float, rho: float, years: float) -> Floats:
    """(rows, 2) p(t; m) phi(m) and its slope, at even m on [-limit, limit]."""
    m = np.linspace(-DISTRESS_LIMIT, DISTRESS_LIMIT, TABLE_ROWS)
    density = np.exp(-0.5 * m**2) / np.sqrt(2.0 * np.pi)
    if hazard_annual == 0.0 or years <= 0.0:
        return np.zeros((m.size, 2))
    z = (ndtri(-np.expm1(-hazard_annual * years)) - np.sqrt(rho) * m) / np.sqrt(1.0 - rho)
    falling = np.sqrt(rho / (1.0 - rho)) * np.exp(-0.5 * z**2) / np.sqrt(2.0 * np.pi)
    slope = -(falling + m * ndtr(z)) * density * (m[1] - m[0])
    return np.stack([ndtr(z) * density, slope], axis=1)


@lru_cache(maxsize=64)  # and so are the payment dates of the notes that are marked together
def _by_horizon(hazard_annual: float, rho: float, years: tuple[float, ...]) -> Floats:
    """(T, rows, 2) `defaulting` by each horizon."""
    return np.stack([defaulting(hazard_annual, rho, horizon) for horizon in years])


@cache
def _rule(nodes: int) -> Floats:
    """(2, nodes) points and weights of `gauss_legendre`, as the kernels read them."""
    return np.stack(gauss_legendre(nodes))


def _panels(model: LossModel, level: Floats) -> Floats:
    """(n, 5) edges of four panels of [-limit, limit], each row split at the m where its gap meets the kink."""
    kink = np.zeros_like(level)
    if model.v > 0.0 and model.severity.kink > 0.0:
        ratio = np.maximum(level, 1e-300) / (model.s0 * model.severity.kink)
        kink = -(np.log(ratio) + 0.5 * model.v**2) / model.v
    split = np.clip(kink, -DISTRESS_LIMIT, DISTRESS_LIMIT)
    lowest, highest = np.full_like(split, -DISTRESS_LIMIT), np.full_like(split, DISTRESS_LIMIT)
    return np.stack([lowest, (lowest + split) / 2.0, split, (split + highest) / 2.0, highest], axis=1)


def _distress_nodes(model: LossModel, level: Floats, nodes: int) -> tuple[Floats, Floats]:
    """(n, 4 nodes) points and weights in the panels of each row."""
    edges = _panels(model, level)
    point, weight = gauss_legendre(nodes)
    half = (edges[:, 1:] - edges[:, :-1]) / 2.0
    middle = (edges[:, 1:] + edges[:, :-1]) / 2.0
    rows = level.size
    points: Floats = (middle[:, :, None] + half[:, :, None] * point).reshape(rows, -1)
    weights: Floats = (half[:, :, None] * weight).reshape(rows, -1)
    return points, weights


def _pareto_survival(z: Floats, u: float, xi: float, beta: float, share: float) -> Floats:
    excess = np.maximum(z - u, 0.0)
    if beta <= 0.0:
        return np.where(excess > 0.0, 0.0, share)
    if xi < 1e-9:
        exponential: Floats = share * np.exp(-excess / beta)
        return exponential
    power: Floats = share * (1.0 + xi * excess / beta) ** (-1.0 / xi)
    return power


def _pareto_quantile(exceedance: Floats, u: float, xi: float, beta: float, share: float) -> Floats:
    logarithm = -np.log(exceedance / share)
    quantile: Floats = u + beta * (np.expm1(xi * logarithm) / xi if xi >= 1e-9 else logarithm)
    return quantile
