"""A floating coupon is each day's rate of the official valuations, simple; price and accrued interest know them."""

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import pytest

from bonds.marking import prices
from bonds.models import CouponRun, Series
from bonds.portal import queries
from bonds.servicing import coupons, overnight
from intermediary import clock
from intermediary.errors import Refusal
from risk.market.parameters import load_parameters
from tests.bonds import serviced_world as life
from tests.bonds import world
from tests.bonds.world import MILLION

pytestmark = pytest.mark.world(build=life.floating)
BASE = load_parameters().rates
DEARER = tuple((days, rate + Decimal("0.0050")) for days, rate in BASE)


def test_a_day_has_the_rate_of_its_last_official_valuation_or_of_the_last_one_before(series: Series) -> None:
    first = series.issue_date
    life.valued(first, DEARER, hour=9)
    life.valued(first, BASE)
    life.valued(first + timedelta(days=1), DEARER, official=False)
    life.valued(first + timedelta(days=3), DEARER)
    found = overnight.rates_of_days(first - timedelta(days=1), first + timedelta(days=5))
    assert [found.get(first + timedelta(days=count)) for count in range(-1, 5)] == [
        None, *[life.paid_of(BASE)] * 3, *[life.paid_of(DEARER)] * 2,
    ]  # fmt: skip


def test_a_day_without_a_rate_pays_nothing_on_a_guess_and_its_accrued_interest_is_unknown(series: Series) -> None:
    run = CouponRun.objects.order_by("number")[0]
    life.live_to_day(run.accrual_start + timedelta(days=2))
    with pytest.raises(Refusal) as refusal:
        overnight.steps(series, run.accrual_start, run.accrual_end)
    assert refusal.value.code == "no_overnight_rate"
    assert queries.classes_of(series)[0].accrued_base_units is None


def test_what_a_page_says_is_accrued_is_what_the_coupon_pays(series: Series) -> None:
    run, note = CouponRun.objects.order_by("number")[0], world.only_tranche(series)
    life.valued(run.accrual_start, BASE)
    life.valued(run.accrual_start + timedelta(days=30), DEARER)
    spread = Fraction(note.spread_bps or 0, 10_000)
    life.live_to_day(run.accrual_start + timedelta(days=40))
    expected = 12 * MILLION * (40 * spread + 30 * life.paid_of(BASE) + 10 * life.paid_of(DEARER)) / 360
    assert queries.classes_of(series)[0].accrued_base_units == int(expected)
    for day in (run.payment_date - coupons.CHARGED_AHEAD, run.payment_date):
        life.live_to_day(day)
        if day == run.payment_date:
            said = queries.classes_of(series)[0].accrued_base_units
        life.serve()
        life.serve()
    run.refresh_from_db()
    days = (run.accrual_end - run.accrual_start).days
    whole = 12 * MILLION * (days * spread + 30 * life.paid_of(BASE) + (days - 30) * life.paid_of(DEARER)) / 360
    assert run.state == CouponRun.State.PAID
    assert run.amount_base_units == said == int(whole)


def test_a_mark_takes_the_rates_of_days_gone_from_the_valuations(series: Series) -> None:
    start = series.issue_date
    life.valued(start, BASE)
    life.valued(start + timedelta(days=10), DEARER)
    known = prices.fixings_of(series, start + timedelta(days=12)).rates
    assert len(known) == 12
    assert (known[start], known[start + timedelta(days=11)]) == (float(life.paid_of(BASE)), float(life.paid_of(DEARER)))
    assert not prices.fixings_of(series, start).rates
    assert clock.now().date() == start
