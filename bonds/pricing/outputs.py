"""Everything a noteholder is told beside the price: what other measures say, and what moves it.

All of it is made of one thing, the expected outstanding principal under a variant: another measure, another loss model
or another price of risk. A variant is a row; the rows of a class are priced together, since a note's own dates, rates
and discount factors are the same for all of them.

Units: prices per 100 of current principal; par spreads in basis points a year; sensitivities are slopes of the clean
price, in points for +1 of a parameter: of the default intensity and of the severity relative to themselves (+0.01 is
one percent of it), of the correlation (loading rho on distress) and of the market price of risk lambda as they stand.
The crypto beta load prices the note as if distress m were shifted by the stated market price of beta against the
investor: both the chance of default and the size of the gap follow m, so a class that depends more on it gets dearer by
more. Pure numpy; `rulesets` says what is disclosed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from math import exp, log1p, sqrt
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from bonds.loss.note_risk import Piece
from bonds.pricing.cashflows import PAR, Plan, discount_factors
from bonds.pricing.coupons import DAYS_A_YEAR
from bonds.pricing.floating import NOTHING_RECORDED, Fixings
from bonds.pricing.implied import implied_lambda
from bonds.pricing.measures import FearedWang, SliceCurve, layer_quadrature
from bonds.pricing.notes import NoteTerms
from bonds.pricing.rulesets import PricingRuleset
from risk.margin.layers import LossModel
from risk.margin.shortfall import DISTRESS_LIMIT, chance_of_default, gap_scale
from risk.market.curve import DiscountCurve

FloatArray = NDArray[np.float64]

POINTS = 8  # inside a layer, of a bumped or shifted model: slopes agree with those of the price to a percent (tested)
CORRELATION_MAX = 0.999  # a bump may not make default a function of distress alone
HORIZON_YEARS = 1.0
BPS = 10_000
RELATIVE_BUMP, CORRELATION_BUMP, LAMBDA_BUMP = 0.05, 0.02, 0.02  # central differences: the third order is invisible
GRID_STEP = 0.1
GRID = tuple(round(GRID_STEP * step, 1) for step in range(21))  # of lambda; a page finds an investor's own price on it

FINER = 10  # steps between two nodes of the grid: an implied lambda is then off by less than 0.0001 (tested)

# Of distress, for such models: an even grid on which every kink of the severity falls alike.
DISTRESS = np.linspace(-DISTRESS_LIMIT, DISTRESS_LIMIT, 241)
DENSITY = np.exp(-0.5 * DISTRESS**2) / np.exp(-0.5 * DISTRESS**2).sum()


@dataclass(frozen=True)
class MeasuredPrice:
    """What one measure says: `price` None before the coupon is known."""

    label: str
    name: str
    price: float | None
    spread_bps: float


@dataclass(frozen=True)
class Outputs:
    """`measures` in the order of the ruleset, the official one first; `with_beta` the official one with the stated load
    on top. `sensitivities` by pd, severity, correlation, lambda; `grid` of (lambda, clean price); `implied_lambda` at
    which the note would be worth par today, as if the market still asked the spread that cleared, None where no lambda
    within the grid does. The last three are empty before the coupon is known."""

    measures: tuple[MeasuredPrice, ...]
    with_beta: MeasuredPrice
    sensitivities: dict[str, float]
    grid: tuple[tuple[float, float], ...]
    implied_lambda: float | None


@dataclass(frozen=True)
class Valuer:
    """The note's own side: its plan, discount factors, and (P,) overnight rates summed over each period (zero of a
    fixed note): `gone` before today, `to_come` from today on, `late` those again, each day by the share of what is left
    of its period that lies before it."""

    terms: NoteTerms
    plan: Plan
    factors: FloatArray
    gone: FloatArray
    to_come: FloatArray
    late: FloatArray

    @classmethod
    def of(
        cls, terms: NoteTerms, as_of: date, discount: DiscountCurve, fixings: Fixings = NOTHING_RECORDED
    ) -> "Valuer":
        """At a day of the note's life."""
        plan = terms.plan(as_of)
        rates = terms.overnight(plan, discount, fixings)
        left = plan.days_left.astype(np.int64)
        before = (np.arange(plan.days.size) - np.repeat(plan.starts, left)) / np.repeat(plan.days_left, left)
        to_come, late = (np.add.reduceat(rates.to_come * weight, plan.starts) for weight in (1.0, before))
        return cls(terms, plan, discount_factors(plan, discount), rates.gone, to_come, late)

    def clean_prices(self, outstanding: FloatArray) -> FloatArray:
        """(V,) of variants with this share of principal (V, P) at each payment date."""
        rate, past = self.terms.coupon_rate_annual, self.plan.days_past
        rate_days = (past + self._days(outstanding)) * rate + self.gone + self._overnight(outstanding)
        accrued = (rate * past[0] + self.gone[0]) / DAYS_A_YEAR
        paid = rate_days @ self.factors / DAYS_A_YEAR
        return np.asarray(PAR * (paid + outstanding[:, -1] * self.factors[-1] - accrued))

    def par_spreads_bps(self, outstanding: FloatArray) -> FloatArray:
        """(V,) of a note that began today: over a fixed coupon that cannot lose, or over SOFR."""
        annuity = self._days(outstanding) @ self.factors / DAYS_A_YEAR
        lost = 1 - outstanding[:, -1] * self.factors[-1]
        if self.terms.floats:
            floating = self._overnight(outstanding) @ self.factors / DAYS_A_YEAR
            return np.asarray(BPS * (lost - floating) / annuity)
        riskless = (1 - self.factors[-1]) / (self.plan.days_left @ self.factors / DAYS_A_YEAR)
        return np.asarray(BPS * (lost / annuity - riskless))

    def _days(self, outstanding: FloatArray) -> FloatArray:
        """(V, P) days accrued from today on, the share falling evenly over each period."""
        before, days = _before(outstanding), self.plan.days_left
        return np.asarray(days * before + (outstanding - before) * (days - 1) / 2, dtype=np.float64)

    def _overnight(self, outstanding: FloatArray) -> FloatArray:
        """(V, P) the same with each day at its overnight rate."""
        before = _before(outstanding)
        return np.asarray(self.to_come * before + (outstanding - before) * self.late, dtype=np.float64)


def _before(outstanding: FloatArray) -> FloatArray:
    """(V, P) the share at the beginning of each period."""
    return np.concatenate([np.ones((outstanding.shape[0], 1)), outstanding[:, :-1]], axis=1)


def outputs_of(
    pieces: Sequence[Piece], valuer: Valuer, ruleset: PricingRuleset, physical: FloatArray, priced: bool
) -> Outputs:
    """Of a class with principal left. `physical` (P,) its exact expected shares, for the physical row; `priced` whether
    the coupon of the terms is the cleared one."""
    as_of, times = valuer.plan.as_of, valuer.plan.times
    official, disclosed = ruleset.official(as_of), ruleset.disclosed(as_of)
    curves = _curves(pieces)
    shifted = _variants(pieces, lambda model, points: _with_beta(model, points, ruleset.market_price_of_beta))
    shares = np.concatenate(
        [
            _outstanding(
                curves,
                len(disclosed),
                lambda slice_: np.stack([one.measure.loaded(slice_) for one in disclosed]),
                times,
            ),
            _outstanding(shifted, 1, lambda slice_: official.distort(slice_.annual_exceedance), times),
        ]
    )
    shares[1] = physical
    spreads = valuer.par_spreads_bps(shares)
    prices = [float(price) for price in valuer.clean_prices(shares)] if priced else [None] * len(shares)
    said = [
        MeasuredPrice(one.label, one.measure.name, price, float(spread))
        for one, price, spread in zip(disclosed, prices[:-1], spreads[:-1], strict=True)
    ]
    beta = MeasuredPrice("with-beta", f"beta-{ruleset.market_price_of_beta:g}", prices[-1], float(spreads[-1]))
    if not priced:
        return Outputs(tuple(said), beta, {}, (), None)
    grid = _grid(curves, official, valuer, GRID)
    slopes = _slopes(pieces, curves, official, valuer)
    return Outputs(tuple(said), beta, slopes, grid, _at_par(curves, official, valuer, grid))


def with_beta(model: LossModel, market_price_of_beta: float) -> LossModel:
    """The loss model as if distress m came `market_price_of_beta` lower: the threshold of default rises by sqrt(rho)
    times it, the gap by exp(v times it)."""
    if model.hazard_annual == 0.0:
        return replace(model, s0=model.s0 * exp(model.v * market_price_of_beta))
    barrier = float(ndtri(-np.expm1(-model.hazard_annual * HORIZON_YEARS))) + sqrt(model.rho) * market_price_of_beta
    hazard = -log1p(-float(ndtr(barrier))) / HORIZON_YEARS
    return replace(model, hazard_annual=hazard, s0=model.s0 * exp(model.v * market_price_of_beta))


class _Exceedance(Protocol):
    """Annual exceedance at points of a layer, (K,) or of several variants (V, K), with the weights of the points."""

    @property
    def annual_exceedance(self) -> FloatArray: ...

    @property
    def weights(self) -> FloatArray: ...


SliceT = TypeVar("SliceT", bound=_Exceedance)


@dataclass(frozen=True)
class _Variants:
    """`annual_exceedance` (V, K) under other models."""

    annual_exceedance: FloatArray
    weights: FloatArray


@dataclass(frozen=True)
class _Curve(Generic[SliceT]):
    """A piece's slice, None of one whose further loss is known."""

    principal: float
    slice_: SliceT | None
    known_loss: float


def _curves(pieces: Sequence[Piece]) -> list[_Curve[SliceCurve]]:
    """Physical annual exceedance inside each piece, as the mark itself has it."""
    return [_Curve(piece.principal, None if piece.model is None else piece.curve, piece.known_loss) for piece in pieces]


def _outstanding(
    curves: Sequence[_Curve[SliceT]], variants: int, loaded: Callable[[SliceT], FloatArray], times: FloatArray
) -> FloatArray:
    """(V, P) expected shares of today's principal at these times; `loaded` gives the (V, K) priced annual probabilities
    of a slice under each variant."""
    total = sum(curve.principal for curve in curves)
    shares: FloatArray = np.zeros((variants, times.size))
    for curve in curves:
        if curve.slice_ is None:
            shares = shares + curve.principal * (1 - curve.known_loss)
        else:
            yearly = 1 - loaded(curve.slice_)
            shares = shares + curve.principal * (yearly[:, None, :] ** times[None, :, None] @ curve.slice_.weights)
    return shares / total


def _at_loads(official: FearedWang, loads: FloatArray) -> Callable[[SliceCurve], FloatArray]:
    """The official measure at each of these market prices of risk."""

    def loaded(slice_: SliceCurve) -> FloatArray:
        physical = slice_.annual_exceedance
        feared = ndtri(replace(official, market_price_of_risk=0.0).distort(physical))
        return np.asarray(np.maximum(physical, ndtr(feared[None, :] + loads[:, None])), dtype=np.float64)

    return loaded


def _grid(
    curves: Sequence[_Curve[SliceCurve]], official: FearedWang, valuer: Valuer, loads: Sequence[float]
) -> tuple[tuple[float, float], ...]:
    shares = _outstanding(curves, len(loads), _at_loads(official, np.array(loads)), valuer.plan.times)
    return tuple((load, float(price)) for load, price in zip(loads, valuer.clean_prices(shares), strict=True))


def _at_par(
    curves: Sequence[_Curve[SliceCurve]], official: FearedWang, valuer: Valuer, grid: Sequence[tuple[float, float]]
) -> float | None:
    """On the grid, and once more on a tenfold finer one between the two nodes around par."""
    near = implied_lambda(PAR, grid)
    if near is None:
        return None
    below = max(load for load, price in grid if price >= PAR)
    finer = [below + step * GRID_STEP / FINER for step in range(FINER + 1)]
    return implied_lambda(PAR, _grid(curves, official, valuer, finer))


def _slopes(
    pieces: Sequence[Piece], base: Sequence[_Curve[SliceCurve]], official: FearedWang, valuer: Valuer
) -> dict[str, float]:
    """Central differences of the clean price."""
    sizes = {"pd": RELATIVE_BUMP, "severity": RELATIVE_BUMP, "correlation": CORRELATION_BUMP, "lambda": LAMBDA_BUMP}
    times, load = valuer.plan.times, official.market_price_of_risk
    bumped = _outstanding(
        _variants(pieces, _bumped), 6, lambda slice_: official.distort(slice_.annual_exceedance), times
    )
    loads = np.array([load + LAMBDA_BUMP, load - LAMBDA_BUMP])
    loaded = _outstanding(base, 2, _at_loads(official, loads), times)
    prices = valuer.clean_prices(np.concatenate([bumped, loaded]))
    return {name: float(prices[2 * n] - prices[2 * n + 1]) / (2 * size) for n, (name, size) in enumerate(sizes.items())}


def _variants(
    pieces: Sequence[Piece], rows_of: Callable[[LossModel, FloatArray], FloatArray]
) -> list[_Curve[_Variants]]:
    """Each piece with the (V, K) exceedance of its variants inside its layer."""
    found: list[_Curve[_Variants]] = []
    for piece in pieces:
        if piece.model is None:
            found.append(_Curve(piece.principal, None, piece.known_loss))
            continue
        points, weights = layer_quadrature(piece.attach, piece.detach, POINTS)
        rows = np.clip(rows_of(piece.model, points), 0.0, 1.0)
        found.append(_Curve(piece.principal, _Variants(rows, weights), 0.0))
    return found


def _with_beta(model: LossModel, points: FloatArray, market_price_of_beta: float) -> FloatArray:
    """(1, K)"""
    shifted = with_beta(model, market_price_of_beta)
    return (_defaulting(shifted, 1.0, 0.0) @ _beyond(shifted, points, 1.0))[None, :]


def _bumped(model: LossModel, points: FloatArray) -> FloatArray:
    """(6, K) intensity up and down, severity up and down, correlation up and down."""
    default, up, down = (_defaulting(model, factor, 0.0) for factor in (1.0, 1 + RELATIVE_BUMP, 1 - RELATIVE_BUMP))
    gap, more, less = (_beyond(model, points, factor) for factor in (1.0, 1 + RELATIVE_BUMP, 1 - RELATIVE_BUMP))
    tied, loose = (_defaulting(model, 1.0, step) for step in (CORRELATION_BUMP, -CORRELATION_BUMP))
    return np.stack([up @ gap, down @ gap, default @ more, default @ less, tied @ gap, loose @ gap])


def _defaulting(model: LossModel, factor: float, more_correlation: float) -> FloatArray:
    """(M,) weight of distress times the chance of default there."""
    rho = min(max(model.rho + more_correlation, 0.0), CORRELATION_MAX)
    return _weighted_defaults(model.hazard_annual * factor, rho)


@lru_cache(maxsize=256)  # intensities are those of credit lines, the loading is the ruleset's: few, asked for by all
def _weighted_defaults(hazard_annual: float, rho: float) -> FloatArray:
    return np.asarray(DENSITY * chance_of_default(hazard_annual, rho, DISTRESS, HORIZON_YEARS), dtype=np.float64)


def _beyond(model: LossModel, points: FloatArray, factor: float) -> FloatArray:
    """(M, K) chance that the gap goes beyond each point of the layer, its scale times `factor`."""
    scale = factor * gap_scale(model, DISTRESS)[:, None]
    return model.severity.survival((points + model.margin - model.cost)[None, :] / scale)
