"""One mixed world of relationships for tests of the tick, and the rows that a tick writes.

Margined amply and too little, in WBTC and under a line, with calls that stand, lapse or shrink, a live default,
positions that net to nothing, another ruleset, and a hedge that no netting opinion covers.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from django.db.models import Model

from intermediary import calls, clock, credit, defaults, ledger, ports, trading
from intermediary.config.replay import store_snapshot
from intermediary.ids import uuid7
from intermediary.ledger import Line
from intermediary.models import (
    Account,
    AccountKind,
    CallEvent,
    CallIncrement,
    Cell,
    ChainInstruction,
    Instrument,
    Lot,
    MarginCall,
    MarginPoint,
    MarginState,
    Party,
    Position,
    Trade,
    VariationPayment,
)
from risk import engine
from risk.models import RequirementRecord, Tick
from risk.shards import cells_of_shard
from tests.intermediary import default_world
from tests.intermediary.margin_world import MILLION, Client, Limits, client, fund_house, officer
from tests.risk.builders import EXPIRY, MOMENT, snapshot

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
    "GROSS": (60 * MILLION, {"BTC-PERP": "100", "BTC-FUT": "-100"}, {}),
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


def mixed_world() -> dict[str, Cell]:
    """Its relationships after two ticks: at 95,000, then calls answered in every way, and at 94,900."""
    with transaction.atomic():
        fund_house(100 * MILLION)
        listed()
        found = {code: client(code, **changes) for code, (_, _, changes) in BOOKS.items()}
        Party.objects.filter(cells=found["GROSS"].cell).update(netting_opinion=Party.NettingOpinion.NONE)
    first = tick(market(0, "95000"))
    with transaction.atomic():
        _take_up(found, first)
    engine.renew_requirements(Cell.objects.filter(kind="CLIENT").values_list("id", flat=True))
    with transaction.atomic():
        default_world.settle()
        calls.lapse_due(clock.now())
    with transaction.atomic():
        give_notice(found["NOTICED"])
    tick(market(5, "94900"))
    with transaction.atomic():
        default_world.settle()
    return {code: who.cell for code, who in found.items()}


def _take_up(found: dict[str, Client], first: Tick) -> None:
    """Everybody's margin and book at the first tick's marks, trades between two of them, and a line."""
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
    for cell_id in cells_of_shard(0, 1):
        engine.renew_one(opened, cell_id, engine.universe_of(opened))
