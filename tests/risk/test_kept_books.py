"""What a worker keeps or leaves out between ticks changes nobody's figures."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import partial

import pytest
from django.db import transaction

from intermediary import books, margining, roster, standings, trading, variation, vaults
from intermediary.config.replay import store_snapshot
from intermediary.models import Cell, ChainInstruction, Instrument, MarginPoint, MarginState, VariationPayment
from risk import engine, kept_rows
from risk.figures import load_snapshot
from risk.models import Tick, TickShard
from risk.partial import moved_since
from tests.conftest import TestDatabase
from tests.risk.builders import MOMENT, snapshot
from tests.risk.tick_world import BOOKS, market, mixed_world, one_by_one, tick, undone

pytestmark = pytest.mark.world(build=mixed_world)


@pytest.fixture
def clients(committing_db: TestDatabase, db: None, built_world: dict[str, Cell]) -> dict[str, Cell]:
    """The mixed world, in a transaction that is the test's own, so that work can be undone within it."""
    return built_world


def test_what_a_worker_keeps_changes_no_figure(clients: dict[str, Cell]) -> None:
    """A book that changed between two ticks, a relationship in another shard, a worker that has just started."""
    tick(market(10, "94900"))
    marks = {"BTC-PERP": Decimal("94900"), "ETH-PERP": Decimal("4016")}
    for code, contract, quantity in (
        ("AMPLE", "BTC-PERP", "-7.5"),
        ("IDLE", "ETH-PERP", "3"),
        ("FLAT", "ETH-PERP", "1"),
    ):
        key = Instrument.objects.get(code=contract).id
        trading.book_leg(cell_id=clients[code].id, instrument_id=key, quantity=Decimal(quantity), price=marks[contract])
    opened = engine.open_tick(market(11, "94100"), 3)

    def in_shards(of: int, *, restarted: bool) -> None:
        TickShard.objects.filter(tick=opened).update(of=of)
        for number in range(of):
            if restarted:
                books.forget()
                standings.forget()
                roster.forget()
                kept_rows.forget()
            engine.run_shard(opened.id, number)

    kept = undone(partial(in_shards, 3, restarted=False))
    assert undone(partial(in_shards, 2, restarted=False)) == kept
    assert undone(partial(in_shards, 3, restarted=True)) == kept
    assert undone(partial(one_by_one, opened)) == kept


def test_a_partial_tick_renews_who_holds_what_moved(clients: dict[str, Cell]) -> None:
    """Those it leaves out would have got the same figures; it is a full one when there is no tick to differ from."""
    last = tick(market(10, "94900"))
    now = load_snapshot(market(11, "94100"))
    mark = transaction.savepoint()
    ends = MOMENT + timedelta(seconds=630)
    Instrument.objects.create(code="SOL-ENDS", kind="FUTURE", underlying="SOL", expiry=ends)
    assert moved_since(last, now) == ["BTC", "SOL"], "whoever holds what has expired is told"
    transaction.savepoint_rollback(mark)
    opened = engine.open_tick(now.id, 2, only_moved=True)
    assert opened.coins == ["BTC"]

    def part() -> None:
        assert opened.shards.count() == 1, "a few are one task"
        engine.run_shard(opened.id, 0)

    def full() -> None:
        Tick.objects.filter(id=opened.id).update(coins=None)
        part()

    renewed, everybody = undone(part), undone(full)
    states = {code: figures for code, *figures in everybody["MarginState"]}
    left_out = {code for code, valuation_id, *_ in renewed["MarginState"] if valuation_id == last.valuation_id}
    assert left_out == {"FLAT", "IDLE"}
    for code, _, *figures in renewed["MarginState"]:
        assert figures == states[code][1:], code
    part()
    later = snapshot({"BTC": "94100", "SOL": "207"})
    both = store_snapshot(replace(later, as_of=MOMENT + timedelta(minutes=12), usdc_peg=Decimal("0.999")))
    assert engine.open_tick(both, 1, only_moved=True).coins is None, "everybody holds dollars"
    nobody = replace(snapshot({"BTC": "94100"}), as_of=MOMENT + timedelta(minutes=13))
    assert engine.open_tick(store_snapshot(nobody), 1, only_moved=True).coins is None, "the last one is not done"


def test_a_coin_that_moves_alone_again_and_again_gives_the_figures_of_full_ticks(clients: dict[str, Cell]) -> None:
    """From the second time on the worker knows the tails of those whom it touches."""
    tick(market(10, "94900"))
    kept_rows.forget()
    for minutes, bitcoin in ((11, "94890"), (12, "94870")):
        opened = engine.open_tick(market(minutes, bitcoin), 2, only_moved=True)
        assert opened.coins == ["BTC"]
        touched = undone(partial(engine.run_shard, opened.id, 0))["MarginState"]
        everybody = undone(partial(one_by_one, opened))["MarginState"]
        renewed = [row for row in touched if row[1] == opened.valuation_id]
        assert len(renewed) == len(BOOKS) - len(("FLAT", "IDLE"))
        assert all(row in everybody for row in renewed), minutes
        engine.run_shard(opened.id, 0)
    held = [books.tails for part in kept_rows._parts.values() for books in part.books]
    assert any(tails.alone.positions is not None for tails in held)


def test_between_two_cycles_nobody_pays_but_whom_something_happens_to(clients: dict[str, Cell]) -> None:
    """What is owed stands in the requirement until the cycle ends; a relationship that is called pays first."""
    hours = timedelta(hours=4)
    first = tick(market(10, "94900"))

    def then(minutes: int, bitcoin: str) -> tuple[Tick, dict[str, MarginState], set[str]]:
        opened = engine.open_tick(market(minutes, bitcoin), 2, cycle=hours)
        for number in (0, 1):
            engine.run_shard(opened.id, number)
        states = MarginState.objects.filter(valuation=opened.valuation).select_related("cell")
        paid = VariationPayment.objects.filter(valuation=opened.valuation).values_list("cell__code", flat=True)
        return opened, {state.cell.code: state for state in states}, set(paid)

    opened, states, paid = then(11, "93900")
    assert (first.settles, opened.settles, opened.keeps_history) == (True, False, False)
    ample = states["AMPLE"]
    assert ample.exposure_base_units == variation.exposure_base_units(ample.cell_id, opened.valuation_id) > 0
    assert ample.required_base_units == ample.exposure_base_units + ample.independent_amount_base_units
    assert "AMPLE" not in paid
    assert "SHORT" in paid, "its call ends, for it gained"
    assert not MarginPoint.objects.filter(valuation=opened.valuation, cell=ample.cell).exists()
    assert then(15, "93900")[0].keeps_history, "five minutes after the last point"
    ended, states, paid = then(10 + 4 * 60, "93900")
    assert ended.settles
    assert {"AMPLE", "CAPPED"} <= paid
    assert states["AMPLE"].exposure_base_units <= 1


def test_a_gain_that_was_just_paid_is_not_free_twice(clients: dict[str, Cell]) -> None:
    """Between payment and the next requirement the one that stands knows what was paid, and so does the vault."""
    hours, cell = timedelta(hours=4), clients["AMPLE"]
    tick(market(10, "94900"))
    opened = engine.open_tick(market(11, "96900"), 1, cycle=hours)
    engine.run_shard(opened.id, 0)
    before = MarginState.objects.get(cell=cell)
    free = before.held_base_units - before.required_base_units
    assert before.exposure_base_units < 0
    last = engine.open_tick(market(10 + 4 * 60, "96900"), 1, cycle=hours)
    variation.settle_all([cell.id], last.valuation_id)
    paid = VariationPayment.objects.get(cell=cell, valuation=last.valuation)
    after = MarginState.objects.get(cell=cell)
    assert after.exposure_base_units == before.exposure_base_units - paid.amount_base_units
    assert after.held_base_units - after.required_base_units <= free
    assert after.held_base_units <= margining.held_after_haircut(cell.id, after.valuation_id)
    gained = -paid.amount_base_units
    locked = paid.instruction.required_base_units - vaults.required_in_force(paid.instruction.target)
    assert locked == 0, "the last number of the vault is that of the credit"
    numbers = ChainInstruction.objects.filter(cell=cell).order_by("-seq").values_list("required_base_units", flat=True)
    assert numbers[0] - numbers[1] >= gained, "the vault locks the requirement without the gain"


def test_a_cycle_that_was_overtaken_is_paid_by_the_next_tick(clients: dict[str, Cell]) -> None:
    hours = timedelta(hours=4)
    tick(market(10, "94900"))
    stuck = engine.open_tick(market(10 + 4 * 60, "94800"), 1, cycle=hours)
    later = engine.open_tick(market(11 + 4 * 60, "94800"), 1, cycle=hours)
    assert (stuck.settles, later.settles) == (True, True)
    engine.run_shard(later.id, 0)
    assert not engine.open_tick(market(12 + 4 * 60, "94800"), 1, cycle=hours).settles


def test_what_is_owed_on_something_that_expires_is_paid_while_it_has_a_mark(clients: dict[str, Cell]) -> None:
    hours = timedelta(hours=4)
    tick(market(10, "94900"))
    expires = Instrument.objects.get(code="BTC-CALL").expiry
    assert expires is not None
    minutes = int((expires - MOMENT).total_seconds() // 60)
    for before, settles in ((240, True), (60, False), (4, True), (2, True)):
        opened = engine.open_tick(market(minutes - before, "94900"), 1, cycle=hours)
        assert opened.settles is settles, before
        Tick.objects.filter(id=opened.id).update(done_at=MOMENT)
