"""The tick over many relationships gives each what it would get alone, whoever else is in its part or shard.

One mixed world: margined amply and too little, in WBTC and under a line, with calls that stand, lapse or shrink, a
live default, positions that net to nothing, another ruleset, and relationships whose rows are wrong.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import psycopg
import pytest
import redis
from django.db import connection, transaction
from django.db.models import Model

from intermediary import books, calls, clock, credit, defaults, ledger, ports, trading
from intermediary.config.celery import app
from intermediary.config.replay import store_snapshot
from intermediary.errors import Refusal
from intermediary.ids import uuid7
from intermediary.ledger import Line
from intermediary.models import (
    Account,
    AccountKind,
    CallEvent,
    CallIncrement,
    Cell,
    ChainInstruction,
    DefaultCase,
    Instrument,
    Lot,
    MarginCall,
    MarginPoint,
    MarginState,
    Position,
    Trade,
    VariationPayment,
)
from risk import engine, tasks
from risk.book import load_universe
from risk.models import RequirementRecord, Tick, TickShard
from tests.intermediary import default_world
from tests.intermediary.builders import client_cell
from tests.intermediary.margin_world import MILLION, Client, Limits, client, fund_house, officer
from tests.risk.builders import EXPIRY, MOMENT, snapshot

pytestmark = pytest.mark.django_db

# code -> (margin in USDC, contract -> quantities of its trades, changes of the terms)
BOOKS: dict[str, tuple[int, dict[str, str], dict[str, Any]]] = {
    "AMPLE": (90 * MILLION, {"BTC-PERP": "100", "ETH-PERP": "-500"}, {}),
    "SHORT": (1 * MILLION, {"BTC-PERP": "-90"}, {}),
    "CALLED": (MILLION // 5, {"BTC-PERP": "40"}, {}),
    "LAPSED": (MILLION // 5, {"BTC-PERP": "40"}, {"deliver_minutes": 0}),
    "NOTICED": (MILLION // 5, {"BTC-PERP": "40"}, {"deliver_minutes": 0, "grace_minutes": 0}),
    "COINS": (12 * MILLION, {"BTC-PERP": "30", "BTC-FUT": "-30"}, {}),
    "LINE": (3 * MILLION, {"BTC-PERP": "120"}, {}),
    "FLAT": (2 * MILLION, {"ETH-PERP": "5 -5"}, {}),
    "IDLE": (0, {}, {}),
    "OPTIONS": (40 * MILLION, {"BTC-CALL": "-50", "BTC-PERP": "20.00000001"}, {}),
    "CAPPED": (60 * MILLION, {"BTC-PERP": "100"}, {"debit_cap_base_units": 2 * MILLION}),
    "OTHER": (60 * MILLION, {"BTC-PERP": "100"}, {"ruleset": "worked-example"}),
}


def market(minutes: int, bitcoin: str) -> str:
    """The id of a stored snapshot so many minutes after the start."""
    moved = snapshot({"BTC": bitcoin})
    return store_snapshot(replace(moved, as_of=MOMENT + timedelta(minutes=minutes)))


def listed() -> dict[str, Instrument]:
    kinds = Instrument.Kind
    rows = (
        Instrument(code="BTC-PERP", kind=kinds.PERPETUAL, underlying="BTC"),
        Instrument(code="ETH-PERP", kind=kinds.PERPETUAL, underlying="ETH"),
        Instrument(code="BTC-FUT", kind=kinds.FUTURE, underlying="BTC", expiry=EXPIRY),
        Instrument(code="BTC-CALL", kind=kinds.CALL, underlying="BTC", expiry=EXPIRY, strike=Decimal(100_000)),
    )
    return {row.code: row for row in Instrument.objects.bulk_create(rows)}


def tick(snapshot_id: str, shards: int = 1) -> Tick:
    opened = engine.open_tick(snapshot_id, shards)
    for number in range(shards):
        engine.run_shard(opened.id, number)
    return Tick.objects.get(id=opened.id)


def settled_at(opened: Tick, who: Client, quantities: dict[str, str]) -> None:
    """The book, paid for at this valuation's marks."""
    marks = dict(opened.valuation.marks.values_list("instrument__code", "price"))
    for code, trades in quantities.items():
        key = Instrument.objects.get(code=code).id
        for text in trades.split():
            trading.book_leg(cell_id=who.cell.id, instrument_id=key, quantity=Decimal(text), price=marks[code])


def fund_float(cell: Cell) -> None:
    """Float that faces the cell, so that its gains are paid."""
    lines = [Line(AccountKind.EQUITY, "USDC", -50 * MILLION), Line(AccountKind.FLOAT, "USDC", 50 * MILLION)]
    ledger.post(entry_id=uuid7(), cell_id=cell.id, kind="capital", memo="float", lines=lines)


def face_each_other(short: Client, long: Client) -> None:
    """40 coins of one are what the other's are: when one's loss is not covered, the other's gain on them waits."""
    perpetual, coins, price = Instrument.objects.get(code="BTC-PERP"), Decimal(40), Decimal(95_000)
    trade = Trade.objects.create(
        instrument=perpetual, buyer=long.cell, seller=short.cell, quantity=coins, price=price, state="NOVATED"
    )
    for who, other, quantity in ((short, long, -coins), (long, short, coins)):
        Lot.objects.create(
            cell=who.cell,
            opposite=other.cell,
            trade=trade,
            instrument=perpetual,
            quantity=quantity,
            open_quantity=quantity,
            price=price,
        )


def give_notice(who: Client) -> None:
    """A default notice on the cell's lapsed call."""
    maker, checker = officer("first"), officer("second")
    proposal = defaults.propose_notice(maker=maker, cell_id=who.cell.id, reason="nothing delivered")
    defaults.give_notice(checker=checker, proposal_id=proposal.id, seen_hash=proposal.hash, reason="checked")
    default_world.settle()


def grant_line(who: Client) -> None:
    """A line of 2 million behind funded layers."""
    ports.bind_risk_gate(Limits())
    proposal = credit.propose_line(
        maker=officer("maker"),
        cell_id=who.cell.id,
        threshold_base_units=2 * MILLION,
        first_loss_base_units=3 * MILLION,
        tail_base_units=0,
        senior_base_units=0,
        slice_id=None,
        expires_at=clock.now() + timedelta(days=90),
        reason="known for years",
    )
    credit.approve_line(checker=officer("checker"), proposal_id=proposal.id, seen_hash=proposal.hash, reason="seen")


@pytest.fixture
def clients() -> dict[str, Client]:
    """The world after two ticks: the first at 95,000, then calls answered in every way and a second at 94,900."""
    fund_house(100 * MILLION)
    listed()
    found = {code: client(code, **changes) for code, (_, _, changes) in BOOKS.items()}
    first = tick(market(0, "95000"))
    for code, who in found.items():
        margin, quantities, _ = BOOKS[code]
        if margin:
            who.deposit(margin)
        fund_float(who.cell)
        settled_at(first, who, quantities)
    found["COINS"].deposit(100 * 10**8, "WBTC")
    face_each_other(found["SHORT"], found["CALLED"])
    grant_line(found["LINE"])
    default_world.settle()
    engine.renew_requirements(Cell.objects.filter(kind="CLIENT").values_list("id", flat=True))
    default_world.settle()
    with transaction.atomic():
        calls.lapse_due(clock.now())
    give_notice(found["NOTICED"])
    tick(market(5, "94900"))
    default_world.settle()
    return found


# What a tick may change. Left out: keys, times of writing, and what the database derives from other columns.
TABLES: dict[type[Model], tuple[str, ...]] = {
    MarginState: (
        "valuation_id", "exposure_base_units", "independent_amount_base_units", "threshold_base_units",
        "required_base_units", "held_base_units", "ruleset_hash", "breakdown", "admission",
    ),
    MarginPoint: ("valuation_id", "required_base_units", "held_base_units", "exposure_base_units"),
    MarginCall: ("state", "direction", "kind", "amount_base_units", "valuation_id", "pledged_base_units"),
    CallIncrement: ("amount_base_units", "unmet_base_units"),
    CallEvent: ("before", "after", "amount_base_units", "note"),
    ChainInstruction: (
        "target_id", "seq", "kind", "amount_base_units", "required_base_units", "arguments", "entry_id", "state",
    ),
    VariationPayment: ("valuation_id", "amount_base_units"),
    Position: ("instrument_id", "quantity", "settled_value"),
    Account: ("kind", "asset_id", "balance_base_units"),
    RequirementRecord: ("tick_id", "cause", "ruleset_hash", "book_hash", "independent_amount_base_units", "breakdown"),
}  # fmt: skip


def rows() -> dict[str, list[Any]]:
    """Everything that a tick writes, by table, with the cell's code in place of keys."""
    found: dict[str, list[Any]] = {"Cell": list(Cell.objects.order_by("code").values_list("code", "state"))}
    for table, columns in TABLES.items():
        found[table.__name__] = sorted(table._default_manager.values_list("cell__code", *columns), key=repr)
    return found


def undone(work: Callable[[], object]) -> dict[str, list[Any]]:
    """The rows after some work, which is then undone."""
    before = transaction.savepoint()
    work()
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
    found = rows()
    transaction.savepoint_rollback(before)
    return found


def one_by_one(opened: Tick) -> None:
    for cell_id in engine.cells_of_shard(0, 1):
        engine.renew_one(opened, cell_id, load_universe())


def test_many_at_once_get_the_rows_that_each_gets_alone(clients: dict[str, Client]) -> None:
    assert_the_world_holds_every_kind_of_relationship()
    for minute, bitcoin in enumerate(["94900", "94899.99", "97000", "60000"]):
        opened = engine.open_tick(market(10 + minute, bitcoin), 1)
        together = undone(partial(engine.run_shard, opened.id, 0))
        apart = undone(partial(one_by_one, opened))
        for table in apart:
            assert together[table] == apart[table], (bitcoin, table)
    assert_each_way_to_pay_was_taken(together)


def assert_each_way_to_pay_was_taken(fallen: dict[str, list[Any]]) -> None:
    """In the last market, far below: paid in whole, held back in part, beyond the cap, beyond the margin."""
    valuation_id = Tick.objects.first().valuation_id  # type: ignore[union-attr]
    paid = {code: amount for code, at, amount in fallen["VariationPayment"] if at == valuation_id}
    assert paid["AMPLE"] > 0
    assert -90 * 34_900 * 10**6 < paid["SHORT"] < -40 * 34_900 * 10**6
    assert paid.keys().isdisjoint({"CAPPED", "CALLED", "LAPSED", "NOTICED"})


def assert_the_world_holds_every_kind_of_relationship() -> None:
    """What the comparison is worth: each way through the tick is taken by somebody."""
    pending = MarginCall.objects.filter(state__in=calls.PENDING_STATES)
    assert dict(pending.filter(kind="MARGIN").values_list("cell__code", "state")) == {
        "SHORT": "ISSUED",
        "CALLED": "ISSUED",
        "LAPSED": "LAPSED",
    }
    assert "ISSUED" in pending.filter(kind="COVERAGE").values_list("state", flat=True)
    assert DefaultCase.objects.get().cell.code == "NOTICED"
    states = {state.cell.code: state for state in MarginState.objects.select_related("cell")}
    assert states["LINE"].threshold_base_units == 2 * MILLION
    assert states["IDLE"].required_base_units == 0
    assert states["COINS"].held_base_units > 12 * MILLION
    assert {payment.amount_base_units > 0 for payment in VariationPayment.objects.all()} == {True, False}


def test_a_tick_does_not_depend_on_its_shards_or_on_being_repeated(clients: dict[str, Client]) -> None:
    opened = engine.open_tick(market(10, "94500"), 3)

    def in_shards(*numbers: int) -> None:
        TickShard.objects.filter(tick=opened).update(of=len(numbers), done_at=None)
        for number in numbers:
            engine.run_shard(opened.id, number)

    def twice() -> None:
        in_shards(2, 0, 1)
        in_shards(0, 1, 2)

    alone = undone(lambda: in_shards(0))
    assert undone(lambda: in_shards(0, 1, 2)) == alone
    assert undone(twice) == alone


def test_what_a_worker_keeps_changes_no_figure(clients: dict[str, Client]) -> None:
    """A book that changed between two ticks, a relationship in another shard, a worker that has just started."""
    tick(market(10, "94900"))
    marks = {"BTC-PERP": Decimal("94900"), "ETH-PERP": Decimal("4016")}
    for code, contract, quantity in (
        ("AMPLE", "BTC-PERP", "-7.5"),
        ("IDLE", "ETH-PERP", "3"),
        ("FLAT", "ETH-PERP", "1"),
    ):
        key = Instrument.objects.get(code=contract).id
        trading.book_leg(
            cell_id=clients[code].cell.id, instrument_id=key, quantity=Decimal(quantity), price=marks[contract]
        )
    opened = engine.open_tick(market(11, "94100"), 3)

    def in_shards(of: int, *, restarted: bool) -> None:
        TickShard.objects.filter(tick=opened).update(of=of)
        for number in range(of):
            if restarted:
                books.forget()
            engine.run_shard(opened.id, number)

    kept = undone(partial(in_shards, 3, restarted=False))
    assert undone(partial(in_shards, 2, restarted=False)) == kept
    assert undone(partial(in_shards, 3, restarted=True)) == kept
    assert undone(partial(one_by_one, opened)) == kept


def test_a_partial_tick_renews_who_holds_what_moved(clients: dict[str, Client]) -> None:
    """Those it leaves out would have got the same figures; it is a full one when there is no tick to differ from."""
    last = tick(market(10, "94900"))
    opened = engine.open_tick(market(11, "94100"), 2, only_moved=True)
    assert opened.coins == ["BTC"]

    def part() -> None:
        for number in (0, 1):
            engine.run_shard(opened.id, number)

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


def test_a_relationship_that_leaves_between_two_shards_takes_nobody_with_it(clients: dict[str, Client]) -> None:
    """Who is in which shard is a property of each relationship, not of its place among those that are left."""
    opened = engine.open_tick(market(10, "94900"), 2)
    before = {cell_id: number for number in (0, 1) for cell_id in engine.cells_of_shard(number, 2)}
    engine.run_shard(opened.id, 0)
    gone = min(before)
    Cell.objects.filter(id=gone).update(state=Cell.State.DEFAULTED)
    engine.run_shard(opened.id, 1)
    renewed = set(MarginState.objects.filter(valuation=opened.valuation).values_list("cell_id", flat=True))
    assert before.keys() - {gone} <= renewed
    assert {cell_id: number for number in (0, 1) for cell_id in engine.cells_of_shard(number, 2)} == {
        cell_id: number for cell_id, number in before.items() if cell_id != gone
    }


def test_a_quiet_tick_needs_few_queries_for_any_number(
    clients: dict[str, Client], django_assert_max_num_queries: Any
) -> None:
    """A market that stands still: everybody's figures are renewed, nothing is done to anybody."""
    before = ChainInstruction.objects.count()
    quiet = [clients[code].cell.id for code in ("AMPLE", "LINE", "FLAT", "IDLE", "OTHER")]
    opened = engine.open_tick(market(10, "94900"), 1)
    with django_assert_max_num_queries(40):
        engine.renew_requirements(quiet)
    assert MarginState.objects.filter(valuation=opened.valuation, cell_id__in=quiet).count() == len(quiet)
    assert ChainInstruction.objects.count() == before


def test_a_moving_tick_needs_few_queries_for_any_number(
    clients: dict[str, Client], django_assert_max_num_queries: Any
) -> None:
    """Everybody pays or is paid and vaults follow, but no call moves."""
    paying = [clients[code].cell.id for code in ("AMPLE", "OPTIONS", "CAPPED", "OTHER")]
    opened = engine.open_tick(market(10, "95400"), 1)
    with django_assert_max_num_queries(60):
        engine.renew_requirements(paying)
    assert VariationPayment.objects.filter(valuation=opened.valuation, cell_id__in=paying).count() == len(paying)


def test_a_bad_relationship_is_named_and_the_others_are_renewed(clients: dict[str, Client]) -> None:
    """No terms, a position without a mark, and terms under a ruleset that does not exist: that one fails its whole
    part, which is then taken cell by cell."""
    client_cell("UNSIGNED")
    strange = client("STRANGE", ruleset="of-tomorrow")
    opened = engine.open_tick(market(10, "94900"), 1)
    late = Instrument.objects.create(code="XRP-PERP", kind=Instrument.Kind.PERPETUAL, underlying="XRP")
    trading.book_leg(cell_id=clients["FLAT"].cell.id, instrument_id=late.id, quantity=Decimal(1), price=Decimal(2))
    engine.run_shard(opened.id, 0)
    shard = TickShard.objects.get(tick=opened)
    assert shard.done_at is not None
    assert {code: why.split(":")[0] for code, why in shard.refused.items()} == {
        "UNSIGNED": "no_terms",
        "FLAT": "mark_missing",
        "STRANGE": "risk.unknown_ruleset",
    }
    renewed = set(MarginState.objects.filter(valuation=opened.valuation).values_list("cell__code", flat=True))
    assert renewed == set(BOOKS) - {"FLAT"}
    with pytest.raises(Refusal, match="requirement_not_renewed") as refused:
        engine.renew_requirements([clients["FLAT"].cell.id, clients["AMPLE"].cell.id, strange.cell.id])
    assert set(refused.value.data["cells"]) == {"FLAT", "STRANGE"}


def test_an_older_market_changes_nothing(clients: dict[str, Client]) -> None:
    opened = engine.open_tick(market(10, "94000"), 1)
    tick(market(15, "94900"))
    before = rows()
    engine.run_shard(opened.id, 0)
    assert rows() == before


def test_a_shard_that_another_session_is_at_is_left_to_it(clients: dict[str, Client], postgres_admin_url: str) -> None:
    opened = engine.open_tick(market(10, "94900"), 1)
    shard = TickShard.objects.filter(tick=opened)
    with psycopg.connect(clone_url(postgres_admin_url)) as another:
        another.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [f"shard {opened.id} 0"])
        engine.run_shard(opened.id, 0)
        assert shard.get().done_at is None
        another.execute("SELECT pg_advisory_unlock_all()")
    engine.run_shard(opened.id, 0)
    assert shard.get().done_at is not None


def clone_url(admin_url: str) -> str:
    """The administrator's address of the database that this test works in: locks belong to one database."""
    return admin_url.rpartition("/")[0] + "/" + str(connection.settings_dict["NAME"])


def test_a_tick_that_is_asked_for_again_hands_out_what_is_not_done(
    clients: dict[str, Client], valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a worker lost, by its time limit or with the broker, is found by asking again; what is done is left."""
    monkeypatch.setattr(app.conf, "broker_url", valkey_url)
    queue = redis.Redis.from_url(valkey_url)
    queue.delete("risk")
    snapshot_id = market(10, "94900")
    tasks.open_tick(snapshot_id)
    assert queue.llen("risk") == tasks.SHARDS
    queue.delete("risk")
    engine.run_shard(Tick.objects.get(snapshot_id=snapshot_id).id, 0)
    tasks.open_tick(snapshot_id)
    assert queue.llen("risk") == tasks.SHARDS - 1
    queue.delete("risk")
