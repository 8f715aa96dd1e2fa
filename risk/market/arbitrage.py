"""Whether a surface of volatilities could be traded against: butterflies at each expiry, calendars between them.

No butterfly arbitrage: the density factor g(k) of each smile is at least 0, and neither wing is steeper than 2. No
calendar arbitrage: total variance at each log-moneyness does not fall from one expiry to the next, and neither do the
slopes of the wings, so that it stays so beyond the grid (Gatheral & Jacquier 2014, lemma 2.1 and definition 2.2).
Linear interpolation in total variance keeps calendars; it need not keep butterflies, so times between are checked too.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from intermediary.errors import Refusal
from risk.market.surface import SECONDS_A_YEAR, VolSurface
from risk.market.svi import WING_SLOPE_MAX, Svi, density

Floats = NDArray[np.float64]
Jet = tuple[Floats, Floats, Floats]  # total variance, its first and second derivative, one value a grid point

# Log-moneyness from -3 to 3 (strikes from a twentieth to twenty times the forward), dense around the forward.
GRID: Floats = 0.02 * np.sinh(np.linspace(-5.704, 5.704, 2001))
BETWEEN = (0.25, 0.5, 0.75)  # shares of the way from one expiry to the next that are looked at
ROUNDING = 1e-12  # of total variance and of g: two correct programs differ by this much


@dataclass(frozen=True)
class Worst:
    """The least value of a condition that must be at least 0, and the log-moneyness where it is taken."""

    value: float
    k: float

    @property
    def holds(self) -> bool:
        return self.value >= -ROUNDING


def butterfly(svi: Svi, grid: Floats = GRID) -> Worst:
    """The least g on the grid; of a wing that is too steep, 2 less its slope."""
    if svi.wing_slope > WING_SLOPE_MAX:
        return Worst(WING_SLOPE_MAX - svi.wing_slope, float(np.sign(svi.rho) * grid[-1]))
    return _least(svi.density(grid), grid)


def calendar(early: Svi, late: Svi, grid: Floats = GRID) -> Worst:
    """The least gain of total variance from `early` to `late`, as a share of the later; at the grid's ends that of the
    wing's slope, where that is less."""
    later = late.total_variance(grid)
    gain = (later - early.total_variance(grid)) / np.maximum(later, np.finfo(float).tiny)
    for end, sign in ((0, -1.0), (-1, 1.0)):
        slopes = [svi.b * (1.0 + sign * svi.rho) for svi in (early, late)]
        gain[end] = min(gain[end], slopes[1] - slopes[0])
    return _least(gain, grid)


def between(early: Svi, late: Svi, grid: Floats = GRID) -> Worst:
    """The least g of the smiles interpolated between two expiries."""
    mixed = (density(grid, *jet) for jet in mixtures(early.jet(grid), late.jet(grid)))
    return min((_least(values, grid) for values in mixed), key=lambda worst: worst.value)


def mixtures(early: Jet, late: Jet) -> list[Jet]:
    """Total variance and its derivatives at the times between two expiries that are looked at."""
    found = []
    for share in BETWEEN:
        w, slope, bend = ((1.0 - share) * first + share * second for first, second in zip(early, late, strict=True))
        found.append((w, slope, bend))
    return found


def free_until_years(surface: VolSurface, grid: Floats = GRID) -> float:
    """To what time the smile of the last expiry, total variance grown in proportion, has no butterfly.

    g of c x w is A + B c - D c^2, so the c where it turns negative is a root at each k; the least is taken.
    """
    last = surface.smiles[-1]
    w, slope, bend = last.svi.jet(grid)
    constant = (1.0 - grid * slope / (2.0 * w)) ** 2
    linear = bend / 2.0 - slope**2 / (4.0 * w)
    square = np.maximum(slope**2 / 16.0, np.finfo(float).tiny)
    roots = (linear + np.sqrt(linear**2 + 4.0 * square * constant)) / (2.0 * square)
    years = (last.expiry - surface.as_of).total_seconds() / SECONDS_A_YEAR
    return float(years * roots.min())


def require_free(surface: VolSurface) -> None:
    """Refuses a surface that could be traded against, with where and by how much."""
    for smile in surface.smiles:
        _require("surface.butterfly_arbitrage", surface, smile.expiry.isoformat(), butterfly(smile.svi))
    for early, late in pairwise(surface.smiles):
        where = f"{early.expiry.isoformat()} to {late.expiry.isoformat()}"
        _require("surface.calendar_arbitrage", surface, where, calendar(early.svi, late.svi))
        _require("surface.butterfly_between", surface, where, between(early.svi, late.svi))


def _require(code: str, surface: VolSurface, where: str, worst: Worst) -> None:
    if not worst.holds:
        raise Refusal(
            code,
            f"{surface.underlying} {where}: {worst.value:.3g} at log-moneyness {worst.k:.3f}, must be at least 0",
            underlying=surface.underlying,
            where=where,
            value=worst.value,
            log_moneyness=worst.k,
        )


def _least(values: Floats, grid: Floats) -> Worst:
    index = int(np.argmin(values))
    return Worst(float(values[index]), float(grid[index]))
