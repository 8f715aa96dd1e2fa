"""How coins fall together beyond their correlation: the t-copula, and the distribution of each coin's surprise.

Rank correlation gives the matrix (sin(pi tau / 2)), pseudo-likelihood the degrees of freedom (Demarta and McNeil 2005).
Standardised returns are semi-parametric: empirical between their 5% and 95% quantiles, generalised Pareto beyond
(McNeil and Frey 2000) by maximum likelihood, coin by coin and side by side. A shape is drawn towards that of all coins
together; a coin of some months has theirs altogether.

scipy's statistics take half a second to import and are needed only where something is fitted.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

from risk.market.pareto import likeliest_scale, likeliest_tail
from risk.market.volatility import nearest_correlation

Floats = NDArray[np.float64]

TAIL_SHARE = 0.05
SHAPE_MAX = 0.5  # beyond it the variance is infinite
BODY_POINTS = np.linspace(TAIL_SHARE, 1.0 - TAIL_SHARE, 181)
JOINT_DAYS_MIN = 250  # below it the degrees of freedom are noise
SIDES = ((-1.0, 0), (1.0, -1))  # sign of the surprise, and where the body ends
POOL_WEIGHT = 200.0  # exceedances that the pooled shape counts for: a coin has some sixty of its own on a side
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
    """Of the standardised returns of C coins: `body` (C, 181) quantiles from 5% to 95%; Pareto `lower` and `upper`
    (C, 2) of (xi, beta) beyond them; `dof` of the copula; `correlation` (C, C) of it, NaN between coins that share too
    few days."""

    body: Floats
    lower: Floats
    upper: Floats
    dof: float
    correlation: Floats

    def of_coins(self, coins: NDArray[np.intp]) -> "SurpriseModel":
        """The same of these coins, by column."""
        return replace(
            self,
            body=self.body[coins],
            lower=self.lower[coins],
            upper=self.upper[coins],
            correlation=self.correlation[np.ix_(coins, coins)],
        )

    def quantile(self, probability: Floats) -> Floats:
        """Standardised return of each probability (N, C) in (0, 1); continuous and increasing."""
        columns = [self._quantile(coin, probability[:, coin]) for coin in range(self.body.shape[0])]
        return np.column_stack(columns)

    def _quantile(self, coin: int, probability: Floats) -> Floats:
        body = self.body[coin]
        result: Floats = np.interp(probability, BODY_POINTS, body)
        sides = ((self.lower[coin], -1.0, probability, -body[0]), (self.upper[coin], 1.0, 1.0 - probability, body[-1]))
        for (xi, beta), sign, beyond, threshold in sides:
            hit = beyond < TAIL_SHARE
            shape = max(xi, 1e-9)
            excess = np.expm1(-shape * np.log(beyond[hit] / TAIL_SHARE)) * beta / shape
            result[hit] = sign * (threshold + excess)
        return result

    def draw(self, today: Floats, count: int, random: np.random.Generator) -> Floats:
        """(count, C) joint standardised returns; `today` (C, C) is the root of today's correlations, which stand in
        where the model has none."""
        known = np.where(np.isnan(self.correlation), today @ today.T, self.correlation)
        root = np.linalg.cholesky(nearest_correlation(known))
        normal = random.standard_normal((count, today.shape[0])) @ root.T
        mixing = np.sqrt(random.chisquare(self.dof, size=(count, 1)) / self.dof)
        return self.quantile(special.stdtr(self.dof, normal / mixing))


def fit_surprises(standardised: Floats) -> SurpriseModel:
    """The model of `standardised` (T, C), NaN where a coin is not recorded.

    Coins recorded throughout are pooled. A coin of enough days has a body and thresholds of its own, and tails whose
    shape is shrunk to the pool's; another takes the pool's. Few joint days take the usual dof.
    """
    days = np.isfinite(standardised).sum(axis=0)
    throughout = standardised[:, days >= days.max()]
    pooled = throughout[np.isfinite(throughout)]
    joint = throughout[np.isfinite(throughout).all(axis=1)]
    dof = USUAL_DOF
    if joint.shape[0] >= JOINT_DAYS_MIN and joint.shape[1] > 1:
        dof = degrees_of_freedom(joint, rank_correlation(joint))
    body = np.tile(np.quantile(pooled, BODY_POINTS), (days.size, 1))
    pool = {sign: _pareto(sign * pooled, sign * body[0, edge]) for sign, edge in SIDES}
    tails = {sign: np.tile(pool[sign], (days.size, 1)) for sign, _ in SIDES}
    for coin in np.flatnonzero(days >= JOINT_DAYS_MIN):
        own = standardised[np.isfinite(standardised[:, coin]), coin]
        body[coin] = np.quantile(own, BODY_POINTS)
        for sign, edge in SIDES:
            tails[sign][coin] = _pareto(sign * own, sign * body[coin, edge], pool[sign][0])
    return SurpriseModel(body, tails[-1.0], tails[1.0], dof, _correlation(standardised, days))


def _correlation(standardised: Floats, days: NDArray[np.int64]) -> Floats:
    """(C, C) of the t-copula, NaN where two coins share fewer than a year's days."""
    shared = np.isfinite(standardised).astype(np.int64)
    enough = shared.T @ shared >= JOINT_DAYS_MIN
    known = np.flatnonzero(np.diag(enough))
    result = np.full((days.size, days.size), np.nan)
    result[np.ix_(known, known)] = rank_correlation(standardised[:, known])
    result[~enough] = np.nan
    np.fill_diagonal(result, 1.0)
    return result


def _pareto(values: Floats, threshold: float, pooled: float | None = None) -> tuple[float, float]:
    """(xi, beta) beyond `threshold`: the likeliest xi, shrunk to the `pooled` one and held in [0, 0.5], and the beta
    that is likeliest with it."""
    excess = values[values > threshold] - threshold
    xi, _ = likeliest_tail(excess)
    if pooled is not None:
        xi = (excess.size * xi + POOL_WEIGHT * pooled) / (excess.size + POOL_WEIGHT)
    xi = min(max(xi, 0.0), SHAPE_MAX)
    return xi, likeliest_scale(excess, xi)
