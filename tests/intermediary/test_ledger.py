"""The ledger and its database: what it refuses when tried with raw SQL under the worker's own login."""

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.db import DatabaseError, connection, transaction

from intermediary import ledger
from intermediary.errors import Refusal
from intermediary.ids import derive, uuid7
from intermediary.ledger import Line
from intermediary.models import Account, AccountKind, Cell, JournalEntry, Posting
from tests.intermediary.builders import assets, client_cell, deposit

pytestmark = pytest.mark.django_db


def sql(statement: str, *parameters: UUID | str | int) -> None:
    """Run one statement in a savepoint, with deferred constraints checked at once."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")


@pytest.fixture
def cell() -> Cell:
    assets()
    return client_cell("R-1")


def insert_posting(entry: UUID, account: UUID, cell: UUID, amount: int, asset: str = "USDC") -> None:
    sql(
        "INSERT INTO intermediary_posting (id, cell_id, entry_id, account_id, asset_id, amount_base_units,"
        " balance_before_base_units, balance_after_base_units, version) VALUES (%s,%s,%s,%s,%s,%s,0,0,0)",
        uuid7(), cell, entry, account, asset, amount,
    )  # fmt: skip


def insert_entry(cell: Cell, lines: int) -> UUID:
    entry = uuid7()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO intermediary_journalentry (id, cell_id, kind, memo, body_hash, line_count)"
            " VALUES (%s, %s, 'x', 'x', 'x', %s)",
            [entry, cell.id, lines],
        )
    return entry


def test_an_unbalanced_entry_is_refused_by_the_database(cell: Cell) -> None:
    deposit(cell, 100)
    account = Account.objects.get(cell=cell, kind="outside")
    with pytest.raises(DatabaseError, match="entry_balances"), transaction.atomic():
        entry = insert_entry(cell, 2)
        insert_posting(entry, account.id, cell.id, 5)


def test_an_entry_without_lines_is_refused_by_the_database(cell: Cell) -> None:
    with pytest.raises(DatabaseError, match="entry_balances"), transaction.atomic():
        insert_entry(cell, 2)
        sql("SELECT 1")


def test_no_line_joins_an_older_entry(cell: Cell) -> None:
    old = deposit(cell, 100)
    account = Account.objects.get(cell=cell, kind="client_margin")
    other = Account.objects.get(cell=cell, kind="outside")
    with pytest.raises(DatabaseError, match="entry_balances"), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        for target, amount in ((account, 5), (other, -5)):
            Posting.objects.create(cell=cell, entry=old, account=target, asset_id="USDC", amount_base_units=amount)
        sql("SELECT 1")


def test_a_posting_into_another_cells_account_is_unrepresentable(cell: Cell) -> None:
    stranger = client_cell("R-2")
    deposit(stranger, 50)
    entry = deposit(cell, 100)
    foreign = Account.objects.get(cell=stranger, kind="client_margin")
    for claimed_cell in (cell.id, stranger.id):
        with pytest.raises(DatabaseError, match="same_cell"):
            insert_posting(entry.id, foreign.id, claimed_cell, 1)


@pytest.mark.parametrize("table", ["journalentry", "posting", "auditrecord", "termsversion", "event", "layerloss"])
def test_what_is_written_stays_written(cell: Cell, table: str) -> None:
    with pytest.raises(DatabaseError, match=r"append_only|permission denied"):
        sql(f"DELETE FROM intermediary_{table}")
    with pytest.raises(DatabaseError, match=r"append_only|permission denied"):
        sql(f"TRUNCATE intermediary_{table} CASCADE")
    with pytest.raises(DatabaseError, match=r"append_only|permission denied"):
        sql(f"UPDATE intermediary_{table} SET recorded_at = now()")


def test_the_worker_cannot_write_a_balance(cell: Cell) -> None:
    deposit(cell, 100)
    with pytest.raises(DatabaseError, match="permission denied"):
        sql("UPDATE intermediary_account SET balance_base_units = 1000000")
    with pytest.raises(DatabaseError, match="account_starts_empty"):
        Account.objects.create(cell=cell, kind="fees", asset_id="USDC", balance_base_units=5)


def test_a_vault_cannot_be_overdrawn_even_by_raw_sql(cell: Cell) -> None:
    entry = deposit(cell, 100)
    account = Account.objects.get(cell=cell, kind="client_margin")
    with pytest.raises(DatabaseError, match="account_not_overdrawn"):
        insert_posting(entry.id, account.id, cell.id, -101)


def test_an_overdraft_is_refused_with_the_numbers(cell: Cell) -> None:
    deposit(cell, 100)
    with pytest.raises(Refusal) as refused:
        ledger.post(
            entry_id=uuid7(), cell_id=cell.id, kind="x", memo="x",
            lines=[Line(AccountKind.CLIENT_MARGIN, "USDC", -101), Line(AccountKind.FLOAT, "USDC", 101)],
        )  # fmt: skip
    assert refused.value.code == "account_overdrawn"
    assert refused.value.data == {"held_base_units": 100, "needed_base_units": 101, "asset": "USDC"}
    assert ledger.balance(cell.id, AccountKind.CLIENT_MARGIN, "USDC") == 100


def test_the_same_id_is_the_same_entry_and_never_another(cell: Cell) -> None:
    effect = derive("deposit", "0xabc", 0)

    def credit(amount: int) -> JournalEntry:
        return ledger.post(
            entry_id=effect, cell_id=cell.id, kind="deposit", memo="again",
            lines=[Line(AccountKind.OUTSIDE, "USDC", -amount), Line(AccountKind.CLIENT_MARGIN, "USDC", amount)],
        )  # fmt: skip

    assert credit(7).id == credit(7).id
    assert ledger.balance(cell.id, AccountKind.CLIENT_MARGIN, "USDC") == 7
    with pytest.raises(Refusal, match="entry_id_reused"):
        credit(8)


def test_postings_carry_the_balances_and_versions_of_their_account(cell: Cell) -> None:
    deposit(cell, 100)
    deposit(cell, 23)
    rows = Posting.objects.filter(account__kind="client_margin").order_by("version")
    pages = [
        (row.balance_before_base_units, row.amount_base_units, row.balance_after_base_units, row.version)
        for row in rows
    ]
    assert pages == [(0, 100, 100, 1), (100, 23, 123, 2)]


def test_amounts_beyond_a_vaults_slot_are_refused(cell: Cell) -> None:
    deposit(cell, 2**96 - 1)
    assert ledger.balance(cell.id, AccountKind.CLIENT_MARGIN, "USDC") == 2**96 - 1
    with pytest.raises(DatabaseError), transaction.atomic():
        deposit(cell, 1)


@pytest.mark.parametrize("amount", [7.0, Decimal(7), "7"])
def test_an_amount_that_is_no_int_is_not_written(cell: Cell, amount: Any) -> None:
    with pytest.raises(TypeError), transaction.atomic():
        deposit(cell, amount)
    assert not JournalEntry.objects.exists()
