"""The end of a series: repaid, extended for what is open, ended at the final maturity; late recoveries arrive."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import Sum

from bonds.models import (
    CouponPart,
    CouponRun,
    HolderNotice,
    Redemption,
    Reserve,
    Series,
    SeriesEvent,
    SliceAct,
    SliceMark,
    SlicePart,
)
from bonds.offering import stages
from bonds.offering.isin import with_check_digit
from bonds.offering.terms import ClassTerms
from bonds.servicing import arrivals, early, maturity, reserves, write_downs
from intermediary import clock, events, ledger
from intermediary.errors import Refusal
from intermediary.models import AccountKind, Cell, ChainInstruction, DefaultCase, Layer, Valuation
from tests.bonds import serviced_world as life
from tests.bonds import world
from tests.bonds.note_model import break_of
from tests.bonds.world import MILLION
from tests.people import person

pytestmark = pytest.mark.world(build=life.serviced)
State = Series.State


def state(series: Series) -> Series.State:
    series.refresh_from_db()
    return Series.State(series.state)


def to_maturity(series: Series, *, coupons: bool = False) -> None:
    """Past the last coupon's day; every coupon is paid in its order, or none is of interest."""
    runs = CouponRun.objects.filter(tranche__series=series)
    last = runs.order_by("-number")[0].payment_date
    if not coupons:
        runs.filter(state=CouponRun.State.PLANNED).update(state=CouponRun.State.CANCELLED)
    life.live_to_day(max(last, series.scheduled_maturity))
    for _ in range(6 if coupons else 2):
        life.serve()


def defaulted(cell: Cell, before_end: timedelta, series: Series) -> DefaultCase:
    """A notice inside the risk period."""
    life.live_until(series.risk_until - before_end)
    return world.notice(cell)


def estimated(cell: Cell, loss_base_units: int) -> None:
    """An official valuation's mark of the open default."""
    valuation = Valuation.objects.create(as_of=clock.now(), prices={}, snapshot_id=f"{clock.now():%Y%m%d%H%M}")
    SliceMark.objects.create(
        slice=cell.bond_slices.get(),
        valuation=valuation,
        expected_loss=1.0,
        probability_first_loss=1.0,
        probability_last_loss=1.0,
        loss_now_base_units=loss_base_units,
        basis="ESTIMATE",
    )


def assert_all_accounted_for(series: Series) -> None:
    """B8, and the ledger: principal lies in escrow, what was repaid is owed to the holders."""
    for part in SlicePart.objects.filter(slice__series=series).select_related("slice__cell"):
        assert break_of(part.state) == 0
        assert life.balance(part.slice.cell, AccountKind.ESCROW) == part.outstanding_base_units
        owed = CouponPart.objects.filter(cell=part.slice.cell).aggregate(total=Sum("amount_base_units"))["total"] or 0
        assert life.balance(part.slice.cell, AccountKind.COUPONS) == owed + part.redeemed_base_units


@pytest.mark.parametrize(
    "change",
    [
        {"outstanding_base_units": 7 * MILLION},
        {"outstanding_base_units": 7 * MILLION, "redeemed_base_units": -MILLION},
        {"outstanding_base_units": -MILLION, "redeemed_base_units": 7 * MILLION},
        {"written_down_base_units": 1},
        {"outstanding_base_units": 6 * MILLION + 1, "written_up_base_units": 1},
        {"redeemed_base_units": 1},
    ],
)
def test_the_database_refuses_principal_that_does_not_add_up(series: Series, change: dict[str, int]) -> None:
    parts = SlicePart.objects.filter(slice__series=series)
    before = list(parts.order_by("id").values())
    with pytest.raises(IntegrityError, match="principal_is_accounted_for"), transaction.atomic():
        parts.update(**change)
    assert list(parts.order_by("id").values()) == before


def test_nothing_is_repaid_inside_the_risk_period(series: Series, cells: list[Cell]) -> None:
    life.live_until(series.risk_until - timedelta(seconds=1))
    with pytest.raises(Refusal) as refusal:
        maturity.review(series.id)
    assert refusal.value.code == "not_mature"
    assert not Redemption.objects.exists()


def test_series_without_event_is_repaid_whole_and_covers_nobody_any_more(series: Series, cells: list[Cell]) -> None:
    to_maturity(series, coupons=True)
    assert state(series) == State.REDEEMED
    assert world.outstanding(series) == {"R1": 0, "R2": 0}
    assert {run.state for run in CouponRun.objects.all()} == {CouponRun.State.PAID}
    assert not Layer.objects.filter(kind=Layer.Kind.TAIL, funded=True).exists()
    kinds = Counter(series.events.values_list("kind", flat=True))
    assert (kinds["COUPON_PAID"], kinds["MATURED"], kinds["REPAID"], kinds["REDEEMED"]) == (4, 1, 2, 1)
    assert HolderNotice.objects.filter(kind=SeriesEvent.Kind.REDEEMED).count() == 3
    assert_all_accounted_for(series)


def test_tail_ends_with_its_principal_though_a_default_was_noticed_and_cured(series: Series, cells: list[Cell]) -> None:
    case = defaulted(cells[0], timedelta(days=100), series)
    case.state = DefaultCase.State.CURED
    case.save()
    write_downs.due(clock.now())
    to_maturity(series)
    assert state(series) == State.REDEEMED
    assert not Layer.objects.filter(kind=Layer.Kind.TAIL, funded=True).exists()


def test_unknown_loss_keeps_its_whole_slice_and_no_other(series: Series, cells: list[Cell]) -> None:
    defaulted(cells[0], timedelta(days=30), series)
    to_maturity(series)
    assert state(series) == State.EXTENDED
    assert world.outstanding(series) == {"R1": 6 * MILLION, "R2": 0}
    assert Reserve.objects.get(cell=cells[0]).basis == "UNKNOWN"
    assert_all_accounted_for(series)


@pytest.mark.parametrize(("months", "factor"), [(1, "1.5"), (4, "1.25"), (7, "1")])
def test_estimate_keeps_the_terms_factor_of_it(series: Series, cells: list[Cell], months: int, factor: str) -> None:
    defaulted(cells[0], timedelta(days=31 * months), series)
    estimated(cells[0], 3 * MILLION)
    to_maturity(series)
    kept = int(Decimal(factor) * 3 * MILLION) - 3 * MILLION // 2  # beyond the attachment point
    review = Reserve.objects.get(cell=cells[0])
    assert (review.reserved_base_units, review.released_base_units) == (kept, 6 * MILLION - kept)
    assert world.outstanding(series) == {"R1": kept, "R2": 0}
    assert state(series) == State.EXTENDED


def test_reserve_is_released_as_the_factor_falls_and_by_the_determination(series: Series, cells: list[Cell]) -> None:
    case = defaulted(cells[0], timedelta(days=30), series)
    estimated(cells[0], 3 * MILLION)
    to_maturity(series)
    assert world.outstanding(series)["R1"] == 3 * MILLION
    estimated(cells[0], 2 * MILLION)
    life.serve()
    assert world.outstanding(series)["R1"] == 3 * MILLION, "an estimate alone releases nothing before its step"
    life.live_until(case.noticed_at + timedelta(days=95))
    life.serve()
    assert world.outstanding(series)["R1"] == MILLION, "1.25 x 2m - 1.5m"
    write_downs.on_loss_determined(world.determine(case, 2 * MILLION))
    world.settle()
    assert state(series) == State.EXTENDED
    life.live_until(clock.now() + timedelta(hours=2))
    world.settle_challenges()
    for _ in range(3):
        life.serve()
    assert world.outstanding(series)["R1"] == 0
    part = SlicePart.objects.get(slice__relationship="R1")
    assert (part.written_down_base_units, part.redeemed_base_units) == (MILLION // 2, 11 * MILLION // 2)
    assert state(series) == State.MATURED, "half a million of recovery rights live on"
    for review in Reserve.objects.all():
        assert review.reserved_base_units + review.released_base_units == review.outstanding_base_units
    assert_all_accounted_for(series)


def test_what_a_loss_takes_beyond_the_reserve_is_the_intermediary_s(series: Series, cells: list[Cell]) -> None:
    case = defaulted(cells[0], timedelta(days=30), series)
    estimated(cells[0], 2 * MILLION)
    to_maturity(series)
    kept = 3 * MILLION // 2  # 1.5 x 2m - 1.5m
    assert world.outstanding(series)["R1"] == kept
    write_downs.on_loss_determined(world.determine(case, 5 * MILLION))
    world.settle()
    assert borne(cells[0]) == 2 * MILLION, "of 3.5m that the notes would have lost, 1.5m is left to lose"
    write_downs.bring_to_loss(slice_id=series.slices.get(relationship="R1").id)
    assert borne(cells[0]) == 2 * MILLION, "once"
    world.settle_challenges(timedelta(days=3))
    life.serve()
    part = SlicePart.objects.get(slice__relationship="R1")
    assert (part.outstanding_base_units, part.written_down_base_units) == (0, kept)
    case.refresh_from_db()
    write_downs.on_recovery_received(world.recover(case, MILLION))
    assert borne(cells[0]) == MILLION, "a recovery lowers it first: it lies above what the notes lost"
    assert borne(cells[1]) == 0
    said = SeriesEvent.objects.filter(series=series, text__contains="the intermediary bears the rest")
    assert [one.data["amount_base_units"] for one in said.order_by("id")] == [str(2 * MILLION), str(MILLION)]
    assert_all_accounted_for(series)


def borne(cell: Cell) -> int:
    return ledger.balance(cell.id, AccountKind.LOSS, "USDC")


def test_determination_at_maturity_keeps_what_the_challenge_will_take(series: Series, cells: list[Cell]) -> None:
    case = defaulted(cells[0], timedelta(hours=1), series)
    write_downs.on_loss_determined(world.determine(case, 4 * MILLION))
    world.settle()
    assert SliceAct.objects.get().state == SliceAct.State.CHALLENGE
    to_maturity(series)
    assert world.outstanding(series) == {"R1": 5 * MILLION // 2, "R2": 0}
    assert state(series) == State.EXTENDED
    world.settle_challenges(timedelta(days=3))
    life.serve()
    assert state(series) == State.MATURED
    assert_all_accounted_for(series)


def test_default_after_the_risk_period_keeps_and_writes_down_nothing(series: Series, cells: list[Cell]) -> None:
    life.live_until(series.risk_until + timedelta(minutes=1))
    case = world.notice(cells[0])
    write_downs.on_loss_determined(world.determine(case, 4 * MILLION))
    to_maturity(series)
    assert state(series) == State.REDEEMED
    assert not SliceAct.objects.exists()
    with pytest.raises(DatabaseError, match="events_of_the_risk_period_only"), transaction.atomic():
        SliceAct.objects.create(
            slice=cells[0].bond_slices.get(),
            cell=cells[0],
            kind="WRITE_DOWN",
            state="NOTICED",
            amount_base_units=1,
            by_tranche={},
            net_loss_base_units=4 * MILLION,
            evidence="0",
        )
        with transaction.get_connection().cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def test_final_maturity_ends_it_whatever_is_open_and_no_loss_comes_after(series: Series, cells: list[Cell]) -> None:
    case = defaulted(cells[0], timedelta(days=30), series)
    to_maturity(series)
    life.live_until(datetime.combine(series.final_maturity, time(), UTC) + timedelta(days=1))
    life.serve()
    assert state(series) == State.REDEEMED
    assert Reserve.objects.filter(cell=cells[0]).order_by("-id")[0].basis == "FINAL"
    write_downs.on_loss_determined(world.determine(case, 4 * MILLION))
    assert not SliceAct.objects.exists()


def test_late_recovery_after_maturity_reaches_the_holders_at_once(series: Series, cells: list[Cell]) -> None:
    case = defaulted(cells[0], timedelta(days=90), series)
    write_downs.on_loss_determined(world.determine(case, 4 * MILLION))
    world.settle()
    world.settle_challenges()
    to_maturity(series)
    assert state(series) == State.MATURED
    owed = life.balance(cells[0], AccountKind.COUPONS)
    write_downs.on_recovery_received(world.recover(case, MILLION))
    world.settle()
    world.settle()
    part = SlicePart.objects.get(slice__relationship="R1")
    assert (part.outstanding_base_units, part.written_up_base_units) == (0, MILLION)
    assert life.balance(cells[0], AccountKind.COUPONS) == owed + MILLION
    assert state(series) == State.MATURED
    write_downs.on_recovery_received(world.recover(case, 3 * MILLION // 2))
    for _ in range(3):
        world.settle()
    assert state(series) == State.REDEEMED
    assert_all_accounted_for(series)


def test_matured_escrow_shares_a_recovery_out_by_itself(series: Series, cells: list[Cell]) -> None:
    case = defaulted(cells[0], timedelta(days=90), series)
    write_downs.on_loss_determined(world.determine(case, 4 * MILLION))
    world.settle()
    world.settle_challenges()
    to_maturity(series)
    assert series.escrow is not None
    series.escrow.creation |= {"matured": True}
    series.escrow.save(update_fields=["creation"])
    write_downs.on_recovery_received(world.recover(case, MILLION))
    world.settle()
    assert ChainInstruction.objects.filter(kind="REPAY", cell=cells[0]).count() == 1
    part = SlicePart.objects.get(slice__relationship="R1")
    assert (part.outstanding_base_units, part.redeemed_base_units) == (0, 7 * MILLION // 2 + MILLION)


def test_anyone_may_release_all_and_a_notice_lapses_with_it(series: Series, cells: list[Cell]) -> None:
    case = defaulted(cells[0], timedelta(days=1), series)
    write_downs.on_loss_determined(world.determine(case, 4 * MILLION))
    world.settle()
    with transaction.atomic():
        event = events.emit(events.SERIES_MATURED, cell_id=None, escrow_id=str(series.escrow_id))
        for _ in range(2):
            arrivals.on_series_matured(event)
    assert state(series) == State.REDEEMED
    assert SliceAct.objects.get().state == SliceAct.State.LAPSED
    assert not Layer.objects.filter(kind=Layer.Kind.TAIL, funded=True).exists()
    assert write_downs.due(clock.now() + timedelta(days=1)) == 0
    assert set(Redemption.objects.values_list("reason", "state")) == {("ON_CHAIN", "DONE")}


def test_written_off_claim_ends_the_recovery_rights(series: Series, cells: list[Cell]) -> None:
    case = defaulted(cells[0], timedelta(days=90), series)
    write_downs.on_loss_determined(world.determine(case, 4 * MILLION))
    world.settle()
    world.settle_challenges()
    to_maturity(series)
    for step in (DefaultCase.State.RECOVERY, DefaultCase.State.CLOSED):
        case.state = step
        case.save()
    life.serve()
    assert state(series) == State.WRITTEN_OFF
    write_downs.on_recovery_received(world.recover(case, MILLION))
    assert SliceAct.objects.count() == 1


def officers() -> tuple[User, User]:
    return person("redeemer", is_staff=True), person("second", is_staff=True)


@pytest.mark.parametrize(
    ("why", "code"),
    [("CLEAN_UP", "clean_up_not_reached"), ("RELATIONSHIP_ENDED", "relationship_goes_on"), ("X", "reason_unknown")],
)
def test_early_redemption_needs_its_reason(series: Series, cells: list[Cell], why: str, code: str) -> None:
    with pytest.raises(Refusal) as refusal:
        early.propose(maker=officers()[0], series_id=series.id, why=why, reason="test")
    assert refusal.value.code == code


def test_early_redemption_waits_for_an_open_default(series: Series, cells: list[Cell]) -> None:
    world.notice(cells[0])
    with pytest.raises(Refusal) as refusal:
        early.propose(maker=officers()[0], series_id=series.id, why="CLEAN_UP", reason="test")
    assert refusal.value.code == "event_open"


def test_insolvency_ends_the_risk_and_repays_less_reserves(series: Series, cells: list[Cell]) -> None:
    maker, checker = officers()
    defaulted(cells[0], timedelta(days=200), series)
    estimated(cells[0], 3 * MILLION)
    life.serve()
    proposal = early.propose(maker=maker, series_id=series.id, why="INSOLVENCY", reason="petition filed")
    decision: dict[str, Any] = {"proposal_id": proposal.id, "seen_hash": proposal.hash, "reason": "seen"}
    with pytest.raises(Refusal) as refusal:
        early.approve(checker=maker, **decision)
    assert refusal.value.code == "maker_is_not_checker"
    early.approve(checker=checker, **decision)
    life.serve()
    life.serve()
    assert state(series) == State.EXTENDED
    assert world.outstanding(series) == {"R1": 3 * MILLION, "R2": 0}
    case = world.notice(cells[1])
    write_downs.on_loss_determined(world.determine(case, 4 * MILLION))
    assert not SliceAct.objects.filter(cell=cells[1]).exists(), "noticed after the risk period ended"
    running = CouponRun.objects.filter(state="CANCELLED")
    assert running.count() == 2
    assert CouponRun.objects.get(number=2).payment_date == clock.now().date()


def test_months_and_factors_of_the_terms() -> None:
    start = datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert reserves.months_between(start, datetime(2026, 2, 28, tzinfo=UTC)) == 0
    assert reserves.months_between(start, datetime(2026, 3, 31, 12, tzinfo=UTC)) == 2
    assert reserves.months_between(start, datetime(2027, 1, 31, 11, tzinfo=UTC)) == 11
    steps = ((3, Decimal("1.5")), (6, Decimal("1.25")), (None, Decimal(1)))
    assert [Fraction(reserves.factor_at(steps, month)) for month in (0, 2, 3, 5, 6, 40)] == [
        Fraction(3, 2), Fraction(3, 2), Fraction(5, 4), Fraction(5, 4), 1, 1,
    ]  # fmt: skip


def test_a_relationship_can_be_covered_anew_once_its_series_is_repaid(series: Series, cells: list[Cell]) -> None:
    again = replace(
        world.series_terms([cells[0]]),
        code="BLK-N",
        classes=(ClassTerms("Next", "BLKN0", with_check_digit("XS000000099")),),
    )
    Layer.objects.filter(cell=cells[0], kind=Layer.Kind.TAIL).update(funded=False)
    with pytest.raises(Refusal) as refusal:
        stages.structure(actor="desk", terms=again)
    assert refusal.value.code == "already_offered"
    to_maturity(series)
    with pytest.raises(Refusal) as refusal:
        stages.structure(actor="desk", terms=again)
    assert refusal.value.code != "already_offered", "what is missing now is a line that the next slice would cover"
