"""The life of a slice: a determined loss writes it down, a recovery writes it up, and no other slice notices."""

from datetime import timedelta
from uuid import UUID

import pytest
from django.db import DatabaseError, transaction

from bonds.models import Holding, Series, SeriesEvent, Slice, SliceAct, SlicePart
from bonds.servicing import write_downs
from bonds.servicing.outstanding import balances_of
from intermediary import clock, events, ledger, outbox
from intermediary.errors import Refusal
from intermediary.ids import uuid7
from intermediary.models import AccountKind, Cell, ChainInstruction, DefaultCase, Event, Layer
from tests.bonds import world
from tests.bonds.note_model import break_of, principal_of_each
from tests.bonds.world import MILLION
from tests.intermediary.builders import assets

State = SliceAct.State


@transaction.atomic
def before_issue() -> list[Cell]:
    """Two relationships whose tails nobody covers yet."""
    assets()
    return [world.covered_cell("R1"), world.covered_cell("R2")]


@transaction.atomic
def on_risk() -> tuple[list[Cell], Series]:
    """They and a series on their tails, which three investors hold."""
    cells = before_issue()
    return cells, world.on_risk(cells, [world.investor(name) for name in "abc"])


pytestmark = pytest.mark.world(build=on_risk)


@pytest.fixture
def uncovered_cells(rolled_back_world: list[Cell]) -> list[Cell]:
    """For tests marked with `before_issue`."""
    return rolled_back_world


def escrow_of(cell: Cell) -> int:
    return ledger.balance(cell.id, AccountKind.ESCROW, "USDC")


def assert_books_agree(series: Series) -> None:
    """B8, and the ledger's escrow against outstanding principal, when nothing is in flight."""
    for part in SlicePart.objects.filter(slice__series=series).select_related("slice"):
        assert break_of(part.state) == 0
    for item in series.slices.all():
        assert escrow_of(item.cell) == sum(item.parts.values_list("outstanding_base_units", flat=True))


def test_nothing_is_written_down_before_the_challenge_period_ends(series: Series, cells: list[Cell]) -> None:
    case = world.notice(cells[0])
    write_downs.on_loss_determined(world.determine(case, 4 * MILLION))
    assert SliceAct.objects.get().state == State.NOTICED
    world.settle()
    act = SliceAct.objects.get()
    assert act.state == State.CHALLENGE
    assert act.ready_at is not None
    assert write_downs.due(act.ready_at - timedelta(seconds=1)) == 0
    assert escrow_of(cells[0]) == 6 * MILLION
    assert world.outstanding(series) == {"R1": 6 * MILLION, "R2": 6 * MILLION}


def test_determined_loss_writes_down_its_own_slice_only(series: Series, cells: list[Cell]) -> None:
    case = world.notice(cells[0])
    series.refresh_from_db()
    assert series.state == Series.State.EVENT_OPEN
    write_downs.on_loss_determined(world.determine(case, 4 * MILLION))
    world.settle()
    assert world.settle_challenges() == 1
    assert world.outstanding(series) == {"R1": 7 * MILLION // 2, "R2": 6 * MILLION}
    assert ledger.balance(cells[0].id, AccountKind.FLOAT, "USDC") == 5 * MILLION // 2
    assert ledger.balance(cells[1].id, AccountKind.FLOAT, "USDC") == 0
    assert Slice.objects.get(cell=cells[0]).net_loss_base_units == 4 * MILLION
    series.refresh_from_db()
    assert series.state == Series.State.ON_RISK
    assert_books_agree(series)


@pytest.mark.world(build=before_issue)
def test_worked_example_factor_falls_to_zero_and_rises_to_forty_per_cent(uncovered_cells: list[Cell]) -> None:
    alone = world.on_risk(uncovered_cells[:1], [world.investor(name) for name in "abc"])
    case = world.notice(uncovered_cells[0])
    write_downs.on_loss_determined(world.determine(case, 17 * MILLION // 2))
    world.settle()
    world.settle_challenges()
    assert world.outstanding(alone) == {"R1": 0}
    write_downs.on_recovery_received(world.recover(case, 34 * MILLION // 10))
    world.settle()
    assert world.outstanding(alone) == {"R1": 24 * MILLION // 10}
    assert ledger.balance(uncovered_cells[0].id, AccountKind.RECOVERY, "USDC") == MILLION
    assert_books_agree(alone)


def test_every_event_may_come_twice(series: Series, cells: list[Cell]) -> None:
    case = world.notice(cells[0])
    determined = world.determine(case, 4 * MILLION)
    for _ in range(2):
        write_downs.on_loss_determined(determined)
        write_downs.on_default_noticed(determined)
        world.settle()
    for _ in range(2):
        world.settle_challenges()
    recovered = world.recover(case, MILLION)
    for _ in range(2):
        write_downs.on_recovery_received(recovered)
        world.settle()
        for event in Event.objects.filter(kind=events.INSTRUCTION_FINAL):
            write_downs.on_instruction_final(event)
    assert world.outstanding(series) == {"R1": 9 * MILLION // 2, "R2": 6 * MILLION}
    assert SliceAct.objects.count() == 2
    assert_books_agree(series)


def test_recovery_during_the_challenge_waits_and_is_then_written_up(series: Series, cells: list[Cell]) -> None:
    case = world.notice(cells[0])
    write_downs.on_loss_determined(world.determine(case, 4 * MILLION))
    world.settle()
    write_downs.on_recovery_received(world.recover(case, MILLION))
    world.settle()
    assert SliceAct.objects.count() == 1
    world.settle_challenges()
    world.settle()
    kinds = list(SliceAct.objects.values_list("kind", "amount_base_units", "state"))
    assert kinds == [("WRITE_DOWN", 5 * MILLION // 2, "DONE"), ("WRITE_UP", MILLION, "DONE")]
    assert world.outstanding(series)["R1"] == 9 * MILLION // 2
    assert_books_agree(series)


def test_recovery_before_the_determination_is_delivered_leaves_the_same_principal(
    series: Series, cells: list[Cell]
) -> None:
    case = world.notice(cells[0])
    determined = world.determine(case, 4 * MILLION)
    write_downs.on_recovery_received(world.recover(case, MILLION))
    write_downs.on_loss_determined(determined)
    world.settle()
    world.settle_challenges()
    assert world.outstanding(series)["R1"] == 9 * MILLION // 2
    assert_books_agree(series)


def test_loss_below_the_attachment_touches_nothing(series: Series, cells: list[Cell]) -> None:
    case = world.notice(cells[0])
    write_downs.on_loss_determined(world.determine(case, 3 * MILLION // 2))
    assert not SliceAct.objects.exists()
    write_downs.due(clock.now())
    series.refresh_from_db()
    assert series.state == Series.State.ON_RISK
    assert world.outstanding(series) == {"R1": 6 * MILLION, "R2": 6 * MILLION}


def test_default_noticed_after_the_risk_period_never_writes_down(series: Series, cells: list[Cell]) -> None:
    case = world.notice(cells[0])
    determined = world.determine(case, 8 * MILLION)
    DefaultCase.objects.filter(id=case.id).update(noticed_at=series.risk_until + timedelta(seconds=1))
    write_downs.on_loss_determined(determined)
    assert not SliceAct.objects.exists()


@pytest.mark.world(build=before_issue)
def test_junior_class_bears_first_and_senior_is_refilled_first(uncovered_cells: list[Cell]) -> None:
    series = world.on_risk(uncovered_cells[:1], [world.investor(name) for name in "ab"], classes=2)
    case = world.notice(uncovered_cells[0])
    write_downs.on_loss_determined(world.determine(case, 11 * MILLION // 2))
    world.settle()
    world.settle_challenges()
    parts = SlicePart.objects.filter(slice__series=series).order_by("tranche__seniority")
    assert list(parts.values_list("outstanding_base_units", flat=True)) == [0, 2 * MILLION]
    write_downs.on_recovery_received(world.recover(case, 2 * MILLION))
    world.settle()
    assert list(parts.values_list("outstanding_base_units", flat=True)) == [MILLION, 3 * MILLION]
    assert_books_agree(series)


def test_holders_principal_adds_up_within_one_base_unit_a_holder(series: Series, cells: list[Cell]) -> None:
    case = world.notice(cells[0])
    write_downs.on_loss_determined(world.determine(case, 3 * MILLION // 2 + 1_000_001))
    world.settle()
    world.settle_challenges()
    principal = sum(world.outstanding(series).values())
    units = dict(Holding.objects.values_list("party_id", "units"))
    held = principal_of_each(units, principal)
    assert principal - len(held) < sum(held.values()) <= principal


def test_write_up_needs_the_recovery_in_hand(series: Series, cells: list[Cell]) -> None:
    case = world.notice(cells[0])
    write_downs.on_loss_determined(world.determine(case, 4 * MILLION))
    world.settle()
    world.settle_challenges()
    case.loss_base_units -= MILLION
    case.recoveries_base_units += MILLION
    case.save()
    with pytest.raises(Refusal, match="recovery_not_received"):
        write_downs.bring_to_loss(slice_id=Slice.objects.get(cell=cells[0]).id)


def test_a_loss_that_the_expert_ruled_smaller_stops_the_act_loudly(series: Series, cells: list[Cell]) -> None:
    write_downs.on_loss_determined(world.determine(world.notice(cells[0]), 4 * MILLION))
    world.settle()
    write_downs.due(clock.now() + timedelta(hours=2))
    act = SliceAct.objects.get()
    assert act.movement is not None
    ChainInstruction.objects.filter(id=act.movement.id).update(state="BATCHED")
    outbox.mark_final(act.movement.id, transaction_hash="0x1", moved_base_units=MILLION)
    assert escrow_of(cells[0]) == 5 * MILLION
    event = Event.objects.filter(kind=events.INSTRUCTION_FINAL).latest("id")
    with pytest.raises(Refusal, match="loss_was_ruled"):
        write_downs.on_instruction_final(event)
    assert SliceAct.objects.get().state == State.MOVING
    assert world.outstanding(series)["R1"] == 6 * MILLION


def test_one_act_in_flight_a_slice_by_the_database(series: Series, cells: list[Cell]) -> None:
    case = world.notice(cells[0])
    write_downs.on_loss_determined(world.determine(case, 4 * MILLION))
    act = SliceAct.objects.get()
    with pytest.raises(DatabaseError, match="one_act_in_flight"), transaction.atomic():
        SliceAct.objects.create(
            slice=act.slice,
            cell=act.cell,
            kind=act.kind,
            state=State.NOTICED,
            amount_base_units=1,
            by_tranche={},
            net_loss_base_units=1,
            evidence=act.evidence,
        )


def test_act_cannot_name_another_relationship_s_slice(series: Series, cells: list[Cell]) -> None:
    item = Slice.objects.get(cell=cells[0])
    with pytest.raises(DatabaseError, match="sliceact_slice_same_cell"), transaction.atomic():
        SliceAct.objects.create(
            slice=item,
            cell=cells[1],
            kind=SliceAct.Kind.WRITE_DOWN,
            state=State.NOTICED,
            amount_base_units=1,
            by_tranche={},
            net_loss_base_units=1,
            evidence="0" * 64,
        )


@pytest.mark.parametrize("column", ["notice_id", "movement_id"])
def test_act_cannot_name_another_relationship_s_instruction(series: Series, cells: list[Cell], column: str) -> None:
    for cell in cells:
        write_downs.on_loss_determined(world.determine(world.notice(cell), 4 * MILLION))
    act, other = SliceAct.objects.get(cell=cells[0]), SliceAct.objects.get(cell=cells[1])
    with pytest.raises(DatabaseError, match="same_cell"), transaction.atomic():
        SliceAct.objects.filter(id=other.id).update(notice=None)
        SliceAct.objects.filter(id=act.id).update(**{column: other.notice_id})


def test_layer_cannot_name_another_relationship_s_slice(series: Series, cells: list[Cell]) -> None:
    theirs = Slice.objects.get(cell=cells[1])
    layers = Layer.objects.filter(kind=Layer.Kind.TAIL)
    with pytest.raises(DatabaseError, match="one_layer_a_slice"), transaction.atomic():
        layers.filter(cell=cells[0]).update(slice_id=theirs.id)
    layers.filter(cell=cells[1]).update(slice_id=uuid7())
    with pytest.raises(DatabaseError, match="layer_and_slice_share_a_cell"), transaction.atomic():
        layers.filter(cell=cells[0]).update(slice_id=theirs.id)
    with pytest.raises(DatabaseError, match="layer_and_slice_share_a_cell"), transaction.atomic():
        Slice.objects.filter(cell=cells[0]).update(cell=world.covered_cell("R3"))


def test_instructions_say_what_the_escrow_contract_needs(series: Series, cells: list[Cell]) -> None:
    case = world.notice(cells[1])
    write_downs.on_loss_determined(world.determine(case, 4 * MILLION))
    notice = ChainInstruction.objects.get(kind=ChainInstruction.Kind.NOTICE_LOSS)
    assert (notice.cell_id, notice.amount_base_units, notice.arguments["slice"]) == (cells[1].id, 5 * MILLION // 2, 1)
    assert case.determination is not None
    assert notice.arguments["evidence"] == case.determination.hash
    assert notice.target_id == series.escrow_id
    world.settle()
    write_downs.due(clock.now() + timedelta(hours=2))
    apply = ChainInstruction.objects.get(kind=ChainInstruction.Kind.APPLY_LOSS)
    assert apply.arguments == {"source": "escrow", "destination": "float", "slice": 1, "notice": str(notice.id)}


def test_balances_for_coupons_follow_the_write_down(series: Series, cells: list[Cell]) -> None:
    case = world.notice(cells[0])
    write_downs.on_loss_determined(world.determine(case, 4 * MILLION))
    world.settle()
    world.settle_challenges()
    balances = balances_of(world.only_tranche(series), series.issue_date - timedelta(days=5))
    assert [one.outstanding_base_units for one in balances] == [12 * MILLION, 19 * MILLION // 2]


def test_timeline_tells_the_whole_story_in_order(series: Series, cells: list[Cell]) -> None:
    case = world.notice(cells[0])
    write_downs.on_loss_determined(world.determine(case, 4 * MILLION))
    world.settle()
    world.settle_challenges()
    write_downs.on_recovery_received(world.recover(case, MILLION))
    world.settle()
    kinds = list(SeriesEvent.objects.filter(series=series).values_list("kind", flat=True))
    kinds = kinds[kinds.index("ISSUED") + 1 :]
    told = ["EVENT_OPENED", "LOSS_NOTICED", "CHALLENGE", "WRITTEN_DOWN", "EVENT_CLOSED", "WRITTEN_UP"]
    assert kinds == told


def test_a_write_down_that_fails_keeps_no_other_from_it(
    series: Series, cells: list[Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    for cell in cells:
        write_downs.on_loss_determined(world.determine(world.notice(cell), 4 * MILLION))
    world.settle()
    first, second = SliceAct.objects.order_by("cell_id", "id")
    write_down = write_downs._write_down

    def broken(act_id: UUID) -> None:
        write_down(act_id)
        if act_id == first.id:
            raise Refusal("account_overdrawn", "Not now.")

    monkeypatch.setattr(write_downs, "_write_down", broken)
    assert write_downs.due(clock.now() + timedelta(hours=2)) == 1
    assert SliceAct.objects.get(id=first.id).state == State.CHALLENGE
    assert SliceAct.objects.get(id=second.id).state == State.MOVING
