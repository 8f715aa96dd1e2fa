"""What the chain did while the platform was down counts from the day of its block, in rows, coupons and statements."""

from datetime import UTC, datetime, time, timedelta

import pytest

from bonds.models import CouponRun, Series, SeriesEvent, SliceAct
from bonds.portal import statements
from bonds.pricing.coupons import DatedBalance, coupon_base_units_round_down
from bonds.servicing import coupons, due, write_downs
from bonds.servicing.account import Kind
from bonds.servicing.outstanding import balances_of
from intermediary import clock
from intermediary.errors import Refusal
from intermediary.models import Cell, Party
from intermediary.outbox import Place
from tests.bonds import serviced_world as life
from tests.bonds import world
from tests.bonds.world import MILLION

pytestmark = pytest.mark.world(build=life.serviced)


@pytest.fixture
def run(series: Series) -> CouponRun:
    return CouponRun.objects.get(tranche__series=series, number=1)


def sent_before_the_outage(cell: Cell, run: CouponRun) -> datetime:
    """Two and a half million are written down forty days before the coupon's end: the call goes out, and from then on
    nobody here looks. The time of its block, the last second of that day."""
    life.live_to_day(run.accrual_end - timedelta(days=40))
    write_downs.on_loss_determined(world.determine(world.notice(cell), 4 * MILLION))
    world.settle()
    life.live_until(clock.now() + timedelta(hours=2))
    assert write_downs.due(clock.now()) == 1
    return datetime.combine(clock.now().date(), time(23, 59, 59), UTC)


def test_a_write_down_noticed_late_counts_from_the_day_of_its_block(
    series: Series, cells: list[Cell], run: CouponRun
) -> None:
    block_time = sent_before_the_outage(cells[0], run)
    life.live_to_day(run.payment_date + timedelta(days=2))
    due.serve(clock.now())
    with pytest.raises(Refusal) as refused:
        coupons.pay(run.id)
    assert refused.value.code == "principal_on_its_way"
    assert refused.value.data == {"relationships": ["R1"], "amounts_base_units": [5 * MILLION // 2]}
    run.refresh_from_db()
    assert (run.state, run.amount_base_units) == (CouponRun.State.PLANNED, 0), "it waits to be told of the write-down"
    world.settle(Place(100, 3, block_time))
    act = SliceAct.objects.get()
    assert (act.state, act.done_at) == (SliceAct.State.DONE, block_time + timedelta(microseconds=3))
    life.serve()
    run.refresh_from_db()
    rate = run.tranche.coupon_rate_annual
    assert rate is not None
    fell = [DatedBalance(run.accrual_start, 12 * MILLION), DatedBalance(block_time.date(), 19 * MILLION // 2)]
    assert balances_of(run.tranche, run.accrual_start) == fell
    expected = coupon_base_units_round_down(run.accrual_start, run.accrual_end, fell, rate)
    assert (run.state, run.amount_base_units) == (CouponRun.State.PAID, expected)


def test_a_coupon_that_waits_for_a_write_down_ends_no_risk_period(
    series: Series, cells: list[Cell], run: CouponRun
) -> None:
    sent_before_the_outage(cells[0], run)
    life.live_to_day(run.payment_date + timedelta(days=10))
    due.serve(clock.now())
    series.refresh_from_db()
    assert series.risk_ended_at is None
    assert series.events.filter(kind=SeriesEvent.Kind.COUPON_UNPAID).exists(), "the holders are told that it is late"


def test_a_write_down_of_after_the_coupon_s_days_is_not_waited_for(
    series: Series, cells: list[Cell], run: CouponRun
) -> None:
    life.live_to_day(run.payment_date - coupons.CHARGED_AHEAD)
    life.serve()
    life.live_to_day(run.payment_date)
    write_downs.on_loss_determined(world.determine(world.notice(cells[0]), 4 * MILLION))
    world.settle()
    life.live_until(clock.now() + timedelta(hours=2))
    assert write_downs.due(clock.now()) == 1
    due.serve(clock.now())
    run.refresh_from_db()
    assert run.state == CouponRun.State.MOVING


def test_a_statement_shows_it_on_the_day_of_its_block(series: Series, cells: list[Cell], run: CouponRun) -> None:
    block_time = sent_before_the_outage(cells[0], run)
    life.live_to_day(run.payment_date + timedelta(days=2))
    world.settle(Place(100, 3, block_time))
    holder = Party.objects.get(code="a")
    day = datetime.combine(block_time.date(), time(), UTC)
    (of_class,) = statements.accounts_of(holder, day, day + statements.DAY)
    assert [line.kind for line in of_class.account.lines] == [Kind.WRITTEN_DOWN]
    assert of_class.account.closing_principal == 19 * MILLION // 2 // 3
