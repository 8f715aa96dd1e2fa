"""What a class of notes goes through when a relationship behind it defaults: extension, reserve, write-up, coupon.

Expected loss needs no path and is computed exactly elsewhere. These figures do: whether the loss is known by the
scheduled maturity, how much principal is kept back meanwhile, what recoveries give back and when, and how long
principal earns its coupon. They are simulated with `importance`, each beside its standard error.

One path of one slice, years from the valuation: default at tau inside the risk period; its net loss N is determined at
tau + D, D uniform over the longest time that the terms allow. Until then the loss is estimated at N (1 + e), e uniform
within the error. What N takes is written down at determination. If that comes after the scheduled maturity, as much is
reserved as the buffered estimate would take, by the buffer of the event's age; the rest redeems on schedule, and a
buffer that falls releases more. A write-down finds no more than is left there. A share of N, uniform around its mean,
is recovered a while after determination, exponential, and lowers the loss; what comes after the long stop is lost. The
final maturity ends everything that is still open.

How long recoveries take and how large they are, and how wrong estimates are, is `Resolution`: stated assumptions, for
no public data says it of this business. Slices that are in default already are no part of this: what happens to them
is a fact that servicing knows. Pure numpy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from bonds.loss.importance import DRAWS, CoveredLayer, Estimate, draw_distress, force_default, theta_for

Floats = NDArray[np.float64]

EXTENSION_STEPS = 26  # moments of an extension at which it is looked at: of half a year, every week


@dataclass(frozen=True)
class PathTerms:
    """Of a series, in years from the valuation: end of the risk period and scheduled maturity (one day), hard stop,
    longest time to determine a loss, last recovery that still counts. `buffers`: (age of the event below which it
    holds, factor on an estimated loss), ages rising, the last without end."""

    scheduled: float
    final: float
    determination: float
    long_stop: float = inf
    buffers: tuple[tuple[float, float], ...] = ((0.25, 1.5), (0.5, 1.25), (inf, 1.0))

    def __post_init__(self) -> None:
        if not (0.0 < self.scheduled <= self.final <= self.long_stop and self.determination > 0.0):
            raise ValueError(
                f"a series matures, extends at most to its final date, and recovers at most longer: {self}"
            )
        ages = [age for age, _ in self.buffers]
        if ages != sorted(set(ages)) or ages[-1] != inf or any(factor < 1.0 for _, factor in self.buffers):
            raise ValueError(f"buffers rise in age to no end and are never below one: {self.buffers}")

    def buffer(self, age: Floats) -> Floats:
        """The factor on an estimate of this age in years, any shape."""
        ages, factors = np.array(self.buffers).T
        return np.asarray(factors[np.searchsorted(ages, age, side="right")], dtype=np.float64)


@dataclass(frozen=True)
class Resolution:
    """Assumptions on what follows a default: mean share of N that is recovered (uniform around it, as wide as fits
    between 0 and 1), mean years from determination to its receipt, and the largest error of an estimate of N."""

    recovery_share: float = 0.4
    recovery_years: float = 1.0
    estimate_error: float = 0.2

    def __post_init__(self) -> None:
        if not (0.0 <= self.recovery_share <= 1.0 and self.recovery_years > 0.0 and 0.0 <= self.estimate_error < 1.0):
            raise ValueError(f"shares lie within [0, 1], recoveries take time: {self}")


@dataclass(frozen=True)
class PathFigures:
    """Of a class, as shares of its performing principal unless said otherwise; probabilities and means over all paths.

    `probability_reserved`: that any principal is kept past the scheduled maturity; `reserved` the expected share kept
    on that day; `extension_years` the expected time until the last of it is released or written down. `written_down`,
    `written_up` until the long stop; `lost` their difference. `coupon_years` the expected time that a unit of principal
    earns its coupon; no coupon accrues after the scheduled maturity.
    """

    probability_reserved: Estimate
    reserved: Estimate
    extension_years: Estimate
    written_down: Estimate
    written_up: Estimate
    lost: Estimate
    coupon_years: Estimate

    @property
    def extension_years_if_reserved(self) -> float:
        """The expected length of an extension, given that there is one; zero where none is possible."""
        if self.probability_reserved.value <= 0.0:
            return 0.0
        return self.extension_years.value / self.probability_reserved.value


@dataclass(frozen=True)
class _Path:
    """One slice in each of n draws, given that its default is drawn: its chance, and shares of its principal.
    `reserved` (1 + steps, n) at the scheduled maturity, then in the middle of each step of the extension."""

    chance: Floats
    reserved: Floats
    written_down: Floats
    written_up: Floats
    years_down: Floats

    def sums(self) -> Floats:
        """(4, n) what adds up over slices: reserved, written down and up, years without coupon."""
        added = np.stack([self.reserved[0], self.written_down, self.written_up, self.years_down])
        return np.asarray(self.chance * added, dtype=np.float64)


def path_figures(
    layers: Sequence[CoveredLayer],
    terms: PathTerms,
    resolution: Resolution | None = None,
    *,
    draws: int = DRAWS,
    seed: int = 1,
) -> PathFigures:
    """The figures of the class that holds these layers, one a relationship; the same seed gives the same figures.

    Raises ValueError for a class without layers.
    """
    if not layers:
        raise ValueError("a class without performing slices has no path to simulate")
    generator = np.random.default_rng(seed)
    m, likelihood = draw_distress(generator, draws, theta_for(layers, terms.scheduled))
    total = sum(layer.principal for layer in layers)
    step_years = (terms.final - terms.scheduled) / EXTENSION_STEPS
    sums, none_open = np.zeros((4, draws)), np.ones((EXTENSION_STEPS + 1, draws))
    for layer in layers:
        path = _path(generator, layer, m, terms, resolution or Resolution())
        sums += layer.principal / total * path.sums()
        # Given m slices are independent: that none keeps anything back is a product.
        none_open *= 1.0 - path.chance * (path.reserved > 0.0)
    reserved, down, up, years_down = likelihood * sums
    some_open = likelihood * (1.0 - none_open)
    without_coupon = Estimate.of(years_down)
    return PathFigures(
        probability_reserved=Estimate.of(some_open[0]),
        reserved=Estimate.of(reserved),
        extension_years=Estimate.of(step_years * some_open[1:].sum(axis=0)),
        written_down=Estimate.of(down),
        written_up=Estimate.of(up),
        lost=Estimate.of(down - up),
        coupon_years=Estimate(terms.scheduled - without_coupon.value, without_coupon.standard_error),
    )


def _path(
    generator: np.random.Generator, layer: CoveredLayer, m: Floats, terms: PathTerms, resolution: Resolution
) -> _Path:
    # A loss below the layer may be reserved for while it is only estimated: draws begin where that begins.
    largest = max(factor for _, factor in terms.buffers) * (1.0 + resolution.estimate_error)
    found = force_default(generator, layer.model, m, terms.scheduled, layer.attach / largest)
    determined = np.minimum(found.years + terms.determination * generator.random(m.size), terms.final)
    estimate = found.net_loss * (1.0 + resolution.estimate_error * generator.uniform(-1.0, 1.0, m.size))

    def kept(moment: Floats) -> Floats:
        return layer.share_lost(terms.buffer(moment - found.years) * estimate)

    middles = (np.arange(EXTENSION_STEPS) + 0.5) / EXTENSION_STEPS
    moments = (terms.scheduled + (terms.final - terms.scheduled) * np.append(0.0, middles))[:, None]
    late = determined > terms.scheduled
    left = np.where(late, kept(np.maximum(determined, terms.scheduled)), 1.0)
    down = np.minimum(layer.share_lost(found.net_loss), left)
    width = min(resolution.recovery_share, 1.0 - resolution.recovery_share)
    recovered = resolution.recovery_share + width * generator.uniform(-1.0, 1.0, m.size)
    paid = determined + generator.exponential(resolution.recovery_years, m.size)
    lasting = np.minimum(layer.share_lost(found.net_loss * (1.0 - recovered)), down)
    up = np.where(paid <= terms.long_stop, down - lasting, 0.0)
    return _Path(
        chance=found.chance,
        reserved=np.where(moments < determined, kept(moments), 0.0),
        written_down=down,
        written_up=up,
        years_down=np.clip(terms.scheduled - determined, 0.0, None) * down
        - np.clip(terms.scheduled - paid, 0.0, None) * up,
    )
