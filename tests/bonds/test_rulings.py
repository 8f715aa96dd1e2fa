"""An expert's ruling on a noticed loss: the notes bear what it left, the intermediary what it took off."""

from datetime import timedelta

import pytest

from bonds.loss.tranches import principal_change
from bonds.marking import valuation
from bonds.marking.exposures import BASE_UNITS, Exposure
from bonds.models import Series, Slice, SliceAct, SlicePart
from bonds.servicing import reserves, rulings, write_downs
from intermediary import clock, events, ledger, outbox
from intermediary.errors import Refusal
from intermediary.models import AccountKind, Cell, ChainInstruction, Event
from tests.bonds import world
from tests.bonds.test_servicing import before_issue, on_risk
from tests.bonds.world import MILLION

State = SliceAct.State
pytestmark = pytest.mark.world(build=on_risk)


@pytest.fixture
def uncovered_cells(rolled_back_world: list[Cell]) -> list[Cell]:
    return rolled_back_world


@pytest.fixture
def act(series: Series, cells: list[Cell]) -> SliceAct:
    """A loss of which two and a half million fall on the notes, noticed and in its challenge period."""
    write_downs.on_loss_determined(world.determine(world.notice(cells[0]), 4 * MILLION))
    world.settle()
    return SliceAct.objects.get()


def rule(act: SliceAct, left: int) -> Event:
    event = events.emit(
        events.LOSS_RULED, cell_id=act.cell_id, instruction_id=str(act.notice_id), amount_base_units=str(left)
    )
    rulings.on_loss_ruled(event)
    return event


def borne(act: SliceAct) -> int:
    return ledger.balance(act.cell_id, AccountKind.LOSS, "USDC")


def test_the_notes_bear_what_the_ruling_left_and_the_intermediary_the_rest(act: SliceAct, series: Series) -> None:
    noticed = act.amount_base_units
    event = rule(act, MILLION)
    rulings.on_loss_ruled(event)
    assert borne(act) == noticed - MILLION
    world.settle_challenges()
    act.refresh_from_db()
    assert (act.state, act.amount_base_units, act.ruled_base_units) == (State.DONE, noticed, MILLION)
    assert world.outstanding(series)["R1"] == 6 * MILLION - MILLION
    assert ledger.balance(act.cell_id, AccountKind.ESCROW, "USDC") == 5 * MILLION
    assert not SliceAct.objects.exclude(state=State.DONE).exists(), "what was ruled off is not noticed again"


def test_a_ruling_that_drops_the_notice_ends_the_act_without_a_write_down(act: SliceAct, series: Series) -> None:
    rule(act, 0)
    act.refresh_from_db()
    assert (act.state, borne(act)) == (State.DONE, act.amount_base_units)
    assert world.settle_challenges() == 0
    assert world.outstanding(series)["R1"] == 6 * MILLION
    assert write_downs.bring_to_loss(slice_id=act.slice_id) is None


def test_a_ruling_after_the_payment_was_instructed_changes_what_it_may_have_moved(
    act: SliceAct, series: Series
) -> None:
    write_downs.due(clock.now() + timedelta(hours=2))
    act.refresh_from_db()
    assert act.movement is not None
    ChainInstruction.objects.filter(id=act.movement.id).update(state="BATCHED")
    outbox.mark_final(act.movement.id, transaction_hash="0x1", moved_base_units=MILLION)
    final = Event.objects.filter(kind=events.INSTRUCTION_FINAL).latest("id")
    with pytest.raises(Refusal, match="loss_was_ruled"):  # the payment is told before the ruling: it comes again
        write_downs.on_instruction_final(final)
    rule(act, MILLION)
    write_downs.on_instruction_final(final)
    assert world.outstanding(series)["R1"] == 5 * MILLION


def test_a_ruling_that_leaves_everything_changes_nothing(act: SliceAct) -> None:
    rule(act, act.amount_base_units)
    act.refresh_from_db()
    assert (act.moves_base_units, borne(act)) == (act.amount_base_units, 0)


def test_a_recovery_after_a_ruling_writes_up_no_more_than_was_written_down(act: SliceAct, series: Series) -> None:
    rule(act, MILLION)
    world.settle_challenges()
    parts = SlicePart.objects.filter(slice_id=act.slice_id)
    assert sum(parts.values_list("ruled_off_base_units", flat=True)) == act.amount_base_units - MILLION
    assert write_downs.net_loss_base_units(Slice.objects.get(id=act.slice_id)) == 4 * MILLION
    up = sum(principal_change(part.state, 0).write_up_base_units for part in parts)
    assert up == MILLION


def known_losses(series: Series) -> list[int]:
    """Of each class, junior first, what its marks know to be lost, base units."""
    item = series.slices.select_related("series").get()
    net_loss = write_downs.net_loss_base_units(item)
    found = {item.cell_id: Exposure("DETERMINED", net_loss, net_loss, None)}
    pieces = [valuation.pieces_of(tranche, found) for tranche in series.tranches.order_by("seniority")]
    return [round(sum(one.known_loss * one.principal for one in of_class) * BASE_UNITS) for of_class in pieces]


@pytest.mark.world(build=before_issue)
def test_a_later_loss_after_a_ruling_is_shared_as_the_escrow_shares_it(uncovered_cells: list[Cell]) -> None:
    cell = uncovered_cells[0]
    series = world.on_risk([cell], [world.investor(name) for name in "abc"], classes=2)
    case = world.notice(cell)
    write_downs.on_loss_determined(world.determine(case, 7 * MILLION // 2))
    world.settle()
    rule(SliceAct.objects.get(), MILLION)
    world.settle_challenges()
    parts = SlicePart.objects.filter(slice__series=series).order_by("attach_base_units")
    before = list(parts.values_list("outstanding_base_units", flat=True))
    for state in ("RECOVERY", "CLOSED"):
        case.refresh_from_db()
        case.state = state
        case.save()
    write_downs.on_loss_determined(world.determine(world.notice(cell), 2 * MILLION))
    known = known_losses(series)
    world.settle()
    world.settle_challenges()
    fell = SliceAct.objects.latest("id").moves_base_units
    after = list(parts.values_list("outstanding_base_units", flat=True))
    assert fell == sum(before) - sum(after) > 0
    assert after == [before[0] - min(before[0], fell), before[1] - max(fell - before[0], 0)], "junior first"
    assert known == [before[0] - after[0], before[1] - after[1]], "and marks know so before the write-down"
    assert write_downs.bring_to_loss(slice_id=parts[0].slice_id) is None
    assert not any(reserves.kept_of(Slice.objects.get(id=parts[0].slice_id), clock.now()).by_part.values())
