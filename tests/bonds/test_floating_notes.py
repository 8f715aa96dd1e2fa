"""A floating note's price equals hand-made cash flows as servicing pays them, each day's and simple, and QuantLib's."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from bonds.pricing.curves import OutstandingCurve
from bonds.pricing.floating import NOTHING_RECORDED, Fixings, overnight_rates
from bonds.pricing.measures import FearedWang, SliceCurve, expected_outstanding, layer_quadrature
from bonds.pricing.notes import NoteTerms, clean_price, outstanding_curve, par_spread, value_note
from intermediary.errors import Refusal
from risk.market.curve import DiscountCurve, discount_curve
from risk.market.quantlib import is_business_day

ISSUE = date(2023, 12, 15)  # its periods see a year end, a leap day and weekends
TERMS = NoteTerms(ISSUE, date(2026, 12, 15), 0.085, coupon_kind="SOFR")
AT_PAYMENT = replace(TERMS, coupon_accrual="at_payment")
PAR_YIELDS = {1: 0.0419, 3: 0.0402, 6: 0.0381, 12: 0.0360, 24: 0.0352, 60: 0.0365}
X, WEIGHTS = layer_quadrature(0.25, 0.60)
LAYER = SliceCurve(1.0, 0.0045 * np.exp(-1.5 * X), WEIGHTS)
# At issue, inside a period, on the leap day, on a Saturday, at a year's end, on a payment date, and on the last day.
DAYS = [
    ISSUE,
    date(2024, 1, 10),
    date(2024, 2, 29),
    date(2024, 6, 29),
    date(2024, 12, 31),
    date(2025, 3, 17),
    date(2026, 12, 14),
]


def rate_on(day: date) -> float:
    return 0.05 + 0.0001 * (day.toordinal() % 37)


def recorded(until: date) -> Fixings:
    """Every business day's rate from before the issue on, known the day after."""
    days = [ISSUE - timedelta(days=10) + timedelta(days=count) for count in range((until - ISSUE).days + 10)]
    return Fixings({day: rate_on(day) for day in days if is_business_day(day)})


def curve_of(terms: NoteTerms, as_of: date) -> OutstandingCurve:
    return outstanding_curve(terms, as_of, lambda t: expected_outstanding([LAYER], FearedWang(0.4, 0.01), t))


def between(day: date, dates: tuple[date, ...], values: tuple[float, ...]) -> float:
    return float(np.interp(day.toordinal(), [one.toordinal() for one in dates], values))


def hand_rate(day: date, as_of: date, discount: DiscountCurve) -> float:
    """A day's own rate: the last one known, or for a day to come what a dollar grows to over that one day."""

    def factor(on: date) -> float:
        return float(np.exp(between(on, discount.dates, tuple(np.log(discount.factors)))))

    fixed_on = day
    while not is_business_day(fixed_on):
        fixed_on -= timedelta(days=1)
    return rate_on(fixed_on) if day < as_of else (factor(day) / factor(day + timedelta(days=1)) - 1) * 360


def hand_price(terms: NoteTerms, as_of: date, discount: DiscountCurve, outstanding: OutstandingCurve) -> float:
    """Each day's rate and the spread on that day's principal (or on that of the payment), never on interest."""
    total = 0.0
    periods = terms.remaining(as_of)
    for period in periods:
        paid, day, earned = period.payment_date, period.accrual_start, 0.0
        end_share = between(paid, outstanding.dates, outstanding.shares)
        while day < period.accrual_end:
            daily = 1.0 if day < as_of else between(day, outstanding.dates, outstanding.shares)
            principal = daily if terms.coupon_accrual == "daily" else end_share
            earned += (terms.coupon_rate_annual + hand_rate(day, as_of, discount)) * principal / 360
            day += timedelta(days=1)
        flow = 100 * earned + (100 * end_share if paid == periods[-1].payment_date else 0.0)
        total += flow * float(np.exp(between(paid, discount.dates, tuple(np.log(discount.factors)))))
    return total


@pytest.mark.parametrize("terms", [TERMS, AT_PAYMENT], ids=["daily", "at_payment"])
@pytest.mark.parametrize("as_of", DAYS, ids=str)
def test_price_equals_hand_cash_flows_and_quantlib(terms: NoteTerms, as_of: date) -> None:
    """ "daily" is priced by our own flows, "at_payment" by QuantLib's OvernightLeg of simple averages and its Bond."""
    discount, outstanding, fixings = discount_curve(as_of, PAR_YIELDS), curve_of(terms, as_of), recorded(as_of)
    value = value_note(terms, as_of, discount, outstanding, outstanding, fixings)
    assert value.dirty_price == pytest.approx(hand_price(terms, as_of, discount, outstanding), abs=1e-8)
    assert value.clean_price == pytest.approx(value.dirty_price - value.accrued, abs=1e-12)
    if terms.coupon_accrual == "daily":
        assert clean_price(terms, as_of, discount, outstanding, fixings) == pytest.approx(value.clean_price, abs=1e-12)


@pytest.mark.parametrize("terms", [TERMS, AT_PAYMENT], ids=["daily", "at_payment"])
def test_a_note_that_begins_on_a_sunday_earns_the_friday_before(terms: NoteTerms) -> None:
    terms = replace(terms, issue=date(2023, 12, 17))
    as_of = date(2024, 1, 10)
    discount, outstanding = discount_curve(as_of, PAR_YIELDS), curve_of(terms, as_of)
    value = value_note(terms, as_of, discount, outstanding, outstanding, recorded(as_of))
    assert value.dirty_price == pytest.approx(hand_price(terms, as_of, discount, outstanding), abs=1e-8)


def test_accrued_is_what_the_days_gone_have_earned_each_at_its_own_rate() -> None:
    as_of = date(2024, 1, 10)
    discount, outstanding = discount_curve(as_of, PAR_YIELDS), curve_of(TERMS, as_of)
    value = value_note(TERMS, as_of, discount, outstanding, outstanding, recorded(as_of))
    days = [ISSUE + timedelta(days=count) for count in range((as_of - ISSUE).days)]
    by_hand = sum(TERMS.coupon_rate_annual + hand_rate(day, as_of, discount) for day in days) * 100 / 360
    assert value.accrued == pytest.approx(by_hand, abs=1e-10)


def test_interest_is_not_compounded_which_a_quarter_at_four_percent_makes_two_basis_points_a_year() -> None:
    flat = DiscountCurve(ISSUE, (ISSUE, date(2028, 1, 3)), (1.0, 1.04 ** -((date(2028, 1, 3) - ISSUE).days / 365)))
    sure = outstanding_curve(TERMS, ISSUE, np.ones_like)
    assert 1e4 * par_spread(TERMS, ISSUE, flat, sure) == pytest.approx(1.9, abs=0.1)


@pytest.mark.parametrize("terms", [TERMS, AT_PAYMENT], ids=["daily", "at_payment"])
def test_at_the_par_spread_the_price_is_100_and_the_discount_margin_is_the_spread_that_no_loss_would_need(
    terms: NoteTerms,
) -> None:
    discount, outstanding = discount_curve(ISSUE, PAR_YIELDS), curve_of(terms, ISSUE)
    at_par = replace(terms, coupon_rate_annual=par_spread(terms, ISSUE, discount, outstanding))
    value = value_note(at_par, ISSUE, discount, outstanding, outstanding)
    assert value.clean_price == pytest.approx(100, abs=1e-9)
    assert value.discount_margin == pytest.approx(at_par.coupon_rate_annual, abs=1e-9)


def test_a_fixed_note_has_no_discount_margin() -> None:
    terms = replace(TERMS, coupon_kind="FIXED")
    discount, outstanding = discount_curve(ISSUE, PAR_YIELDS), curve_of(terms, ISSUE)
    assert value_note(terms, ISSUE, discount, outstanding, outstanding).discount_margin is None


def test_rates_that_are_not_out_yet_are_the_last_known_and_a_longer_hole_is_refused() -> None:
    as_of = date(2024, 1, 17)
    discount, plan = discount_curve(as_of, PAR_YIELDS), TERMS.plan(as_of)
    days = {day: rate for day, rate in recorded(as_of).rates.items() if day != date(2024, 1, 16)}
    filled = days | {date(2024, 1, 16): days[date(2024, 1, 12)]}
    late, known = (overnight_rates(plan, discount, Fixings(rates)) for rates in (days, filled))
    assert late.gone[0] == pytest.approx(known.gone[0], abs=1e-15)
    with pytest.raises(Refusal) as refused:
        old = {day: rate for day, rate in days.items() if day < date(2024, 1, 5)}
        overnight_rates(plan, discount, Fixings(old))
    assert refused.value.code == "fixings.missing"


def test_without_a_recording_days_gone_count_at_the_first_rate_of_the_curve() -> None:
    as_of = date(2024, 1, 10)
    discount = discount_curve(as_of, PAR_YIELDS)
    first = (1 / discount.factor(as_of + timedelta(days=1)) - 1) * 360
    flat = Fixings({ISSUE + timedelta(days=count): first for count in range(30)})
    plan = TERMS.plan(as_of)
    found, given = (overnight_rates(plan, discount, fixings) for fixings in (NOTHING_RECORDED, flat))
    np.testing.assert_allclose(found.gone, given.gone, atol=1e-12)
