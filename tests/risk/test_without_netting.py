"""A relationship without a netting opinion from the tick to the page: margin and exposure are gross, payments net."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import transaction

from intermediary import claims, trading, variation
from intermediary.models import Cell, Event, MarginState, Party, Position, VariationPayment
from intermediary.ports import PlannedTrade
from risk import engine, replay, weighing
from risk.figures import IF_NETTED
from risk.models import RequirementRecord, Tick
from risk.stress_reports import measure
from tests.conftest import TestDatabase
from tests.risk.tick_world import market, mixed_world, tick

pytestmark = pytest.mark.world(build=mixed_world)
USD = 10**6
FOUR_HOURS = timedelta(hours=4)


@pytest.fixture
def cell(committing_db: TestDatabase, db: None, built_world: dict[str, Cell]) -> Cell:
    """100 bitcoin long in the perpetual and short in the future, in a transaction that is the test's own."""
    return built_world["GROSS"]


def give_an_opinion(cell: Cell) -> None:
    Party.objects.filter(cells=cell).update(netting_opinion=Party.NettingOpinion.REASONED)


def after(minutes: int, bitcoin: str) -> tuple[Tick, MarginState]:
    """Inside a cycle: nobody pays whom nothing happens to."""
    opened = engine.open_tick(market(minutes, bitcoin), 1, cycle=FOUR_HOURS)
    engine.run_shard(opened.id, 0)
    return opened, state_of(opened)


def state_of(opened: Tick) -> MarginState:
    return MarginState.objects.select_related("valuation", "cell").get(valuation=opened.valuation, cell__code="GROSS")


def test_what_it_gains_on_one_leg_does_not_reduce_what_it_owes_on_the_other(cell: Cell) -> None:
    paid = state_of(tick(market(10, "94900")))
    opened, fallen = after(11, "93900")
    assert paid.exposure_base_units <= 1
    assert fallen.exposure_base_units == 100 * 1_000 * USD
    net = variation.exposure_base_units(cell.id, opened.valuation_id)
    assert abs(net) < 1_000 * USD, "payments know both legs"
    assert fallen.required_base_units == fallen.exposure_base_units + fallen.independent_amount_base_units
    assert fallen.independent_amount_base_units > 5 * USD * fallen.breakdown[IF_NETTED]
    settled = tick(market(12, "93900"))
    moved = VariationPayment.objects.get(cell=cell, valuation=settled.valuation)
    assert abs(moved.amount_base_units - net) < 100 * USD, "and one net amount is paid"
    assert state_of(settled).exposure_base_units <= 1


def test_legs_that_come_out_even_pay_each_other(cell: Cell) -> None:
    """Nothing is left to move; that is no reason to hold what one lost against the client for good."""
    opened = engine.open_tick(market(11, "93900"), 1)
    net = variation.exposure(cell.id, opened.valuation_id)
    first = Position.objects.filter(cell=cell).order_by("id")[0]
    for left in (Decimal(0), Decimal("0.0000004"), Decimal("-0.0000004")):
        mark = transaction.savepoint()
        value = first.settled_value - net + left
        Position.objects.filter(id=first.id).update(settled_value=value)
        assert claims.exposure_base_units(cell.id, opened.valuation_id) > 90_000 * USD
        variation.settle_all([cell.id], opened.valuation_id)
        assert not VariationPayment.objects.filter(cell=cell, valuation=opened.valuation).exists()
        assert claims.exposure_base_units(cell.id, opened.valuation_id) == (1 if left > 0 else 0)
        assert variation.exposure(cell.id, opened.valuation_id) == left, "a fraction is carried, as ever"
        transaction.savepoint_rollback(mark)


def test_what_a_gain_would_take_off_the_requirement_is_not_taken_off(cell: Cell) -> None:
    """Both legs gain when the basis falls apart; without an opinion the house may owe and still not set it off."""
    opened, _ = after(11, "94900")
    perpetual = Position.objects.get(cell=cell, instrument__code="BTC-PERP")
    Position.objects.filter(id=perpetual.id).update(settled_value=perpetual.settled_value - 5_000_000)
    engine.renew_requirements([cell.id])
    state = state_of(opened)
    assert variation.exposure_base_units(cell.id, opened.valuation_id) < -4_000_000 * USD
    assert state.exposure_base_units <= 1_000 * USD
    assert state.required_base_units >= state.independent_amount_base_units


def test_an_opinion_is_known_at_the_next_valuation_and_so_is_its_end(cell: Cell) -> None:
    before = state_of(tick(market(10, "94900")))
    give_an_opinion(cell)
    netted = state_of(tick(market(11, "94900")))
    assert netted.independent_amount_base_units < before.independent_amount_base_units // 5
    assert IF_NETTED not in netted.breakdown
    assert netted.breakdown["total"] == pytest.approx(before.breakdown[IF_NETTED], rel=0.01)
    Party.objects.filter(cells=cell).update(netting_opinion=Party.NettingOpinion.NONE)
    again = state_of(tick(market(12, "94900")))
    assert again.independent_amount_base_units == pytest.approx(before.independent_amount_base_units, rel=0.01)


def test_a_replay_is_of_what_held_then(cell: Cell) -> None:
    last = tick(market(10, "94900"))
    for code, quantity in (("BTC-PERP", 3_000), ("BTC-FUT", -3_000)):
        mark = last.valuation.marks.get(instrument__code=code)
        trading.book_leg(
            cell_id=cell.id, instrument_id=mark.instrument_id, quantity=Decimal(quantity), price=mark.price
        )
    tick(market(11, "94900"))
    state = MarginState.objects.select_related("valuation", "cell").get(cell=cell)
    give_an_opinion(cell)
    assert replay.of_state(state).differs == ()
    records = RequirementRecord.objects.filter(cell=cell).select_related("cell", "tick")
    assert records, "its margin is called"
    for record in records:
        assert record.book["netting"] == {"opinion": "NONE"}
        assert replay.of_record(record).differs == ()
        del record.book["netting"]
        assert {"book", "independent_amount"} <= set(replay.of_record(record).differs)


def test_a_trade_is_weighed_as_the_tick_would_find_it(cell: Cell) -> None:
    _, state = after(11, "93900")
    standing = weighing.read([cell.id])
    official, one = standing.market(), standing.relationships[cell.id]
    key = official.listed["BTC-PERP"]
    mark = official.marks[key]
    trades = [PlannedTrade(key, Decimal(quantity), mark + off) for quantity, off in ((-60, -100), (10, 0))]
    found = weighing.weigh([weighing.Asked(one), weighing.Asked(one, trades)], official)
    before, then = (item.as_state() for item in found)
    for name in ("exposure_base_units", "independent_amount_base_units", "required_base_units", "breakdown"):
        assert before[name] == getattr(state, name), name
    assert then["independent_amount_base_units"] < before["independent_amount_base_units"]
    assert then["exposure_base_units"] == before["exposure_base_units"] + 60 * 100 * USD, "sold below the mark"


def test_stress_layers_and_pages_measure_it_gross(cell: Cell) -> None:
    opened = tick(market(10, "94900"))
    gross = {one.standing.cell_id: one for one in measure(opened)}
    give_an_opinion(cell)
    netted = {one.standing.cell_id: one for one in measure(opened)}
    one, other = gross[cell.id].body, netted[cell.id].body
    assert sum(row["gross"] for row in one["rows"]) > 3 * sum(max(0, row["gross"]) for row in other["rows"])
    assert one["exposure"]["owed"][0][-1] > 3 * other["exposure"]["owed"][0][-1]
    assert (gross[cell.id].delta == netted[cell.id].delta).all(), "it crowds no coin more than before"
    others = gross.keys() - {cell.id}
    assert all(gross[key].body == netted[key].body for key in others)


def test_between_a_payment_and_the_next_requirement_exposure_is_kept_against_the_client(cell: Cell) -> None:
    _, before = after(11, "93900")
    opened = engine.open_tick(market(12, "93800"), 1)
    variation.settle_all([cell.id], opened.valuation_id)
    paid = VariationPayment.objects.get(cell=cell, valuation=opened.valuation).amount_base_units
    assert paid < 0, "it is paid a little on both legs together"
    now = MarginState.objects.get(cell=cell)
    assert now.exposure_base_units == before.exposure_base_units
    assert now.required_base_units == before.required_base_units
    assert 0 < now.held_base_units - before.held_base_units <= -paid


def test_a_payment_that_the_chain_refused_is_owed_again_and_a_gain_is_not_set_off(cell: Cell) -> None:
    tick(market(10, "94900"))
    before = MarginState.objects.get(cell=cell).exposure_base_units
    paid = VariationPayment.objects.filter(cell=cell).order_by("id").last()
    assert paid is not None
    for amount, more in ((7 * USD, 7 * USD), (-7 * USD, 0)):
        mark = transaction.savepoint()
        VariationPayment.objects.filter(id=paid.id).update(amount_base_units=amount)
        variation.on_instruction_failed(Event(payload={"instruction_id": str(paid.instruction_id)}))
        assert MarginState.objects.get(cell=cell).exposure_base_units == before + more
        transaction.savepoint_rollback(mark)
