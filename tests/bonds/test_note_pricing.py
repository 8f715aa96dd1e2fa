"""A note's price equals its hand-made cash flows, in each convention and on any day of the week."""

import threading
from dataclasses import replace
from datetime import date, timedelta
from math import exp, log
from typing import Literal

import numpy as np
import pytest
import QuantLib as ql
from hypothesis import given, settings
from hypothesis import strategies as st

from bonds.pricing.curves import OutstandingCurve
from bonds.pricing.measures import FloatArray, SliceCurve, WangTransform, expected_outstanding, layer_quadrature
from bonds.pricing.notes import (
    NoteTerms,
    implied_market_price_of_risk,
    outstanding_curve,
    par_coupon,
    par_spread,
    sensitivities,
    value_note,
)
from intermediary.errors import Refusal
from risk.market.curve import DiscountCurve, discount_curve
from risk.market.quantlib import evaluation_date, is_business_day

ISSUE = date(2025, 10, 6)
PAR_YIELDS = {1: 0.0419, 3: 0.0402, 6: 0.0381, 12: 0.0360, 24: 0.0352, 60: 0.0365}  # US Treasury, 10 October 2025
TERMS = NoteTerms(ISSUE, date(2028, 10, 6), 0.11)
DAILY, AT_PAYMENT = TERMS, replace(TERMS, coupon_accrual="at_payment")
X, WEIGHTS = layer_quadrature(0.25, 0.60)
LAYER = SliceCurve(1.0, 0.0045 * np.exp(-1.5 * X), WEIGHTS)
DAYS = [ISSUE, date(2025, 10, 10), date(2025, 10, 11), date(2026, 1, 6), date(2026, 7, 5), date(2028, 10, 5)]


def curve_of(terms: NoteTerms, as_of: date, market_price_of_risk: float = 0.454) -> OutstandingCurve:
    measure = WangTransform(market_price_of_risk)
    return outstanding_curve(terms, as_of, lambda t: expected_outstanding([LAYER], measure, t))


def known(figure: float | None) -> float:
    assert figure is not None
    return figure


def lossless(terms: NoteTerms, as_of: date) -> OutstandingCurve:
    return outstanding_curve(terms, as_of, np.ones_like)


def hand_price(terms: NoteTerms, as_of: date, discount: DiscountCurve, outstanding: OutstandingCurve) -> float:
    """Day by day in plain Python, by nothing that prices: log-linear discounting and linear outstanding."""

    def between(day: date, dates: tuple[date, ...], values: tuple[float, ...]) -> float:
        after = next(i for i, node in enumerate(dates) if node >= day)
        if after == 0:
            return values[0]
        share = (day - dates[after - 1]).days / (dates[after] - dates[after - 1]).days
        return values[after - 1] + share * (values[after] - values[after - 1])

    logs = tuple(log(factor) for factor in discount.factors)
    total = 0.0
    for period in terms.remaining(as_of):
        paid = period.payment_date
        end_share = between(paid, outstanding.dates, outstanding.shares)
        principal_days, day = 0.0, period.accrual_start
        while day < period.accrual_end:
            daily = 1.0 if day < as_of else between(day, outstanding.dates, outstanding.shares)
            principal_days += daily if terms.coupon_accrual == "daily" else end_share
            day += timedelta(days=1)
        flow = 100 * terms.coupon_rate_annual * principal_days / 360
        flow += 100 * end_share if paid == terms.remaining(as_of)[-1].payment_date else 0.0
        total += flow * exp(between(paid, discount.dates, logs))
    return total


def test_a_note_is_not_valued_before_issue_or_at_maturity() -> None:
    for as_of in (date(2025, 10, 5), date(2028, 10, 6)):
        with pytest.raises(ValueError, match="between issue and maturity"):
            TERMS.remaining(as_of)


def test_curves_of_different_days_are_refused() -> None:
    other_day = discount_curve(date(2025, 10, 7), PAR_YIELDS)
    with pytest.raises(ValueError, match="every curve"):
        value_note(TERMS, ISSUE, other_day, curve_of(TERMS, ISSUE), curve_of(TERMS, ISSUE))


def test_a_curve_that_ends_before_the_note_is_refused() -> None:
    short = discount_curve(ISSUE, {1: 0.04, 12: 0.04})
    with pytest.raises(ValueError, match="outside the curve"):
        par_coupon(TERMS, ISSUE, short, curve_of(TERMS, ISSUE))


@pytest.mark.parametrize("shares", [(1.0, 1.1), (1.0, -0.1), (0.9, 0.8)])
def test_an_outstanding_curve_that_rises_or_starts_off_one_is_refused(shares: tuple[float, float]) -> None:
    with pytest.raises(ValueError):
        OutstandingCurve(ISSUE, (ISSUE, date(2026, 1, 6)), shares)


def test_outstanding_that_does_not_start_at_one_is_refused() -> None:
    def halved(times: FloatArray) -> FloatArray:
        return np.full_like(times, 0.5)

    with pytest.raises(ValueError, match="starts at 1"):
        outstanding_curve(TERMS, ISSUE, halved)


@pytest.mark.parametrize("terms", [DAILY, AT_PAYMENT], ids=["daily", "at_payment"])
@pytest.mark.parametrize("as_of", DAYS, ids=str)
def test_price_equals_hand_cash_flows(terms: NoteTerms, as_of: date) -> None:
    discount, outstanding = discount_curve(as_of, PAR_YIELDS), curve_of(terms, as_of)
    value = value_note(terms, as_of, discount, outstanding, outstanding)
    assert value.dirty_price == pytest.approx(hand_price(terms, as_of, discount, outstanding), abs=1e-8)
    start = terms.remaining(as_of)[0].accrual_start
    assert value.accrued == pytest.approx(100 * 0.11 * (as_of - start).days / 360, abs=1e-12)
    assert value.clean_price == pytest.approx(value.dirty_price - value.accrued, abs=1e-12)


@pytest.mark.parametrize("accrual", ["daily", "at_payment"])
def test_a_note_at_the_par_coupon_prices_at_100_on_a_business_day(accrual: Literal["daily", "at_payment"]) -> None:
    assert is_business_day(ISSUE)
    terms = replace(TERMS, coupon_accrual=accrual)
    discount, outstanding = discount_curve(ISSUE, PAR_YIELDS), curve_of(terms, ISSUE)
    at_par = replace(terms, coupon_rate_annual=par_coupon(terms, ISSUE, discount, outstanding))
    assert value_note(at_par, ISSUE, discount, outstanding, outstanding).clean_price == pytest.approx(100, abs=1e-9)


@pytest.mark.parametrize("months", [24, 60])
def test_the_discount_curve_prices_its_own_par_bonds_at_100(months: int) -> None:
    curve = discount_curve(ISSUE, PAR_YIELDS)
    with evaluation_date(ISSUE):
        start = ql.Date(6, 10, 2025)
        dates = [start + ql.Period(6 * i, ql.Months) for i in range(1, months // 6 + 1)]
        factors = [curve.factor(date(d.year(), d.month(), d.dayOfMonth())) for d in dates]
    price = 100 * PAR_YIELDS[months] / 2 * sum(factors) + 100 * factors[-1]
    assert price == pytest.approx(100, abs=1e-8)


def test_bills_discount_at_their_simple_yield() -> None:
    curve = discount_curve(ISSUE, PAR_YIELDS)
    assert curve.factor(date(2026, 4, 6)) == pytest.approx(1 / (1 + 0.0381 * 182 / 365), abs=1e-12)


def test_the_redemption_is_paid_once() -> None:
    discount = discount_curve(ISSUE, PAR_YIELDS)
    free = replace(TERMS, coupon_rate_annual=0.0)
    price = value_note(free, ISSUE, discount, lossless(free, ISSUE), lossless(free, ISSUE)).dirty_price
    assert price == pytest.approx(100 * discount.factor(date(2028, 10, 6)), abs=1e-10)


def test_without_losses_the_note_is_risk_free_and_the_yields_agree() -> None:
    discount, sure = discount_curve(ISSUE, PAR_YIELDS), lossless(TERMS, ISSUE)
    value = value_note(TERMS, ISSUE, discount, sure, sure)
    assert value.no_loss_yield == pytest.approx(value.expected_yield, abs=1e-9)
    assert value.no_loss_yield == pytest.approx(value.risk_neutral_yield, abs=1e-9)
    assert value.z_spread == pytest.approx(0, abs=1e-9)
    assert value.spread_multiple is None
    assert 1e4 * par_spread(TERMS, ISSUE, discount, sure) == pytest.approx(1.56, abs=0.01), "not compounded"


def test_yields_order_as_the_measures_do_and_the_spread_is_a_multiple_of_expected_loss() -> None:
    discount = discount_curve(ISSUE, PAR_YIELDS)
    value = value_note(TERMS, ISSUE, discount, curve_of(TERMS, ISSUE), curve_of(TERMS, ISSUE, 0.0))
    yields = (value.no_loss_yield, value.expected_yield, value.risk_neutral_yield)
    no_loss, expected, risk_neutral = (known(figure) for figure in yields)
    assert no_loss > expected > risk_neutral
    assert value.risk_neutral_yield == pytest.approx(0.0352, abs=0.002)
    assert known(value.spread_multiple) > 1


@pytest.mark.parametrize("as_of", DAYS[:-1], ids=str)
def test_yield_and_z_spread_agree_with_quantlib_where_it_finds_them(as_of: date) -> None:
    discount, outstanding = discount_curve(as_of, PAR_YIELDS), curve_of(TERMS, as_of)
    value = value_note(TERMS, as_of, discount, outstanding, outstanding)
    with evaluation_date(as_of):
        day_count, today = ql.Actual365Fixed(), ql.Date(as_of.day, as_of.month, as_of.year)
        flows = [(p.payment_date, 100 * 0.11 * p.year_fraction) for p in TERMS.remaining(as_of)]
        flows.append((flows[-1][0], 100.0))
        leg = [ql.SimpleCashFlow(amount, ql.Date(day.day, day.month, day.year)) for day, amount in flows]
        theirs = ql.CashFlows.yieldRate(leg, value.dirty_price, day_count, ql.Compounded, ql.Annual, False, today)
        spread = ql.CashFlows.zSpread(
            leg,
            value.dirty_price,
            discount.handle().currentLink(),
            day_count,
            ql.Continuous,
            ql.NoFrequency,
            False,
            today,
            today,
        )
    assert value.no_loss_yield == pytest.approx(theirs, abs=1e-8)
    assert value.z_spread == pytest.approx(spread, abs=1e-8)


@pytest.mark.parametrize("terms", [DAILY, AT_PAYMENT], ids=["daily", "at_payment"])
@pytest.mark.parametrize("loss", [0.9, 0.999, 1.0])
@pytest.mark.parametrize("days_left", [1, 10, 1000])
def test_a_note_close_to_certain_loss_still_has_a_price(terms: NoteTerms, loss: float, days_left: int) -> None:
    as_of = terms.maturity - timedelta(days=days_left)
    discount = discount_curve(as_of, PAR_YIELDS)

    def falling(times: FloatArray) -> FloatArray:
        return np.asarray(1 - loss * np.minimum(1, times / times[-1] * 2), dtype=np.float64)

    outstanding = outstanding_curve(terms, as_of, falling)
    value = value_note(terms, as_of, discount, outstanding, outstanding)
    assert value.dirty_price == pytest.approx(hand_price(terms, as_of, discount, outstanding), abs=1e-8)
    if days_left == 1:
        assert value.no_loss_yield is value.modified_duration is value.z_spread is None


def test_duration_and_convexity_match_bumped_promised_cash_flows() -> None:
    as_of = date(2026, 7, 5)
    discount, outstanding = discount_curve(as_of, PAR_YIELDS), curve_of(TERMS, as_of)
    value = value_note(TERMS, as_of, discount, outstanding, outstanding)

    def promised(rate: float) -> float:
        periods = TERMS.remaining(as_of)
        flows = [(p.payment_date, 100 * 0.11 * p.year_fraction) for p in periods] + [(periods[-1].payment_date, 100.0)]
        discounted = [amount / (1 + rate) ** ((day - as_of).days / 365) for day, amount in flows]
        return float(sum(discounted))

    y, h = known(value.no_loss_yield), 1e-4
    assert promised(y) == pytest.approx(value.dirty_price, abs=1e-6)
    slope = (promised(y + h) - promised(y - h)) / (2 * h)
    curvature = (promised(y + h) - 2 * promised(y) + promised(y - h)) / h**2
    assert value.modified_duration == pytest.approx(-slope / promised(y), rel=1e-6)
    assert value.convexity == pytest.approx(curvature / promised(y), rel=1e-5)


def test_a_flat_loss_rate_gives_itself_as_par_spread() -> None:
    discount = discount_curve(ISSUE, PAR_YIELDS)
    outstanding = outstanding_curve(TERMS, ISSUE, lambda t: np.exp(-0.03 * t))
    assert par_spread(TERMS, ISSUE, discount, outstanding) == pytest.approx(0.03 * 360 / 365 + 0.00016, rel=0.005)


@settings(deadline=None, max_examples=25)
@given(st.floats(0, 2), st.floats(0.001, 1), st.floats(0.0, 0.2), st.floats(0.001, 0.1))
def test_price_falls_in_lambda_and_rises_in_coupon(low: float, more: float, coupon: float, extra: float) -> None:
    discount = discount_curve(ISSUE, PAR_YIELDS)

    def price(market_price_of_risk: float, rate: float) -> float:
        outstanding = curve_of(TERMS, ISSUE, market_price_of_risk)
        terms = replace(TERMS, coupon_rate_annual=rate)
        return value_note(terms, ISSUE, discount, outstanding, outstanding).clean_price

    assert price(low + more, coupon) < price(low, coupon) < price(low, coupon + extra)


def test_implied_lambda_gives_back_the_one_that_made_the_price() -> None:
    discount = discount_curve(ISSUE, PAR_YIELDS)

    def price_at(market_price_of_risk: float) -> float:
        outstanding = curve_of(TERMS, ISSUE, market_price_of_risk)
        return value_note(TERMS, ISSUE, discount, outstanding, outstanding).clean_price

    assert implied_market_price_of_risk(price_at(0.6), price_at) == pytest.approx(0.6, abs=1e-8)
    with pytest.raises(Refusal) as refused:
        implied_market_price_of_risk(price_at(0.0) + 1, price_at)
    assert refused.value.code == "price_out_of_reach"
    slope = sensitivities(lambda p: price_at(p["lambda"]), {"lambda": 0.454}, {"lambda": 1e-4})["lambda"]
    assert slope == pytest.approx((price_at(0.455) - price_at(0.453)) / 0.002, rel=1e-4)
    assert slope < 0


def test_the_evaluation_date_is_restored_after_a_failure_and_when_nested() -> None:
    with evaluation_date(date(2025, 10, 10)):
        with pytest.raises(ZeroDivisionError), evaluation_date(date(2030, 1, 1)):
            raise ZeroDivisionError
        assert ql.Settings.instance().evaluationDate == ql.Date(10, 10, 2025)


def test_a_second_thread_waits_for_the_evaluation_date() -> None:
    seen: list[ql.Date] = []

    def price_elsewhere() -> None:
        with evaluation_date(date(2030, 1, 1)):
            seen.append(ql.Settings.instance().evaluationDate)

    with evaluation_date(ISSUE):
        other = threading.Thread(target=price_elsewhere)
        other.start()
        other.join(timeout=0.2)
        assert seen == []
        assert ql.Settings.instance().evaluationDate == ql.Date(6, 10, 2025)
    other.join(timeout=5)
    assert seen == [ql.Date(1, 1, 2030)]


def test_quantlib_reproduces_its_published_mid_point_cds_value() -> None:
    """Protection sold on 10,000 at 120 bp, hazard 1.234%, flat 6%, recovery 40%: the value of QuantLib's own tests."""
    with evaluation_date(date(2006, 6, 9)):
        calendar, today = ql.TARGET(), ql.Date(9, 6, 2006)
        hazard = ql.FlatHazardRate(today, ql.QuoteHandle(ql.SimpleQuote(0.01234)), ql.Actual360())
        discount = ql.FlatForward(today, 0.06, ql.Actual360())
        issue = calendar.advance(today, -1, ql.Years)
        maturity = calendar.advance(issue, 10, ql.Years)
        schedule = ql.Schedule(
            issue,
            maturity,
            ql.Period(ql.Semiannual),
            calendar,
            ql.ModifiedFollowing,
            ql.ModifiedFollowing,
            ql.DateGeneration.Forward,
            False,
        )
        swap = ql.CreditDefaultSwap(
            ql.Protection.Seller, 10000.0, 0.0120, schedule, ql.ModifiedFollowing, ql.Actual360(), True, True
        )
        swap.setPricingEngine(
            ql.MidPointCdsEngine(
                ql.DefaultProbabilityTermStructureHandle(hazard), 0.4, ql.YieldTermStructureHandle(discount)
            )
        )
        assert swap.NPV() == pytest.approx(295.0153398, abs=1e-7)
