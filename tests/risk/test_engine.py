"""The tick over many relationships gives each what it would get alone, whoever else is in its part or shard.

Beside the mixed world of `tick_world`, relationships whose rows are wrong.
"""

from decimal import Decimal
from functools import partial
from typing import Any

import psycopg
import pytest
import redis
from django.db import connection

from intermediary import books, calls, trading
from intermediary.config.celery import app
from intermediary.errors import Refusal
from intermediary.models import (
    Cell,
    ChainInstruction,
    DefaultCase,
    Instrument,
    MarginCall,
    MarginState,
    VariationPayment,
)
from risk import engine, tasks
from risk.models import Tick, TickShard
from risk.shards import cells_of_shard
from tests.conftest import TestDatabase
from tests.intermediary.builders import client_cell
from tests.intermediary.margin_world import MILLION, client
from tests.risk.tick_world import BOOKS, market, mixed_world, one_by_one, rows, tick, undone

pytestmark = pytest.mark.world(build=mixed_world)


@pytest.fixture
def clients(committing_db: TestDatabase, db: None, built_world: dict[str, Cell]) -> dict[str, Cell]:
    """The mixed world, in a transaction that is the test's own, so that work can be undone within it; this process has
    read the books, as one that ran the tick before has."""
    books.read([cell.id for cell in built_world.values()])
    return built_world


def test_many_at_once_get_the_rows_that_each_gets_alone(clients: dict[str, Cell]) -> None:
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


def test_a_tick_does_not_depend_on_its_shards_or_on_being_repeated(clients: dict[str, Cell]) -> None:
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


def test_a_relationship_that_leaves_between_two_shards_takes_nobody_with_it(clients: dict[str, Cell]) -> None:
    """Who is in which shard is a property of each relationship, not of its place among those that are left."""
    opened = engine.open_tick(market(10, "94900"), 2)
    before = {cell_id: number for number in (0, 1) for cell_id in cells_of_shard(number, 2)}
    engine.run_shard(opened.id, 0)
    gone = min(before)
    Cell.objects.filter(id=gone).update(state=Cell.State.DEFAULTED)
    engine.run_shard(opened.id, 1)
    renewed = set(MarginState.objects.filter(valuation=opened.valuation).values_list("cell_id", flat=True))
    assert before.keys() - {gone} <= renewed
    assert {cell_id: number for number in (0, 1) for cell_id in cells_of_shard(number, 2)} == {
        cell_id: number for cell_id, number in before.items() if cell_id != gone
    }


def test_a_quiet_tick_needs_few_queries_for_any_number(
    clients: dict[str, Cell], django_assert_max_num_queries: Any
) -> None:
    """A market that stands still: everybody's figures are renewed, nothing is done to anybody."""
    before = ChainInstruction.objects.count()
    quiet = [clients[code].id for code in ("AMPLE", "LINE", "FLAT", "IDLE", "OTHER")]
    opened = engine.open_tick(market(10, "94900"), 1)
    with django_assert_max_num_queries(40):
        engine.renew_requirements(quiet)
    assert MarginState.objects.filter(valuation=opened.valuation, cell_id__in=quiet).count() == len(quiet)
    assert ChainInstruction.objects.count() == before


def test_a_moving_tick_needs_few_queries_for_any_number(
    clients: dict[str, Cell], django_assert_max_num_queries: Any
) -> None:
    """Everybody pays or is paid and vaults follow, but no call moves."""
    paying = [clients[code].id for code in ("AMPLE", "OPTIONS", "CAPPED", "OTHER")]
    opened = engine.open_tick(market(10, "95400"), 1)
    with django_assert_max_num_queries(60):
        engine.renew_requirements(paying)
    assert VariationPayment.objects.filter(valuation=opened.valuation, cell_id__in=paying).count() == len(paying)


def test_a_bad_relationship_is_named_and_the_others_are_renewed(clients: dict[str, Cell]) -> None:
    """No terms, a position without a mark, and terms under a ruleset that does not exist: that one fails its whole
    part, which is then taken cell by cell."""
    client_cell("UNSIGNED")
    strange = client("STRANGE", ruleset="of-tomorrow")
    opened = engine.open_tick(market(10, "94900"), 1)
    late = Instrument.objects.create(code="XRP-PERP", kind=Instrument.Kind.PERPETUAL, underlying="XRP")
    trading.book_leg(cell_id=clients["FLAT"].id, instrument_id=late.id, quantity=Decimal(1), price=Decimal(2))
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
        engine.renew_requirements([clients["FLAT"].id, clients["AMPLE"].id, strange.cell.id])
    assert set(refused.value.data["cells"]) == {"FLAT", "STRANGE"}


def test_an_older_market_changes_nothing(clients: dict[str, Cell]) -> None:
    opened = engine.open_tick(market(10, "94000"), 1)
    tick(market(15, "94900"))
    before = rows()
    engine.run_shard(opened.id, 0)
    assert rows() == before


def test_a_shard_that_another_session_is_at_is_left_to_it(clients: dict[str, Cell], postgres_admin_url: str) -> None:
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
    clients: dict[str, Cell], valkey_url: str, monkeypatch: pytest.MonkeyPatch
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
