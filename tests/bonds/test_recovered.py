"""What a recovery on the tail leaves to the intermediary goes to its float, once, when the notes stand at N."""

import pytest
from django.db import transaction

from bonds.models import Series, SliceAct
from bonds.servicing import arrivals, due, recovered, write_downs
from intermediary import clock, events, ledger, recovery
from intermediary.allocation import split, write_layers
from intermediary.models import AccountKind, Cell, DefaultCase, Event, JournalEntry
from tests.bonds import world
from tests.bonds.world import MILLION
from tests.intermediary.builders import assets
from tests.intermediary.margin_world import officer

FLOAT, RECOVERY = AccountKind.FLOAT, AccountKind.RECOVERY
LOSS, TAIL_LOSS = 4 * MILLION, 5 * MILLION // 2  # of which the notes bear four fifths


@transaction.atomic
def retaining() -> tuple[Cell, Series]:
    """A series on the tail of one relationship, of which the intermediary keeps a fifth."""
    assets()
    cell = world.covered_cell("R1")
    return cell, world.on_risk([cell], [world.investor("a")], terms=world.retaining([cell], 2_000))


pytestmark = pytest.mark.world(build=retaining)


@pytest.fixture
def cell(rolled_back_world: tuple[Cell, Series]) -> Cell:
    return rolled_back_world[0]


@pytest.fixture
def series(rolled_back_world: tuple[Cell, Series]) -> Series:
    return rolled_back_world[1]


def determined(cell: Cell) -> tuple[DefaultCase, Event]:
    """A loss of four million on the layers, as an approved determination leaves it; told to nobody yet."""
    case = world.notice(cell)
    event = world.determine(case, LOSS)
    write_layers(case, split(list(cell.layers.all()), LOSS))
    return case, event


def written_down(cell: Cell) -> DefaultCase:
    case, event = determined(cell)
    write_downs.on_loss_determined(event)
    world.settle()
    world.settle_challenges()
    return case


def receive(case: DefaultCase, amount_base_units: int, number: int = 1) -> None:
    """A receipt at the house contract, booked by an officer and told to bonds."""
    recovery.receive(
        officer=officer(f"desk {number}"),
        case_id=case.id,
        transaction_hash=f"0x{number:064x}",
        log_index=0,
        amount_base_units=amount_base_units,
        source="estate",
    )
    write_downs.on_recovery_received(Event.objects.filter(kind=events.RECOVERY_RECEIVED).latest("id"))


def held(cell: Cell) -> tuple[int, int]:
    """(recovery account, float)"""
    return ledger.balance(cell.id, RECOVERY, "USDC"), ledger.balance(cell.id, FLOAT, "USDC")


def test_the_intermediary_s_part_joins_its_float_once_when_the_notes_are_written_up(cell: Cell, series: Series) -> None:
    case = written_down(cell)
    receive(case, MILLION)
    assert recovered.sweep(cell.id) == 0, "the write-up is on its way"
    assert held(cell) == (MILLION // 5, 2 * MILLION)
    world.settle()
    assert world.outstanding(series) == {"R1": 48 * MILLION // 10 - 2 * MILLION + 8 * MILLION // 10}
    assert [recovered.sweep(cell.id) for _ in range(2)] == [MILLION // 5, 0]
    assert held(cell) == (0, 2 * MILLION + MILLION // 5)
    assert recovered.waiting() == []


def test_every_base_unit_of_many_recoveries_arrives(cell: Cell, series: Series) -> None:
    case = written_down(cell)
    for number, amount in enumerate((MILLION + 1, 333_333, 1, 7), start=1):
        receive(case, amount, number)
        if number % 2:
            world.settle()
        due.serve(clock.now())
    world.settle()
    due.serve(clock.now())
    notes = sum(SliceAct.objects.filter(kind="WRITE_UP").values_list("amount_base_units", flat=True))
    received = MILLION + 333_342
    assert held(cell) == (0, 2 * MILLION + received - notes)
    assert received - notes == received // 5, "the notes' loss is rounded down, so what they get back is rounded up"


def test_a_recovery_before_the_write_down_leaves_only_what_n_still_takes(cell: Cell, series: Series) -> None:
    case, event = determined(cell)
    write_downs.on_loss_determined(event)
    world.settle()
    receive(case, MILLION)
    assert recovered.sweep(cell.id) == 0, "the challenge period runs"
    world.settle_challenges()
    world.settle()
    assert recovered.sweep(cell.id) == MILLION // 5
    assert held(cell) == (0, 2 * MILLION + MILLION // 5)


def test_a_sweep_that_is_cut_off_is_made_once_later(cell: Cell, series: Series) -> None:
    receive(written_down(cell), MILLION)
    world.settle()
    with pytest.raises(RuntimeError), transaction.atomic():
        assert recovered.sweep(cell.id) == MILLION // 5
        raise RuntimeError("the process ends before it commits")
    assert held(cell) == (MILLION // 5, 2 * MILLION)
    for _ in range(2):
        due.serve(clock.now())
    assert held(cell) == (0, 2 * MILLION + MILLION // 5)
    assert JournalEntry.objects.filter(kind=recovered.ENTRY).count() == 1


def test_without_a_right_of_the_notes_all_of_it_is_the_intermediary_s(cell: Cell, series: Series) -> None:
    case, _ = determined(cell)
    with transaction.atomic():
        event = events.emit(events.SERIES_MATURED, cell_id=None, escrow_id=str(series.escrow_id))
        arrivals.on_series_matured(event)
    assert world.outstanding(series) == {"R1": 0}
    receive(case, MILLION)
    assert recovered.sweep(cell.id) == MILLION
    assert held(cell) == (0, MILLION)


def test_what_waited_for_a_write_down_that_lapsed_is_not_left_lying(cell: Cell, series: Series) -> None:
    case, event = determined(cell)
    write_downs.on_loss_determined(event)
    world.settle()
    receive(case, MILLION)
    with transaction.atomic():
        arrivals.on_series_matured(events.emit(events.SERIES_MATURED, cell_id=None, escrow_id=str(series.escrow_id)))
    due.serve(clock.now())
    assert held(cell) == (0, MILLION)
