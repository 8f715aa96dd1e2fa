"""Coupons over a year: who pays them, who gets them, and what is refused. Every base unit has a payer and a place."""

from datetime import timedelta
from fractions import Fraction
from uuid import UUID

import pytest
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext

from bonds.models import (
    CouponPart,
    CouponPayment,
    CouponRun,
    Holding,
    Series,
    SeriesEvent,
    SlicePart,
    SpreadCharge,
)
from bonds.servicing import coupon_plan, coupons, due, early, locks, write_downs
from intermediary import clock
from intermediary.collateral import held_after_haircut
from intermediary.errors import Refusal
from intermediary.models import AccountKind, Cell, ChainInstruction, MarginState, Valuation
from tests.bonds import serviced_world as life
from tests.bonds import world
from tests.bonds.world import MILLION

pytestmark = pytest.mark.world(build=life.serviced)
FLOAT, INTEREST, COUPONS = AccountKind.FLOAT, AccountKind.INTEREST, AccountKind.COUPONS


def first(series: Series) -> CouponRun:
    return CouponRun.objects.get(tranche__series=series, number=1)


def paid(run: CouponRun) -> CouponRun:
    """The spread taken a month ahead, then the coupon on its day."""
    life.live_to_day(run.payment_date - coupons.CHARGED_AHEAD)
    life.serve()
    life.live_to_day(run.payment_date)
    life.serve()
    run.refresh_from_db()
    return run


def rate(series: Series) -> Fraction:
    found = world.only_tranche(series).coupon_rate_annual
    assert found is not None
    return Fraction(found)


def test_nothing_is_paid_before_its_day_nor_charged_before_its_month(series: Series, cells: list[Cell]) -> None:
    run = first(series)
    life.live_to_day(run.payment_date - coupons.CHARGED_AHEAD - timedelta(days=1))
    assert life.serve() == 0
    with pytest.raises(Refusal) as refusal:
        coupons.pay(run.id)
    assert refusal.value.code == "coupon_not_due"
    assert not SpreadCharge.objects.exists()
    assert not ChainInstruction.objects.filter(kind="COUPON").exists()


def test_coupon_is_every_day_s_principal_at_the_rate_and_each_part_has_its_payer(
    series: Series, cells: list[Cell]
) -> None:
    run = paid(first(series))
    exact = rate(series) * 12 * MILLION * (run.accrual_end - run.accrual_start).days / 360
    assert run.state == CouponRun.State.PAID
    assert run.amount_base_units == exact.numerator // exact.denominator
    spread = Fraction(world.only_tranche(series).spread_bps or 0, 10_000)
    share = spread * 6 * MILLION * (run.accrual_end - run.accrual_start).days / 360
    for cell in cells:
        part = CouponPart.objects.get(cell=cell)
        assert part.from_relationship_base_units == share.numerator // share.denominator
        assert life.balance(cell, COUPONS) == part.amount_base_units
        assert life.balance(cell, INTEREST) == 0
        assert life.balance(cell, FLOAT) == MILLION - part.from_house_base_units
        assert life.balance(cell, AccountKind.CLIENT_MARGIN) == MILLION - part.from_relationship_base_units
    assert run.from_collateral_base_units == 0
    assert run.amount_base_units == run.from_relationships_base_units + run.from_house_base_units


def test_holders_get_their_share_rounded_down(series: Series, cells: list[Cell]) -> None:
    run = paid(first(series))
    payments = list(CouponPayment.objects.filter(run=run))
    assert {payment.wallet_id for payment in payments} == set(Holding.objects.values_list("wallet_id", flat=True))
    for payment in payments:
        assert payment.amount_base_units == run.amount_base_units * payment.units // run.units
    left = run.amount_base_units - sum(payment.amount_base_units for payment in payments)
    assert 0 <= left < len(payments)
    assert series.events.filter(kind=SeriesEvent.Kind.COUPON_PAID).count() == 1


def test_every_step_may_come_twice(series: Series, cells: list[Cell]) -> None:
    run = first(series)
    life.live_to_day(run.payment_date)
    for _ in range(2):
        for item in series.slices.all():
            coupons.charge(slice_id=item.id, number=1)
    world.settle()
    for _ in range(2):
        coupons.pay(run.id)
    assert ChainInstruction.objects.filter(kind="COUPON").count() == 2
    world.settle()
    assert coupons.pay(run.id).state == CouponRun.State.PAID
    assert CouponPayment.objects.filter(run=run).count() == 3


def test_coupon_without_cash_is_refused_whole_and_changes_nothing(series: Series, cells: list[Cell]) -> None:
    run = first(series)
    for cell in cells:
        life.spend_float(cell)
    life.live_to_day(run.payment_date)
    with pytest.raises(Refusal) as refusal:
        coupons.pay(run.id)
    assert refusal.value.code == "coupon_not_funded"
    assert refusal.value.data["missing_base_units"] == refusal.value.data["amount_base_units"] > 0
    assert not CouponPart.objects.exists()
    assert not ChainInstruction.objects.filter(kind="COUPON").exists()
    run.refresh_from_db()
    assert (run.state, run.amount_base_units) == (CouponRun.State.PLANNED, 0)


def test_coupons_are_paid_in_their_order(series: Series, cells: list[Cell]) -> None:
    second = CouponRun.objects.get(tranche__series=series, number=2)
    life.live_to_day(second.payment_date)
    with pytest.raises(Refusal) as refusal:
        coupons.pay(second.id)
    assert refusal.value.code == "coupon_out_of_order"


def test_the_house_pays_what_a_relationship_has_not_free(series: Series, cells: list[Cell]) -> None:
    life.spend_margin(cells[0], MILLION - 1_000)
    run = paid(first(series))
    parts = {part.cell_id: part for part in CouponPart.objects.filter(run=run)}
    assert parts[cells[0].id].from_relationship_base_units == 1_000
    assert SpreadCharge.objects.get(cell=cells[0]).taken_base_units == 1_000
    assert SpreadCharge.objects.get(cell=cells[0]).due_base_units > 1_000
    assert parts[cells[1].id].from_relationship_base_units > 1_000
    assert run.state == CouponRun.State.PAID


@pytest.mark.parametrize("on_day", [1, 45])
def test_write_down_counts_from_its_own_day_and_asks_nobody_else_for_more(
    series: Series, cells: list[Cell], on_day: int
) -> None:
    run = first(series)
    life.live_to_day(run.accrual_start + timedelta(days=on_day))
    case = world.notice(cells[0])
    write_downs.on_loss_determined(world.determine(case, 4 * MILLION))
    world.settle()
    world.settle_challenges()
    assert world.outstanding(series)["R1"] == 7 * MILLION // 2
    paid(run)
    days = (run.accrual_end - run.accrual_start).days
    balance_days = 12 * MILLION * on_day + 19 * MILLION // 2 * (days - on_day)
    exact = rate(series) * balance_days / 360
    assert run.amount_base_units == exact.numerator // exact.denominator
    spread = Fraction(world.only_tranche(series).spread_bps or 0, 10_000) * 6 * MILLION * days / 360
    other = CouponPart.objects.get(run=run, cell=cells[1])
    assert other.from_relationship_base_units == spread.numerator // spread.denominator
    assert SpreadCharge.objects.get(cell=cells[0]).taken_base_units == 0, "its margin secures the close-out"


def test_shares_of_the_spread_follow_the_risk_and_never_exceed_it(series: Series, cells: list[Cell]) -> None:
    for part, share in zip(SlicePart.objects.order_by("slice__index"), ("0.75", "0.25"), strict=True):
        SlicePart.objects.filter(id=part.id).update(spread_share=share)
    run = paid(first(series))
    spread = Fraction(world.only_tranche(series).spread_bps or 0, 10_000)
    whole = spread * 12 * MILLION * (run.accrual_end - run.accrual_start).days / 360
    parts = [CouponPart.objects.get(run=run, cell=cell).from_relationship_base_units for cell in cells]
    assert parts == [int(whole * 3 / 4), int(whole / 4)]
    assert run.from_relationships_base_units <= whole


def test_figures_of_a_coupon_on_its_way_are_fixed_and_rows_of_holders_for_good(
    series: Series, cells: list[Cell]
) -> None:
    run = paid(first(series))
    with pytest.raises(DatabaseError, match="payment_is_fixed"), transaction.atomic():
        CouponRun.objects.filter(id=run.id).update(units=1)
    with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
        CouponPayment.objects.filter(run=run).update(amount_base_units=1)
    with pytest.raises(DatabaseError, match="transition_not_listed"), transaction.atomic():
        CouponRun.objects.filter(id=run.id).update(state=CouponRun.State.PLANNED)


def test_part_of_a_coupon_cannot_name_another_relationship(series: Series, cells: list[Cell]) -> None:
    run = paid(first(series))
    part = CouponPart.objects.get(run=run, cell=cells[0])
    of_another = ChainInstruction.objects.get(cell=cells[1], kind="DEBIT")
    with pytest.raises(DatabaseError, match="same_cell"), transaction.atomic():
        CouponPart.objects.create(
            run=CouponRun.objects.get(tranche=run.tranche, number=2),
            slice=part.slice,
            cell=cells[1],
            amount_base_units=1,
            from_relationship_base_units=1,
            from_house_base_units=0,
            movement=of_another,
        )


def test_unpaid_past_its_grace_ends_the_risk_period(series: Series, cells: list[Cell]) -> None:
    run = first(series)
    for cell in cells:
        life.spend_float(cell)
        life.spend_margin(cell, MILLION)
    life.live_to_day(run.payment_date + timedelta(days=1))
    life.serve()
    series.refresh_from_db()
    assert series.state == Series.State.ON_RISK
    assert series.events.filter(kind=SeriesEvent.Kind.COUPON_UNPAID).count() == 1
    life.live_to_day(run.payment_date + timedelta(days=6))
    for _ in range(2):
        life.serve()
    series.refresh_from_db()
    assert series.state == Series.State.REDEEMED
    assert series.risk_ended_at == clock.now()
    assert world.outstanding(series) == {"R1": 0, "R2": 0}
    left = CouponRun.objects.filter(tranche__series=series).values_list("state", flat=True)
    assert list(left) == ["PLANNED", "PLANNED", "CANCELLED", "CANCELLED"]
    with pytest.raises(DatabaseError, match="risk_period_ends_once"), transaction.atomic():
        Series.objects.filter(id=series.id).update(risk_ended_at=None)


def ended_early(series: Series, days_before_payment: int, number: int = 1) -> None:
    """The risk period ends so many days before a coupon, and everything is settled."""
    run = CouponRun.objects.get(tranche__series=series, number=number)
    life.live_to_day(run.payment_date - timedelta(days=days_before_payment))
    with transaction.atomic():
        early.end_risk(locks.lock_whole(series.id), "Clean-up call")
    for _ in range(3):
        life.serve()


def test_coupon_of_an_early_end_waits_for_its_spread_and_the_client_is_charged_for_what_it_pays(
    series: Series, cells: list[Cell]
) -> None:
    ended_early(series, 60)
    run = first(series)
    assert run.state == CouponRun.State.PAID
    assert run.from_relationships_base_units > 0, "the spread was on its way when the coupon fell due"
    for cell in cells:
        part = CouponPart.objects.get(cell=cell)
        assert life.balance(cell, INTEREST) == 0
        assert life.balance(cell, AccountKind.CLIENT_MARGIN) == MILLION - part.from_relationship_base_units


def test_coupon_waits_for_its_spread_on_its_day_only(series: Series, cells: list[Cell]) -> None:
    run = first(series)
    life.live_to_day(run.payment_date)
    due.serve(clock.now())
    with transaction.atomic(), pytest.raises(Refusal) as refusal:
        coupons.pay(run.id)
    assert refusal.value.code == "spread_on_its_way"
    assert refusal.value.data["in_transit_base_units"] > 0
    life.live_to_day(run.payment_date + timedelta(days=1))
    due.serve(clock.now())
    run.refresh_from_db()
    assert run.state == CouponRun.State.MOVING
    assert run.from_relationships_base_units == 0, "the house pays, and what is late is for the next coupon"


def test_spread_that_no_coupon_uses_goes_back_once(series: Series, cells: list[Cell]) -> None:
    run = first(series)
    life.live_to_day(run.payment_date - coupons.CHARGED_AHEAD)
    life.serve()
    taken = {charge.cell_id: charge.taken_base_units for charge in SpreadCharge.objects.all()}
    ended_early(series, 20)
    assert life.serve() == 0, "nothing goes back twice"
    for cell in cells:
        used = CouponPart.objects.get(cell=cell).from_relationship_base_units
        assert 0 < used < taken[cell.id]
        assert life.balance(cell, INTEREST) == 0
        assert life.balance(cell, AccountKind.CLIENT_MARGIN) == MILLION - used


def test_spread_that_goes_back_is_margin_at_once(series: Series, cells: list[Cell]) -> None:
    run = first(series)
    life.live_to_day(run.payment_date - coupons.CHARGED_AHEAD)
    life.serve()
    CouponRun.objects.filter(tranche__series=series).update(state=CouponRun.State.CANCELLED)
    valuation = Valuation.objects.create(as_of=clock.now(), prices={}, snapshot_id="1")
    for cell in cells:
        MarginState.objects.create(
            cell=cell,
            valuation=valuation,
            exposure_base_units=0,
            independent_amount_base_units=0,
            threshold_base_units=0,
            required_base_units=0,
            held_base_units=held_after_haircut(cell.id, valuation.id),
            ruleset_hash="0" * 64,
            breakdown={},
            admission={},
        )
    for cell in cells:
        before, item = MarginState.objects.get(cell=cell).held_base_units, series.slices.get(cell=cell)
        made = coupons.give_back(item.id)
        assert made is not None
        assert coupons.give_back(item.id) is None
        after = MarginState.objects.get(cell=cell).held_base_units
        assert after == before + made.amount_base_units == held_after_haircut(cell.id, valuation.id) > before


def test_float_of_all_relationships_is_read_under_the_house_s_lock(series: Series, cells: list[Cell]) -> None:
    run, house = first(series), Cell.objects.get(kind=Cell.Kind.HOUSE)
    life.live_to_day(run.payment_date + timedelta(days=1))
    with CaptureQueriesContext(connection) as queries:
        coupons.pay(run.id)
    locked = [one["sql"] for one in queries if "FOR " in one["sql"] and "intermediary_cell" in one["sql"]]
    assert any(str(house.id) in sql or house.id.hex in sql for sql in locked)


def test_a_series_that_cannot_be_planned_keeps_no_other_from_its_coupons(
    series: Series, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(series_id: UUID) -> int:
        raise ValueError("no curve")

    monkeypatch.setattr(coupon_plan, "unplanned", lambda: [series.id])
    monkeypatch.setattr(coupon_plan, "plan", broken)
    life.live_to_day(first(series).payment_date - coupons.CHARGED_AHEAD)
    assert due.step() > 0
    assert SpreadCharge.objects.exists()
