"""No reference from one cell into another can be written, not even by raw SQL under the worker's login (I3, I7)."""

from typing import Any
from uuid import UUID

import pytest
from django.db import DatabaseError, connection, transaction

from intermediary import outbox
from intermediary.ids import uuid7
from intermediary.models import ChainInstruction, ChainTarget, Lot, Trade
from settlement.models import Approval, Batch
from tests.intermediary import default_world as world_of

pytestmark = pytest.mark.django_db

# What a composite key cannot say, and the trigger that says it instead.
BY_TRIGGER = {
    ("intermediary_chaininstruction", "target_id"): "instruction_stays_in_its_cell",
    ("intermediary_uncoveredshare", "case_id"): "uncovered_reaches_linked_lots",
}
SINGLE_KEYS = """
    SELECT src.relname, att.attname FROM pg_constraint con
    JOIN pg_class src ON src.oid = con.conrelid JOIN pg_class dst ON dst.oid = con.confrelid
    JOIN pg_attribute att ON att.attrelid = src.oid AND att.attnum = con.conkey[1]
    WHERE con.contype = 'f' AND array_length(con.conkey, 1) = 1 AND dst.relname <> 'intermediary_cell'
    AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = src.oid AND attname = 'cell_id' AND NOT attisdropped)
    AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = dst.oid AND attname = 'cell_id' AND NOT attisdropped)
    AND NOT EXISTS (
        SELECT FROM pg_constraint pair WHERE pair.contype = 'f' AND pair.conrelid = src.oid
        AND array_length(pair.conkey, 1) = 2 AND att.attnum = ANY (pair.conkey)
        AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = src.oid AND attname = 'cell_id'
                    AND attnum = ANY (pair.conkey)))
"""


def rows(query: str, *values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchall() if cursor.description else []


def refused(name: str, query: str, *values: Any) -> None:
    with pytest.raises(DatabaseError, match=name), transaction.atomic():
        rows(query, *values)
        rows("SET CONSTRAINTS ALL IMMEDIATE")


def test_every_reference_between_rows_of_cells_carries_the_cell() -> None:
    assert set(rows(SINGLE_KEYS)) == set(BY_TRIGGER)
    triggers = {name for (name,) in rows("SELECT tgname FROM pg_trigger")}
    assert triggers >= set(BY_TRIGGER.values())


def test_a_lot_is_one_leg_of_its_trade() -> None:
    world = world_of.build()
    trade = Trade.objects.get(seller=world.cells["W"])

    def insert(cell: str, opposite: str, quantity: int) -> tuple[str, object, object, object, object, object, int, int]:
        query = (
            "INSERT INTO intermediary_lot (id, cell_id, trade_id, instrument_id, opposite_id, quantity, open_quantity,"
            " price) VALUES (%s, %s, %s, %s, %s, %s, %s, 1)"
        )
        cells = world.cells
        return (query, uuid7(), cells[cell].id, trade.id, trade.instrument_id, cells[opposite].id, quantity, quantity)

    for stranger in (("U", "D", 1), ("U", "W", -1), ("D", "U", 1), ("D", "W", -1)):
        refused("lot_is_a_side_of_its_trade", *insert(*stranger))
    lot = Lot.objects.get(cell=world.d, trade=trade)
    for column, cell in (("cell_id", "U"), ("opposite_id", "M")):
        update = f"UPDATE intermediary_lot SET {column} = %s WHERE id = %s"
        refused("lot_is_a_side_of_its_trade", update, world.cells[cell].id, lot.id)


def test_uncovered_reaches_the_holder_of_a_linked_lot_and_nobody_else() -> None:
    world = world_of.build()
    case = world_of.terminated(world, 60_000)
    insert = (
        "INSERT INTO intermediary_uncoveredshare (id, case_id, cell_id, lot_id, unpaid_gain_base_units,"
        " amount_base_units) VALUES (%s, %s, %s, %s, 1, 1)"
    )
    linked, own = Lot.objects.get(cell=world.cells["W"]), Lot.objects.filter(cell=world.d)[0]
    refused("uncoveredshare_lot_same_cell", insert, uuid7(), case.id, world.cells["U"].id, linked.id)
    refused("uncovered_reaches_linked_lots", insert, uuid7(), case.id, world.d.id, own.id)
    rows(insert, uuid7(), case.id, linked.cell_id, linked.id)


def test_a_verdict_is_about_a_side_of_its_trade() -> None:
    world = world_of.build()
    trade_id: UUID = Trade.objects.get(seller=world.cells["W"]).id
    insert = (
        "INSERT INTO intermediary_tradecheck (id, cell_id, trade_id, passed, numbers) VALUES (%s, %s, %s, true, '{}')"
    )
    refused("check_is_of_a_side", insert, uuid7(), world.cells["U"].id, trade_id)
    rows(insert, uuid7(), world.cells["W"].id, trade_id)


def test_a_movement_goes_to_the_vault_of_its_instruction() -> None:
    world = world_of.build()
    world_of.notice(world, world_of.lapsed_call(world, world_of.value(world, 78_000)))
    house, vault = ChainTarget.objects.filter(kind="HOUSE")[0], ChainTarget.objects.filter(cell=world.cells["W"])[0]
    batch = Batch.objects.create(
        house=house, number=1, statement="", leaves=[], approval=Approval.objects.create(kind="BATCH", body={})
    )
    instruction = ChainInstruction.objects.filter(cell=world.d)[0]
    insert = (
        "INSERT INTO settlement_batchmovement (id, batch_id, position, instruction_id, vault_id, contract_seq, ref,"
        " outcome, reason) VALUES (%s, %s, 0, %s, %s, 1, '', 'PENDING', '')"
    )
    refused("movement_goes_to_its_target", insert, uuid7(), batch.id, instruction.id, vault.id)
    rows(insert, uuid7(), batch.id, instruction.id, instruction.target_id)


def test_an_instruction_goes_from_state_to_state_as_listed_and_keeps_its_key() -> None:
    world_of.build()
    vault = ChainTarget.objects.filter(kind=ChainTarget.Kind.VAULT)[0]
    assert vault.cell_id is not None
    made = outbox.instruct(target=vault, cell_id=vault.cell_id, kind=ChainInstruction.Kind.REQUIRE).id
    refused("transition_not_listed", "UPDATE intermediary_chaininstruction SET state = 'FINAL' WHERE id = %s", made)
    rows("UPDATE intermediary_chaininstruction SET state = 'BATCHED' WHERE id = %s", made)
    another = "UPDATE intermediary_chaininstruction SET id = %s, state = 'INCLUDED' WHERE id = %s"
    refused("transition_not_listed", another, uuid7(), made)
