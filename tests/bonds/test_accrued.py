"""What a class has earned and no coupon has paid."""

from datetime import timedelta

import pytest

from bonds.models import CouponRun, Series
from bonds.portal import queries
from bonds.servicing import coupons
from intermediary import clock
from intermediary.models import Cell
from tests.bonds import serviced_world as life

pytestmark = pytest.mark.world(build=life.serviced)


def test_what_a_coupon_has_paid_is_accrued_no_more(rolled_back_world: tuple[list[Cell], Series]) -> None:
    _, series = rolled_back_world
    run = CouponRun.objects.order_by("number")[0]
    for day in (run.payment_date - coupons.CHARGED_AHEAD, run.payment_date):
        life.live_to_day(day)
        life.serve()
        life.serve()
    run.refresh_from_db()
    assert run.state == CouponRun.State.PAID
    assert queries.classes_of(series)[0].accrued_base_units == 0
    life.live_to_day(clock.now().date() + timedelta(days=1))
    days = (run.accrual_end - run.accrual_start).days
    assert queries.classes_of(series)[0].accrued_base_units == run.amount_base_units // days
