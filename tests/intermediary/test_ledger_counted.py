"""Lines that say themselves what their account held: the database takes them only if that is true."""

import threading

import pytest
from django.db import DatabaseError, connection, transaction

from intermediary import ledger
from intermediary.ids import uuid7
from intermediary.ledger import Line
from intermediary.models import Account, AccountKind, BookVersion, Cell, Posting
from intermediary.models.bulk import insert_plain
from tests.conftest import TestDatabase
from tests.intermediary.builders import assets, client_cell, deposit
from tests.intermediary.test_ledger import insert_entry

Told = tuple[str, int, int, int, int]  # an account's kind, the amount, the balances before and after, the version
# A deposit of 100 was the first line of both accounts; these say truly what 5 more make of them.
MARGIN, OUTSIDE = ("client_margin", 5, 100, 105, 2), ("outside", -5, -100, -105, 2)


def write(cell: Cell, *lines: Told) -> None:
    """One entry of these lines by one hand-made statement, as any writer might send it."""
    accounts = {account.kind: str(account.id) for account in Account.objects.filter(cell=cell)}
    with transaction.atomic():
        entry = insert_entry(cell, len(lines))
        rows = [
            {
                "id": str(uuid7()),
                "cell_id": str(cell.id),
                "entry_id": str(entry),
                "account_id": accounts[kind],
                "asset_id": "USDC",
                "amount_base_units": amount,
                "balance_before_base_units": before,
                "balance_after_base_units": after,
                "version": version,
            }
            for kind, amount, before, after, version in lines
        ]
        insert_plain(Posting, rows)


def held(cell: Cell) -> dict[str, tuple[int, int]]:
    rows = Account.objects.filter(cell=cell).values_list("kind", "balance_base_units", "version")
    return {kind: (balance, version) for kind, balance, version in rows}


@pytest.fixture
def cell() -> Cell:
    assets()
    made = client_cell("R-1")
    deposit(made, 100)
    return made


@pytest.mark.django_db
def test_lines_that_say_the_truth_move_their_accounts(cell: Cell) -> None:
    write(cell, MARGIN, OUTSIDE)
    assert held(cell) == {"client_margin": (105, 2), "outside": (-105, 2)}
    written = Posting.objects.filter(version=2)
    assert len(set(written.values_list("at", flat=True))) == 1, "what is written together is of one moment"


@pytest.mark.django_db
def test_two_lines_of_one_account_go_on_from_each_other(cell: Cell) -> None:
    write(cell, ("client_margin", 2, 105, 107, 3), MARGIN, ("outside", -7, -100, -107, 2))
    assert held(cell) == {"client_margin": (107, 3), "outside": (-107, 2)}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("lie", "refused_by"),
    [
        pytest.param(("client_margin", 5, 100, 106, 2), "posting_adds_up", id="does_not_add_up"),
        pytest.param(("client_margin", 5, 101, 106, 2), "balances_move", id="wrong_balance"),
        pytest.param(("client_margin", 5, 100, 105, 3), "balances_move", id="skipped_version"),
        pytest.param(("client_margin", 5, 100, 105, 1), "posting_version_once", id="version_used_before"),
        pytest.param(("client_margin", 5, 0, 5, -1), "balances_move|version_check", id="version_before_the_first"),
    ],
)
def test_a_line_that_lies_is_refused(cell: Cell, lie: Told, refused_by: str) -> None:
    with pytest.raises(DatabaseError, match=refused_by):
        write(cell, lie, OUTSIDE)
    assert held(cell) == {"client_margin": (100, 1), "outside": (-100, 1)}


@pytest.mark.django_db
@pytest.mark.parametrize(
    "second",
    [
        pytest.param(("client_margin", 2, 105, 107, 4), id="gap_between_versions"),
        pytest.param(("client_margin", 2, 106, 108, 3), id="gap_between_balances"),
        pytest.param(("client_margin", 2, 100, 102, 3), id="both_from_the_same_balance"),
    ],
)
def test_lines_of_one_account_that_do_not_meet_are_refused(cell: Cell, second: Told) -> None:
    with pytest.raises(DatabaseError, match="balances_move"):
        write(cell, MARGIN, second, ("outside", -7, -100, -107, 2))


@pytest.mark.django_db
def test_lines_that_only_agree_with_each_other_are_refused(cell: Cell) -> None:
    with pytest.raises(DatabaseError, match="balances_move"):
        write(cell, (*MARGIN[:4], 3), ("client_margin", 2, 105, 107, 4), ("outside", -7, -100, -107, 2))


@pytest.mark.django_db
def test_an_account_is_not_overdrawn_between_two_lines_either(cell: Cell) -> None:
    dip, rise = ("client_margin", -101, 100, -1, 2), ("client_margin", 106, -1, 105, 3)
    with pytest.raises(DatabaseError, match="account_not_overdrawn"):
        write(cell, dip, rise, OUTSIDE)


@pytest.mark.django_db
def test_the_worker_cannot_change_what_it_holds_still(cell: Cell) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM accounts_to_write(%s::uuid[], %s)", [[str(cell.id)], ["client_margin"]])
        assert cursor.fetchone() == (1,)
    with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
        list(Account.objects.select_for_update().filter(cell=cell))


@pytest.mark.django_db
def test_margin_that_moves_names_the_standing_anew_and_nothing_else_does(cell: Cell) -> None:
    other = client_cell("R-2")
    before = dict(BookVersion.objects.values_list("cell_id", "standing"))
    deposit(cell, 1)
    after = dict(BookVersion.objects.values_list("cell_id", "standing"))
    assert after[cell.id] != before[cell.id]
    assert after[other.id] == before[other.id]
    ledger.post(
        entry_id=uuid7(), cell_id=cell.id, kind="x", memo="x",
        lines=[Line(AccountKind.OUTSIDE, "USDC", -5), Line(AccountKind.FLOAT, "USDC", 5)],
    )  # fmt: skip
    assert BookVersion.objects.get(cell=cell).standing == after[cell.id]


def test_a_balance_that_another_writer_has_moved_meanwhile_is_refused(committing_db: TestDatabase) -> None:
    """One reads, another writes, the first writes what it had read: it waits for the other and is refused."""
    with transaction.atomic():
        assets()
        cell = client_cell("R-9")
        deposit(cell, 100)
    said: list[str] = []

    def late() -> None:
        try:
            write(cell, MARGIN, OUTSIDE)
        except DatabaseError as error:
            said.append(str(error))
        finally:
            connection.close()

    with transaction.atomic():
        deposit(cell, 1)
        other = threading.Thread(target=late)
        other.start()
        other.join(timeout=0.5)
        assert other.is_alive(), "it waits until it is known what the account holds"
    other.join()
    assert len(said) == 1
    assert "posting_version_once" in said[0] or "balances_move" in said[0]
    assert held(cell) == {"client_margin": (101, 2), "outside": (-101, 2)}


def test_two_writers_without_the_cells_lock_lose_nothing(committing_db: TestDatabase) -> None:
    with transaction.atomic():
        assets()
        cell = client_cell("R-9")
        deposit(cell, 100)

    def many() -> None:
        for _ in range(50):
            with transaction.atomic():
                ledger.post(
                    entry_id=uuid7(), cell_id=cell.id, kind="race", memo="race",
                    lines=[Line(AccountKind.OUTSIDE, "USDC", -1), Line(AccountKind.CLIENT_MARGIN, "USDC", 1)],
                )  # fmt: skip
        connection.close()

    threads = [threading.Thread(target=many) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert held(cell) == {"client_margin": (200, 101), "outside": (-200, 101)}
