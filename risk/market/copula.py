"""How coins fall together beyond their correlation: the t-copula, and the pooled distribution of one coin's surprise.

Rank correlation gives the matrix (sin(pi tau / 2)), pseudo-likelihood the degrees of freedom (Demarta and McNeil 2005).
Standardised returns of all coins share one semi-parametric distribution: empirical between its 5% and 95% quantiles,
generalised Pareto beyond (McNeil and Frey 2000). Pooling is what lets a coin of three months have a tail at all.

scipy's statistics take half a second to import and are needed only where something is fitted.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from risk.market.volatility import nearest_correlation

Floats = NDArray[np.float64]

TAIL_SHARE = 0.05
SHAPE_MAX = 0.5  # beyond it the variance is infinite
BODY_POINTS = np.linspace(TAIL_SHARE, 1.0 - TAIL_SHARE, 181)
JOINT_DAYS_MIN = 250  # below it the degrees of freedom are noise
USUAL_DOF = 4.0  # of daily returns of coins, where there are too few days to tell


def rank_correlation(values: Floats) -> Floats:
    """(C, C) sin(pi tau / 2) of Kendall's tau over the rows that each two columns of `values` (T, C) share, made
    positive definite."""
    from scipy import stats

    size = values.shape[1]
    matrix = np.eye(size)
    for row in range(size):
        for column in range(row):
            both = ~np.isnan(values[:, row]) & ~np.isnan(values[:, column])
            tau = stats.kendalltau(values[both, row], values[both, column]).statistic
            matrix[row, column] = matrix[column, row] = np.sin(np.pi * tau / 2.0)
    return nearest_correlation(matrix)


def degrees_of_freedom(joint: Floats, correlation: Floats) -> float:
    """Of the t-copula of `joint` (T, C), rows without gaps, given its correlation; in [2.1, 30]."""
    from scipy import optimize, stats

    uniform = stats.rankdata(joint, axis=0) / (joint.shape[0] + 1.0)
    found = optimize.minimize_scalar(
        lambda dof: -_likelihood(uniform, correlation, dof), bounds=(2.1, 30.0), method="bounded"
    )
    return float(found.x)


def _likelihood(uniform: Floats, matrix: Floats, dof: float) -> float:
    """Log density of the t-copula at `uniform` (T, C), summed."""
    size = uniform.shape[1]
    x = special.stdtrit(dof, uniform)
    quadratic = np.einsum("ti,ij,tj->t", x, np.linalg.inv(matrix), x)
    constant = (
        special.gammaln((dof + size) / 2.0)
        + (size - 1) * special.gammaln(dof / 2.0)
        - size * special.gammaln((dof + 1.0) / 2.0)
        - 0.5 * np.linalg.slogdet(matrix)[1]
    )
    joint = -(dof + size) / 2.0 * np.log1p(quadratic / dof)
    single = (dof + 1.0) / 2.0 * np.log1p(np.square(x) / dof)
    return float(np.sum(constant + joint + single.sum(axis=1)))


@dataclass(frozen=True)
class SurpriseModel:
    """Of standardised returns: `body` (181,) quantiles from 5% to 95%; Pareto (xi, beta) below and above; `dof` of the
    copula."""

    body: Floats
    lower: tuple[float, float]
    upper: tuple[float, float]
    dof: float

    def quantile(self, probability: Floats) -> Floats:
        """Standardised return of each probability in (0, 1); continuous and increasing."""
        result: Floats = np.interp(probability, BODY_POINTS, self.body)
        sides = ((self.lower, -1.0, probability, -self.body[0]), (self.upper, 1.0, 1.0 - probability, self.body[-1]))
        for (xi, beta), sign, beyond, threshold in sides:
            hit = beyond < TAIL_SHARE
            shape = max(xi, 1e-9)
            excess = np.expm1(-shape * np.log(beyond[hit] / TAIL_SHARE)) * beta / shape
            result[hit] = sign * (threshold + excess)
        return result

    def draw(self, correlation_root: Floats, count: int, random: np.random.Generator) -> Floats:
        """(count, C) joint standardised returns; `correlation_root` (C, C) is the Cholesky root of today's matrix."""
        normal = random.standard_normal((count, correlation_root.shape[0])) @ correlation_root.T
        mixing = np.sqrt(random.chisquare(self.dof, size=(count, 1)) / self.dof)
        return self.quantile(special.stdtr(self.dof, normal / mixing))


def fit_surprises(standardised: Floats) -> SurpriseModel:
    """The model of `standardised` (T, C), NaN where a coin is not recorded. Few joint days take the usual dof."""
    values = standardised[np.isfinite(standardised)]
    body = np.quantile(values, BODY_POINTS)
    joint = standardised[np.isfinite(standardised).all(axis=1)]
    dof = USUAL_DOF
    if joint.shape[0] >= JOINT_DAYS_MIN and joint.shape[1] > 1:
        dof = degrees_of_freedom(joint, rank_correlation(joint))
    return SurpriseModel(body, _pareto(-values, -body[0]), _pareto(values, body[-1]), dof)


def _pareto(values: Floats, threshold: float) -> tuple[float, float]:
    """(xi, beta) beyond `threshold` by probability-weighted moments (Hosking and Wallis 1987), xi held in [0, 0.5]."""
    excess = np.sort(values[values > threshold]) - threshold
    count = excess.size
    mean = float(excess.mean())
    weighted = float((excess * (1.0 - (np.arange(1, count + 1) - 0.35) / count)).mean())
    spread = mean - 2.0 * weighted
    xi = min(max(2.0 - mean / spread if spread > 0.0 else 0.0, 0.0), SHAPE_MAX)
    return xi, mean * (1.0 - xi)
