"""Value of a note per 100 of its current principal, from a discount curve and an expected outstanding principal.

The price is an expectation under a pricing measure (`measures`), discounted risk-free. Collateral is in escrow, so a
loss is the only way a note pays less; what is written down is gone (recovery 0) unless a write-up is modelled in the
loss. Two conventions for the coupon of a period in which a loss falls (`cashflows`):
- "daily", our terms, from the expected cash flows themselves;
- "at_payment", the market's simplification, by QuantLib's bonds and its `RiskyBondEngine` (`quantlib_notes`).
A note pays a fixed coupon, or each day's overnight rate (SOFR) and a spread, simple (`floating`). All rates and yields
are fractions of one; yields are effective annual, ACT/365. Loads QuantLib.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from math import log
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from bonds.pricing import quantlib_notes
from bonds.pricing.cashflows import (
    PAR,
    Accrual,
    OvernightRates,
    Plan,
    accrual_days,
    amounts,
    discount_factors,
    final_share,
    overnight_days,
    plan_of,
)
from bonds.pricing.coupons import DAYS_A_YEAR
from bonds.pricing.curves import OutstandingCurve
from bonds.pricing.floating import NOTHING_RECORDED, Fixings, no_rates, overnight_rates
from bonds.pricing.schedule import CouponPeriod, coupon_schedule
from bonds.pricing.yields import discount_margin, duration_and_convexity, yield_of, z_spread
from intermediary.errors import Refusal
from risk.market.curve import DiscountCurve, years_between

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class NoteTerms:
    """What a note promises, ACT/360: `coupon_rate_annual` is the whole coupon of a fixed note (spread plus collateral
    yield), and the spread over SOFR of a floating one."""

    issue: date
    maturity: date
    coupon_rate_annual: float
    months_between_coupons: int = 3
    coupon_accrual: Accrual = "daily"
    coupon_kind: Literal["FIXED", "SOFR"] = "FIXED"

    @property
    def floats(self) -> bool:
        """Whether the coupon is over SOFR."""
        return self.coupon_kind == "SOFR"

    def plan(self, as_of: date) -> Plan:
        """What is left to be paid. Raises ValueError unless a note is valued between issue and maturity."""
        return plan_of(self.issue, self.maturity, self.months_between_coupons, as_of)

    def overnight(self, plan: Plan, discount: DiscountCurve, fixings: Fixings = NOTHING_RECORDED) -> OvernightRates:
        """What its days earn beside `coupon_rate_annual`: nothing of a fixed note."""
        return overnight_rates(plan, discount, fixings) if self.floats else no_rates(plan)

    def remaining(self, as_of: date) -> tuple[CouponPeriod, ...]:
        """Periods still to be paid after `as_of`; a coupon due on `as_of` counts as paid."""
        return self.plan(as_of).periods


@dataclass(frozen=True)
class NoteValue:
    """Prices per 100 of current principal, and what they imply.

    `no_loss_yield`, `modified_duration`, `convexity`, `z_spread` and `discount_margin` are of the promised cash flows
    (of a floating note at the curve's forwards, so that its duration is to its spread); `expected_yield` of what is
    expected physically, `risk_neutral_yield` of what the pricing measure expects. `spread_multiple` is z-spread over
    annual expected loss; `discount_margin`, of a floating note only, is over the mean forward overnight rate of each
    period, which is what its coupon is over. A figure is None where it does not exist: no
    yield within `yields.YIELD_BOUNDS` explains the price, or nothing is expected to be lost.
    """

    clean_price: float
    dirty_price: float
    accrued: float
    no_loss_yield: float | None
    expected_yield: float | None
    risk_neutral_yield: float | None
    modified_duration: float | None
    convexity: float | None
    z_spread: float | None
    spread_multiple: float | None
    discount_margin: float | None = None


def outstanding_curve(
    terms: NoteTerms, as_of: date, outstanding_at: Callable[[FloatArray], FloatArray]
) -> OutstandingCurve:
    """Nodes at `as_of` and each remaining payment date of N(t), t in ACT/365 years from `as_of`.

    Noise of a loss model's quadrature is removed: N(0) is set to 1, and N never rises. Refuses N(0) off 1 by 1e-9.
    """
    plan = terms.plan(as_of)
    dates = (as_of, *(period.payment_date for period in plan.periods))
    shares = np.asarray(outstanding_at(np.concatenate([[0.0], plan.times])), dtype=np.float64)
    if abs(float(shares[0]) - 1) > 1e-9:
        raise ValueError(f"expected principal starts at 1, not {shares[0]}")
    falling = np.minimum.accumulate(np.minimum(shares, 1.0))
    return OutstandingCurve(as_of, dates, (1.0, *(float(share) for share in falling[1:])))


def value_note(
    terms: NoteTerms,
    as_of: date,
    discount: DiscountCurve,
    risk_neutral: OutstandingCurve,
    physical: OutstandingCurve,
    fixings: Fixings = NOTHING_RECORDED,
) -> NoteValue:
    """Price under the risk-neutral curve, and its yield if nothing is lost, or what either measure expects."""
    _check_dates(as_of, discount, risk_neutral, physical)
    plan, factors = terms.plan(as_of), discount_factors(terms.plan(as_of), discount)
    rates = terms.overnight(plan, discount, fixings)
    to_come = np.add.reduceat(rates.to_come, plan.starts)
    days = plan.days_past + plan.days_left
    promised = amounts(terms.coupon_rate_annual * days + rates.gone + to_come, 1.0)
    expected = _expected(terms, plan, rates, risk_neutral)
    dirty = (
        float(expected @ factors)
        if terms.coupon_accrual == "daily"
        else _by_quantlib(terms, discount, risk_neutral, fixings)
    )
    accrued = _accrued(terms, plan, rates)
    no_loss = yield_of(promised, plan.times, dirty)
    duration, convexity = (None, None) if no_loss is None else duration_and_convexity(promised, plan.times, no_loss)
    spread = z_spread(promised, plan.times, factors, dirty)
    return NoteValue(
        clean_price=dirty - accrued,
        dirty_price=dirty,
        accrued=accrued,
        no_loss_yield=no_loss,
        expected_yield=yield_of(_expected(terms, plan, rates, physical), plan.times, dirty),
        risk_neutral_yield=yield_of(expected, plan.times, dirty),
        modified_duration=duration,
        convexity=convexity,
        z_spread=spread,
        spread_multiple=_spread_multiple(spread, as_of, physical),
        discount_margin=_margin(plan, promised, to_come, dirty) if terms.floats else None,
    )


def clean_price(
    terms: NoteTerms,
    as_of: date,
    discount: DiscountCurve,
    outstanding: OutstandingCurve,
    fixings: Fixings = NOTHING_RECORDED,
) -> float:
    """The price alone, for whoever asks for many of them: what `value_note` says under our "daily" terms."""
    _check_dates(as_of, discount, outstanding)
    plan = terms.plan(as_of)
    rates = terms.overnight(plan, discount, fixings)
    expected = _expected(replace(terms, coupon_accrual="daily"), plan, rates, outstanding)
    return float(expected @ discount_factors(plan, discount)) - _accrued(terms, plan, rates)


def par_coupon(terms: NoteTerms, as_of: date, discount: DiscountCurve, outstanding: OutstandingCurve) -> float:
    """Coupon at which a note issued on `as_of` with the remaining dates is worth 100.

    [1 - N(T) D(T)] / sum of D_i x expected accrual of period i, in principal-years (tau_i N_i if "at_payment").
    """
    _check_dates(as_of, discount, outstanding)
    plan, factors, annuity = _fresh(terms, as_of, discount, outstanding)
    return (1 - final_share(plan, outstanding) * float(factors[-1])) / float(annuity.sum())


def par_spread(terms: NoteTerms, as_of: date, discount: DiscountCurve, outstanding: OutstandingCurve) -> float:
    """Spread over the overnight forward rates at which a floating note issued on `as_of` is worth 100. Without losses
    it is what is lost by not compounding: two basis points at 4% and quarterly coupons.
    """
    _check_dates(as_of, discount, outstanding)
    plan, factors, annuity = _fresh(terms, as_of, discount, outstanding)
    earned = overnight_days(plan, overnight_rates(plan, discount), outstanding, terms.coupon_accrual, fresh=True)
    floating = float(earned @ factors) / DAYS_A_YEAR
    return (1 - final_share(plan, outstanding) * float(factors[-1]) - floating) / float(annuity.sum())


def implied_market_price_of_risk(clean_price: float, price_at: Callable[[float], float], highest: float = 5.0) -> float:
    """lambda at which the model's clean price, falling in lambda, equals the market's. Refuses a price out of reach."""
    dearest, cheapest = price_at(0.0), price_at(highest)
    if not cheapest <= clean_price <= dearest:
        raise Refusal(
            "price_out_of_reach",
            "No market price of risk explains this price.",
            clean_price=clean_price,
            price_at_zero=dearest,
            price_at_highest=cheapest,
        )
    return float(brentq(lambda risk: price_at(risk) - clean_price, 0.0, highest, xtol=1e-10))


def sensitivities(
    price_at: Callable[[Mapping[str, float]], float], base: Mapping[str, float], bumps: Mapping[str, float]
) -> dict[str, float]:
    """Change of price per unit of each bumped parameter (hazard, severity, correlation, lambda): central difference."""
    slopes = {}
    for name, bump in bumps.items():
        up, down = {**base, name: base[name] + bump}, {**base, name: base[name] - bump}
        slopes[name] = (price_at(up) - price_at(down)) / (2 * bump)
    return slopes


def _expected(terms: NoteTerms, plan: Plan, rates: OvernightRates, outstanding: OutstandingCurve) -> FloatArray:
    """(P,) expected coupons and redemption."""
    rate_days = terms.coupon_rate_annual * accrual_days(plan, outstanding, terms.coupon_accrual)
    if terms.floats:
        rate_days = rate_days + overnight_days(plan, rates, outstanding, terms.coupon_accrual)
    return amounts(rate_days, final_share(plan, outstanding))


def _accrued(terms: NoteTerms, plan: Plan, rates: OvernightRates) -> float:
    """What the days gone of the period that runs have earned, each at its own rate."""
    return PAR * float(terms.coupon_rate_annual * plan.days_past[0] + rates.gone[0]) / DAYS_A_YEAR


def _by_quantlib(terms: NoteTerms, discount: DiscountCurve, outstanding: OutstandingCurve, fixings: Fixings) -> float:
    schedule = coupon_schedule(terms.issue, terms.maturity, terms.months_between_coupons)
    return quantlib_notes.dirty_price(
        schedule, discount, outstanding, terms.coupon_rate_annual, floating=terms.floats, fixings=fixings
    )


def _fresh(
    terms: NoteTerms, as_of: date, discount: DiscountCurve, outstanding: OutstandingCurve
) -> tuple[Plan, FloatArray, FloatArray]:
    """The plan, discount factors, and (P,) discounted expected accruals in years of a note that begins on `as_of`."""
    plan = terms.plan(as_of)
    factors = discount_factors(plan, discount)
    return plan, factors, factors * accrual_days(plan, outstanding, terms.coupon_accrual, fresh=True) / DAYS_A_YEAR


def _margin(plan: Plan, promised: FloatArray, to_come: FloatArray, dirty: float) -> float | None:
    return discount_margin(promised, to_come / plan.days_left, plan.days_left / DAYS_A_YEAR, dirty)


def _spread_multiple(z_spread: float | None, as_of: date, physical: OutstandingCurve) -> float | None:
    final = physical.shares[-1]
    if z_spread is None or not 0 < final < 1:
        return None
    return z_spread * years_between(as_of, physical.dates[-1]) / -log(final)


def _check_dates(as_of: date, *curves: DiscountCurve | OutstandingCurve) -> None:
    if any(curve.as_of != as_of for curve in curves):
        raise ValueError(f"every curve of a price must be dated {as_of}")
