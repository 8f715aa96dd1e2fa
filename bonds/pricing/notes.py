"""Value of a note per 100 of its current principal, from a discount curve and an expected outstanding principal.

The price is an expectation under a pricing measure (`measures`), discounted risk-free. Collateral is in escrow, so a
loss is the only way a note pays less; what is written down is gone (recovery 0) unless a write-up is modelled in the
loss. Two conventions for the coupon of a period in which a loss falls:
- "daily", our terms: a day's coupon accrues on that day's principal and is not clawed back, so the expected cash
  flows are built here and discounted;
- "at_payment", the market's simplification: the whole coupon is scaled by the principal at its payment date, which
  is what QuantLib's `RiskyBondEngine` computes.
All rates and yields are fractions of one; yields are effective annual, ACT/365. Loads QuantLib.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from math import log
from typing import Literal

import numpy as np
import QuantLib as ql
from numpy.typing import NDArray
from scipy.optimize import brentq

from bonds.pricing.coupons import DAYS_A_YEAR
from bonds.pricing.curves import OutstandingCurve
from bonds.pricing.schedule import CouponPeriod, coupon_schedule
from intermediary.errors import Refusal
from risk.market.curve import DiscountCurve, years_between
from risk.market.quantlib import evaluation_date, from_ql, to_ql

FloatArray = NDArray[np.float64]
PAR = 100.0
YIELD_BOUNDS = (-0.99, 10.0)  # beyond 1,000% a year a yield tells an investor nothing that the price does not


@dataclass(frozen=True)
class NoteTerms:
    """What a fixed-rate note promises: `coupon_rate_annual` is spread plus collateral yield, ACT/360."""

    issue: date
    maturity: date
    coupon_rate_annual: float
    months_between_coupons: int = 3
    coupon_accrual: Literal["daily", "at_payment"] = "daily"

    def remaining(self, as_of: date) -> tuple[CouponPeriod, ...]:
        """Periods still to be paid after `as_of`; a coupon due on `as_of` counts as paid."""
        schedule = coupon_schedule(self.issue, self.maturity, self.months_between_coupons)
        left = tuple(period for period in schedule if period.payment_date > as_of)
        if as_of < self.issue or not left:
            raise ValueError(f"a note is valued between issue and maturity: {as_of} for {self}")
        return left


@dataclass(frozen=True)
class NoteValue:
    """Prices per 100 of current principal, and what they imply.

    `spread_multiple` is z-spread over annual expected loss. A figure is None where it does not exist: no yield within
    `YIELD_BOUNDS` explains the price (a note close to certain loss), or nothing is expected to be lost.
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


def outstanding_curve(
    terms: NoteTerms, as_of: date, outstanding_at: Callable[[FloatArray], FloatArray]
) -> OutstandingCurve:
    """Nodes at `as_of` and each remaining payment date of N(t), t in ACT/365 years from `as_of`.

    Noise of a loss model's quadrature is removed: N(0) is set to 1, and N never rises. Refuses N(0) off 1 by 1e-9.
    """
    dates = (as_of, *(period.payment_date for period in terms.remaining(as_of)))
    shares = np.asarray(outstanding_at(np.array([years_between(as_of, day) for day in dates])), dtype=np.float64)
    if abs(float(shares[0]) - 1) > 1e-9:
        raise ValueError(f"expected principal starts at 1, not {shares[0]}")
    falling = np.minimum.accumulate(np.minimum(shares, 1.0))
    return OutstandingCurve(as_of, dates, (1.0, *(float(share) for share in falling[1:])))


def value_note(
    terms: NoteTerms, as_of: date, discount: DiscountCurve, risk_neutral: OutstandingCurve, physical: OutstandingCurve
) -> NoteValue:
    """Price under the risk-neutral curve, and its yield if nothing is lost, or what either measure expects."""
    _check_dates(as_of, discount, risk_neutral, physical)
    with evaluation_date(as_of):
        bond = _bond(terms)
        expected = _expected_leg(terms, as_of, risk_neutral)
        if terms.coupon_accrual == "daily":
            dirty = ql.CashFlows.npv(expected, discount.handle(), False, to_ql(as_of))
        else:
            bond.setPricingEngine(ql.RiskyBondEngine(risk_neutral.handle(), 0.0, discount.handle()))
            dirty = bond.NPV()
        accrued = bond.accruedAmount(to_ql(as_of))
        no_loss = _yield(bond.cashflows(), dirty, as_of)
        duration, convexity = _duration_and_convexity(bond.cashflows(), no_loss, as_of)
        z_spread = _z_spread(bond.cashflows(), dirty, discount)
        return NoteValue(
            clean_price=dirty - accrued,
            dirty_price=dirty,
            accrued=accrued,
            no_loss_yield=no_loss,
            expected_yield=_yield(_expected_leg(terms, as_of, physical), dirty, as_of),
            risk_neutral_yield=_yield(expected, dirty, as_of),
            modified_duration=duration,
            convexity=convexity,
            z_spread=z_spread,
            spread_multiple=_spread_multiple(z_spread, as_of, physical),
        )


def par_coupon(terms: NoteTerms, as_of: date, discount: DiscountCurve, outstanding: OutstandingCurve) -> float:
    """Coupon at which a note issued on `as_of` with the remaining dates is worth 100.

    [1 - N(T) D(T)] / sum of D_i x expected accrual of period i, in principal-years (tau_i N_i if "at_payment").
    """
    _check_dates(as_of, discount, outstanding)
    periods = terms.remaining(as_of)
    final = periods[-1].payment_date
    return (1 - outstanding.share(final) * discount.factor(final)) / _annuity(terms, as_of, discount, outstanding)


def par_spread(terms: NoteTerms, as_of: date, discount: DiscountCurve, outstanding: OutstandingCurve) -> float:
    """Spread over the risk-free forward rates at which a floating note issued on `as_of` is worth 100.

    The floating coupon of a period is D_(i-1)/D_i - 1 on the share that accrues in it; without losses it is zero.
    """
    _check_dates(as_of, discount, outstanding)
    periods = terms.remaining(as_of)
    final = periods[-1].payment_date
    floating, previous = 0.0, 1.0
    for period in periods:
        factor = discount.factor(period.payment_date)
        start = max(period.accrual_start, as_of)
        accrual = _accrual_years(terms, period, as_of, outstanding, fresh=True)
        floating += accrual / ((period.accrual_end - start).days / DAYS_A_YEAR) * (previous - factor)
        previous = factor
    lost = 1 - outstanding.share(final) * discount.factor(final) - floating
    return lost / _annuity(terms, as_of, discount, outstanding)


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


def _bond(terms: NoteTerms) -> ql.FixedRateBond:
    """The promised note. Its dates are adjusted already, so no calendar may move its settlement from a weekend."""
    schedule = coupon_schedule(terms.issue, terms.maturity, terms.months_between_coupons)
    dates = [to_ql(terms.issue), *(to_ql(period.accrual_end) for period in schedule)]
    return ql.FixedRateBond(
        0,
        PAR,
        ql.Schedule(dates),
        [terms.coupon_rate_annual],
        ql.Actual360(),
        ql.Unadjusted,
        PAR,
        to_ql(terms.issue),
        ql.NullCalendar(),
    )


def _accrual_years(
    terms: NoteTerms, period: CouponPeriod, as_of: date, outstanding: OutstandingCurve, fresh: bool
) -> float:
    """Expected accrual of a period in principal-years, ACT/360. Days before `as_of` count at 1, or not if `fresh`."""
    start = max(period.accrual_start, as_of)
    past_days = 0 if fresh else (start - period.accrual_start).days
    if terms.coupon_accrual == "daily":
        return (past_days + float(outstanding.daily_shares(start, period.accrual_end).sum())) / DAYS_A_YEAR
    days = past_days + (period.accrual_end - start).days
    return days / DAYS_A_YEAR * outstanding.share(period.payment_date)


def _expected_leg(terms: NoteTerms, as_of: date, outstanding: OutstandingCurve) -> list[ql.CashFlow]:
    """Expected coupons and redemption per 100; the redemption is ours, so no `ql.Bond` may add another."""
    periods = terms.remaining(as_of)
    leg = []
    for period in periods:
        accrual = _accrual_years(terms, period, as_of, outstanding, fresh=False)
        leg.append(ql.SimpleCashFlow(PAR * terms.coupon_rate_annual * accrual, to_ql(period.payment_date)))
    final = periods[-1].payment_date
    leg.append(ql.SimpleCashFlow(PAR * outstanding.share(final), to_ql(final)))
    return leg


def _annuity(terms: NoteTerms, as_of: date, discount: DiscountCurve, outstanding: OutstandingCurve) -> float:
    return sum(
        discount.factor(period.payment_date) * _accrual_years(terms, period, as_of, outstanding, fresh=True)
        for period in terms.remaining(as_of)
    )


def _yield(leg: Sequence[ql.CashFlow], dirty: float, as_of: date) -> float | None:
    """Effective annual yield, ACT/365. QuantLib's own solver has no bounds and fails on distressed prices."""
    times, amounts = _flows(leg, as_of)
    return _root(lambda rate: float(amounts @ (1 + rate) ** -times) - dirty)


def _z_spread(promised: Sequence[ql.CashFlow], dirty: float, discount: DiscountCurve) -> float | None:
    """Continuous spread over the risk-free curve at which the promised cash flows are worth the price."""
    times, amounts = _flows(promised, discount.as_of)
    days = [from_ql(flow.date()) for flow in promised]
    factors = np.array([discount.factor(day) for day in days if day > discount.as_of])
    return _root(lambda spread: float((amounts * factors) @ np.exp(-spread * times)) - dirty)


def _flows(leg: Sequence[ql.CashFlow], as_of: date) -> tuple[FloatArray, FloatArray]:
    """Times in years and amounts of what is paid after `as_of`."""
    paid = [(years_between(as_of, from_ql(flow.date())), flow.amount()) for flow in leg]
    future = np.array([(time, amount) for time, amount in paid if time > 0])
    return future[:, 0], future[:, 1]


def _root(excess: Callable[[float], float]) -> float | None:
    """Where a falling function of a rate is zero, or None if that is not within `YIELD_BOUNDS`."""
    low, high = YIELD_BOUNDS
    if not excess(low) >= 0 >= excess(high):
        return None
    return float(brentq(excess, low, high, xtol=1e-13))


def _duration_and_convexity(
    promised: Sequence[ql.CashFlow], no_loss_yield: float | None, as_of: date
) -> tuple[float | None, float | None]:
    """Modified duration in years and convexity in years squared, of the promised cash flows at their yield."""
    if no_loss_yield is None:
        return None, None
    rate = ql.InterestRate(no_loss_yield, ql.Actual365Fixed(), ql.Compounded, ql.Annual)
    today = to_ql(as_of)
    return (
        ql.CashFlows.duration(promised, rate, ql.Duration.Modified, False, today),
        ql.CashFlows.convexity(promised, rate, False, today),
    )


def _spread_multiple(z_spread: float | None, as_of: date, physical: OutstandingCurve) -> float | None:
    final_share = physical.shares[-1]
    if z_spread is None or not 0 < final_share < 1:
        return None
    return z_spread * years_between(as_of, physical.dates[-1]) / -log(final_share)


def _check_dates(as_of: date, *curves: DiscountCurve | OutstandingCurve) -> None:
    if any(curve.as_of != as_of for curve in curves):
        raise ValueError(f"every curve of a price must be dated {as_of}")
