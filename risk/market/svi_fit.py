"""Fits one raw SVI smile to the quotes of one expiry, freely or held free of arbitrage.

Least squares of (fitted - mid volatility) / half the spread in volatility: the error in price over half the spread in
price, since vega is in both, so every quote counts as much as its vega and its spread allow. Arbitrage is held off by
penalties on a grid, raised until the check of `arbitrage` passes; a fit that cannot pass is the caller's to refuse.
Parameters are scaled by the at-the-money deviation, so that one set of starts and bounds serves an hour and a year.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import inf, isclose

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from risk.market.arbitrage import BETWEEN, GRID, between, butterfly, calendar, mixtures
from risk.market.chain import SmileQuote
from risk.market.svi import WING_SLOPE_MAX, Svi, density
from risk.market.svi_slopes import density_slopes, jet_slopes

Floats = NDArray[np.float64]

QUOTES_MIN = 7  # five parameters, and something left to say whether they are any good
HALF_SPREAD_FLOOR = 0.001  # a tenth of a volatility point: a locked quote is not known better than that
STARTS = ((-0.4, 0.5), (0.3, 2.0), (-0.4, 2.0), (0.3, 0.5))  # tilt and roundness; opposite corners first
SAME_WORTH = 1e-4  # two fits nearer than this, as a share or in half-spreads, are one valley reached twice
LOWER = (1e-4, 1e-3, -0.995, -10.0, 0.02)
UPPER = (
    2.0,
    4.0,
    0.995,
    10.0,
    8.0,
)  # beyond a roundness of 8 deviations a smile is a parabola, and its wings arbitrary
PENALTY_GRID: Floats = GRID[::8]
PENALTIES = (1e2, 1e3, 1e4, 1e5)
HEADROOM = 1e-3  # penalties are felt this far before a condition fails, so that the gaps of the grid hold too
EVALUATIONS_MAX = 300  # a smile takes 10 to 60; what still moves after that is judged as it stands
OUTLIER_HALF_SPREADS, OUTLIER_VOL = 10.0, 0.05
SIGNIFICANT = 10  # digits that are kept: what is checked, stored and priced is one and the same number


@dataclass(frozen=True)
class Fit:
    """A smile and its cost: half the sum of squared errors in half-spreads, penalties not counted."""

    svi: Svi
    cost: float
    penalty: float


def fit_free(quotes: Sequence[SmileQuote], years: float) -> Fit:
    """The best smile by the quotes alone, whatever it implies. Needs `QUOTES_MIN` quotes."""
    problem = _Problem(quotes, years, None)
    found = _best((problem.solve(problem.start(*start)) for start in STARTS), lambda fit: fit.cost)
    assert found is not None
    return found


def outliers(quotes: Sequence[SmileQuote], years: float) -> list[SmileQuote]:
    """Quotes that no smile through the others explains: more than ten half-spreads and five volatility points off the
    fit that minds large errors least (soft L1)."""
    problem = _Problem(quotes, years, None)
    fits = (problem.solve(problem.start(*start), loss="soft_l1") for start in STARTS)
    found = _best(fits, lambda fit: float(np.abs(problem.errors(fit.svi)).sum()))
    assert found is not None
    errors = np.abs(problem.errors(found.svi))
    far = (errors > OUTLIER_HALF_SPREADS) & (errors * problem.half > OUTLIER_VOL)
    return [quote for quote, is_far in zip(quotes, far, strict=True) if is_far]


def fit_bound(quotes: Sequence[SmileQuote], years: float, after: Svi | None, free: Fit) -> Fit | None:
    """The smile nearest to the quotes that has no butterfly and lies below `after`, the smile of the expiry after;
    None where no penalty holds it so. Several starts: penalties make valleys that the free fit may lie across."""
    problem = _Problem(quotes, years, after)
    starts = [problem.coordinates(free.svi), *(problem.start(*start) for start in STARTS)]
    return _best((_hold(problem, start, after) for start in starts), lambda fit: fit.cost)


def _best(fits: Iterable[Fit | None], worth: Callable[[Fit], float]) -> Fit | None:
    """The fit of least `worth`, made one by one until two agree on the least: then another start led to the same
    valley. Ordinary quotes have one; where starts lead to several, all are tried."""
    best, least = None, inf
    for fit in fits:
        if fit is None:
            continue
        reached = worth(fit)
        agreed = best is not None and isclose(reached, least, rel_tol=SAME_WORTH, abs_tol=SAME_WORTH)
        if reached < least:
            best, least = fit, reached
        if agreed:
            break
    return best


def _hold(problem: "_Problem", start: Floats, after: Svi | None) -> Fit | None:
    """From one start, penalties raised until the exact check passes."""
    for penalty in PENALTIES:
        fit = problem.solve(start, penalty=penalty)
        if is_free(fit.svi, after):
            return fit
        start = problem.coordinates(fit.svi)
    return None


def is_free(svi: Svi, after: Svi | None) -> bool:
    """Whether a smile has no butterfly, no calendar against the one after, and none arises between the two."""
    if not butterfly(svi).holds:
        return False
    return after is None or (calendar(svi, after).holds and between(svi, after).holds)


class _Problem:
    """Residuals of one expiry in scaled coordinates (least w / theta, b s / theta, rho, m / s, sigma / s): theta is the
    at-the-money total variance and s its root."""

    def __init__(self, quotes: Sequence[SmileQuote], years: float, after: Svi | None) -> None:
        self.k = np.array([quote.k for quote in quotes])
        self.root_years = np.sqrt(years)
        self.mid = np.array([quote.mid_vol for quote in quotes])
        half = np.array([(quote.ask_vol - quote.bid_vol) / 2.0 for quote in quotes])
        self.half = np.maximum(half, HALF_SPREAD_FLOOR)
        self.theta = float(self.mid[np.argmin(np.abs(self.k))] ** 2 * years)
        self.after = None if after is None else after.jet(PENALTY_GRID)
        self.slopes = None if after is None else [after.b * (1.0 + sign * after.rho) for sign in (-1.0, 1.0)]

    def start(self, rho: float, roundness: float) -> Floats:
        return np.array([0.5, 0.5 / roundness, rho, 0.0, roundness])

    def coordinates(self, svi: Svi) -> Floats:
        s = np.sqrt(self.theta)
        x = np.array([svi.least / self.theta, svi.b * s / self.theta, svi.rho, svi.m / s, svi.sigma / s])
        inside: Floats = np.clip(x, np.array(LOWER), np.array(UPPER))
        return inside

    def svi(self, x: Floats) -> Svi:
        s = float(np.sqrt(self.theta))
        b, rho, m, sigma = _kept(x[1] * s), _kept(x[2]), _kept(x[3] * s), _kept(x[4] * s)
        return Svi(_kept(x[0] * self.theta - b * sigma * (1.0 - rho**2) ** 0.5), b, rho, m, sigma)

    def errors(self, svi: Svi) -> Floats:
        """(Q,) in half-spreads."""
        vol = np.sqrt(np.maximum(svi.total_variance(self.k), 0.0)) / self.root_years
        return np.asarray((vol - self.mid) / self.half)

    def solve(self, start: Floats, penalty: float = 0.0, loss: str = "linear") -> Fit:
        found = least_squares(
            self.residuals,
            start,
            jac=self.slopes_of_residuals,
            args=(penalty,),
            bounds=(LOWER, UPPER),
            loss=loss,
            x_scale=(1.0, 1.0, 0.5, 1.0, 1.0),
            max_nfev=EVALUATIONS_MAX,
        )
        svi = self.svi(found.x)
        return Fit(svi, float(np.sum(self.errors(svi) ** 2) / 2.0), penalty)

    def residuals(self, x: Floats, penalty: float) -> Floats:
        """Errors in half-spreads, then what is violated times `penalty`."""
        svi = _raw(x, self.theta)
        return np.concatenate([self.errors(svi), penalty * self._violations(svi)]) if penalty else self.errors(svi)

    def slopes_of_residuals(self, x: Floats, penalty: float) -> Floats:
        """(residuals, 5) their derivatives by the scaled coordinates."""
        svi = _raw(x, self.theta)
        by_w = 0.5 / np.sqrt(svi.total_variance(self.k)) / self.root_years / self.half
        parts = [by_w * jet_slopes(svi, self.k)[0]]
        if penalty:
            parts.append(penalty * self._slopes_of_violations(svi))
        s = float(np.sqrt(self.theta))
        found: Floats = np.concatenate(parts, axis=1).T * np.array([self.theta, s, 1.0, s, s])
        return found

    def _slopes_of_violations(self, svi: Svi) -> Floats:
        """(5, violations) by (least, b, rho, m, sigma), in the order of `_violations`."""
        jet, slopes = svi.jet(PENALTY_GRID), jet_slopes(svi, PENALTY_GRID)
        rising = [density_slopes(PENALTY_GRID, jet, slopes), _slopes_of_wing(svi, float(np.sign(svi.rho)))]
        if self.after is not None:
            later = self.after[0]
            rising.append(-2.0 * later / (later + jet[0]) ** 2 * slopes[0])
            rising += [_slopes_of_wing(svi, sign) for sign in (-1.0, 1.0)]
            for share, mixed in zip(BETWEEN, mixtures(jet, self.after), strict=True):
                by_w, by_slope, by_bend = ((1.0 - share) * part for part in slopes)
                rising.append(density_slopes(PENALTY_GRID, mixed, (by_w, by_slope, by_bend)))
        return np.where(self._violations(svi) > 0.0, -np.concatenate(rising, axis=1), 0.0)

    def _violations(self, svi: Svi) -> Floats:
        """By how much g, the wings and the calendar fall short of a little headroom; 0 where they do not."""
        short = [_short(svi.density(PENALTY_GRID)), _short(np.array([WING_SLOPE_MAX - svi.wing_slope]))]
        if self.after is not None and self.slopes is not None:
            jet = svi.jet(PENALTY_GRID)
            short.append(_short((self.after[0] - jet[0]) / (self.after[0] + jet[0])))
            wings = [late - svi.b * (1.0 + sign * svi.rho) for late, sign in zip(self.slopes, (-1.0, 1.0), strict=True)]
            short.append(_short(np.array(wings)))
            short += [_short(density(PENALTY_GRID, *mixed)) for mixed in mixtures(jet, self.after)]
        return np.concatenate(short)


def _short(values: Floats) -> Floats:
    return np.maximum(HEADROOM - values, 0.0)


def _slopes_of_wing(svi: Svi, sign: float) -> Floats:
    """(5, 1) derivatives of what a bound on the right (+1) or left (-1) wing leaves: of -b (1 + sign rho)."""
    return np.array([[0.0], [-(1.0 + sign * svi.rho)], [-sign * svi.b], [0.0], [0.0]])


def _raw(x: Floats, theta: float) -> Svi:
    """Unrounded, so that derivatives by differences see every step."""
    s = float(np.sqrt(theta))
    b, rho, sigma = float(x[1]) * s, float(x[2]), float(x[4]) * s
    return Svi(float(x[0]) * theta - b * sigma * (1.0 - rho**2) ** 0.5, b, rho, float(x[3]) * s, sigma)


def _kept(value: float) -> float:
    return float(f"{float(value):.{SIGNIFICANT}g}")
