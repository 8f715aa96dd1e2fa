"""One smile in the raw SVI form, and what it must obey. Works on floats and on numpy arrays alike; imports neither.

Total variance w (volatility squared times years) as a function of log-moneyness k = ln(K/F):

    w(k) = a + b (rho (k - m) + sqrt((k - m)^2 + sigma^2)).

Both wings are straight lines of slope b (1 + rho) and -b (1 - rho): so the smile continues beyond the last quote.
Source: Gatheral & Jacquier, "Arbitrage-free SVI volatility surfaces", Quantitative Finance 14 (2014); the density
condition g is theirs (equation 2.1), the bound on the slopes is Lee's (2004). Fitting is in `svi_fit`, checking in
`arbitrage`.
"""

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, TypeVar

from intermediary.errors import BadInput

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T", float, "NDArray[np.float64]")

WING_SLOPE_MAX = 2.0  # Lee: a steeper wing prices options below nothing far out


@dataclass(frozen=True)
class Svi:
    """Raw parameters: `a` level, `b` >= 0 slope of the wings, -1 < `rho` < 1 tilt, `m` shift, `sigma` > 0 roundness."""

    a: float
    b: float
    rho: float
    m: float
    sigma: float

    def __post_init__(self) -> None:
        values = (self.a, self.b, self.rho, self.m, self.sigma)
        if not all(isfinite(value) for value in values) or self.b < 0 or not -1 < self.rho < 1 or self.sigma <= 0:
            raise BadInput("surface.no_smile", f"these are no SVI parameters: {values}", parameters=values)
        if self.least < 0:
            raise BadInput("surface.negative_variance", f"total variance falls to {self.least:.3g}", least=self.least)

    @property
    def least(self) -> float:
        """The smallest total variance of the smile, at k = m - rho sigma / sqrt(1 - rho^2)."""
        return self.a + self.b * self.sigma * float((1.0 - self.rho**2) ** 0.5)

    @property
    def wing_slope(self) -> float:
        """The steeper of both wings, total variance per unit of log-moneyness."""
        return self.b * (1.0 + abs(self.rho))

    def total_variance(self, k: T) -> T:
        """w(k) >= 0, any shape."""
        x = k - self.m
        root: T = (x * x + self.sigma**2) ** 0.5
        return self.a + self.b * (self.rho * x + root)

    def jet(self, k: T) -> tuple[T, T, T]:
        """w, its first and its second derivative at `k`."""
        x = k - self.m
        root: T = (x * x + self.sigma**2) ** 0.5
        slope = self.b * (self.rho + x / root)
        bend = self.b * self.sigma**2 / root**3
        return self.a + self.b * (self.rho * x + root), slope, bend

    def density(self, k: T, share: float = 1.0) -> T:
        """g(k) of the smile `share` x w: at least 0 where no butterfly costs less than nothing. w(k) must not be 0."""
        w, slope, bend = self.jet(k)
        return density(k, share * w, share * slope, share * bend)


def density(k: T, w: T, slope: T, bend: T) -> T:
    """g = (1 - k w'/(2w))^2 - w'^2/4 (1/w + 1/4) + w''/2 of any smile, from w and its two derivatives at k."""
    body = 1.0 - k * slope / (2.0 * w)
    return body * body - slope * slope / 4.0 * (1.0 / w + 0.25) + bend / 2.0
