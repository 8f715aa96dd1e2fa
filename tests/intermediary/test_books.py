"""Books that a process keeps are those of the database, whatever happened to them meanwhile."""

from decimal import Decimal
from uuid import UUID

import pytest
from django.db import connection, transaction

from intermediary import books, trading, variation
from intermediary.ids import uuid7
from intermediary.models import BookVersion, Instrument, Position, Valuation
from tests.intermediary.builders import client_cell

pytestmark = pytest.mark.django_db

MARKS = {"BTC-PERP": Decimal("95000.1234567891"), "ETH-PERP": Decimal("4016.5"), "SOL-PERP": Decimal("0.0000000001")}


@pytest.fixture
def listed() -> dict[str, Instrument]:
    kind = Instrument.Kind.PERPETUAL
    rows = [Instrument(code=code, kind=kind, underlying=code[:3]) for code in MARKS]
    return {row.code: row for row in Instrument.objects.bulk_create(rows)}


@pytest.fixture
def valuation(listed: dict[str, Instrument]) -> Valuation:
    return valued(listed, MARKS, 1)


def valued(listed: dict[str, Instrument], marks: dict[str, Decimal], minute: int) -> Valuation:
    with connection.cursor() as cursor:
        cursor.execute("SELECT now() + make_interval(mins => %s)", [minute])
        moment = cursor.fetchone()[0]
    return trading.record_valuation(
        as_of=moment,
        source="test",
        snapshot_id=f"{minute:064}",
        prices={},
        marks={listed[code].id: price for code, price in marks.items()},
    )


def trade(cell_id: UUID, instrument: Instrument, quantity: str, price: str = "1.0000000001") -> None:
    trading.book_leg(
        cell_id=cell_id,
        instrument_id=instrument.id,
        quantity=Decimal(quantity),
        price=Decimal(price),
    )


def agree(cells: list[UUID], valuation: Valuation) -> dict[UUID, Decimal | None]:
    """Exposures of the kept books, which are those of the rows."""
    owed = books.exposures(cells, valuation.id)
    kept = {cell_id: None if found is None else books.dollars(found) for cell_id, found in owed.items()}
    assert kept == variation.exposures(cells, valuation.id)
    return kept


def test_kept_books_follow_every_change_of_positions(listed: dict[str, Instrument], valuation: Valuation) -> None:
    cells = [client_cell(f"R-{number}").id for number in range(3)]
    assert set(agree(cells, valuation).values()) == {Decimal(0)}
    trade(cells[0], listed["BTC-PERP"], "-3.00000001")
    trade(cells[1], listed["ETH-PERP"], "12345.00000007")
    trade(cells[1], listed["SOL-PERP"], "9999999.99999999")
    first = agree(cells, valuation)
    trade(cells[0], listed["BTC-PERP"], "5")  # in place
    trade(cells[1], listed["ETH-PERP"], "-12345.00000007")  # to nothing
    second = agree(cells, valuation)
    assert second[cells[0]] != first[cells[0]]
    Position.objects.filter(cell_id=cells[0]).update(settled_value=Decimal("7.000000000000000001"))  # a payment
    third = agree(cells, valuation)
    assert third[cells[0]] != second[cells[0]]
    assert third[cells[1]] == second[cells[1]]
    Position.objects.filter(instrument=listed["SOL-PERP"]).update(cell_id=cells[2])
    agree(cells, valuation)
    books.forget()
    agree(cells, valuation)


def test_a_change_that_is_rolled_back_leaves_no_trace(listed: dict[str, Instrument], valuation: Valuation) -> None:
    """Nor does the change after it get the name of the one that never was."""
    cell_id = client_cell("R-1").id
    trade(cell_id, listed["BTC-PERP"], "1")
    before = agree([cell_id], valuation)
    seen = set()
    for quantity in ("2", "3"):
        place = transaction.savepoint()
        trade(cell_id, listed["BTC-PERP"], quantity)
        seen.add(agree([cell_id], valuation)[cell_id])
        transaction.savepoint_rollback(place)
        assert agree([cell_id], valuation) == before
    assert len(seen) == 2


def test_a_payment_leaves_the_name_of_what_is_held(listed: dict[str, Instrument]) -> None:
    cell_id = client_cell("R-1").id
    trade(cell_id, listed["BTC-PERP"], "1")
    before = BookVersion.objects.get(cell_id=cell_id)
    Position.objects.filter(cell_id=cell_id).update(settled_value=5)
    paid = BookVersion.objects.get(cell_id=cell_id)
    assert (paid.held, paid.settled != before.settled) == (before.held, True)
    trade(cell_id, listed["ETH-PERP"], "1")
    assert BookVersion.objects.get(cell_id=cell_id).held != before.held


def test_an_instrument_without_a_mark_is_not_worth_nothing(listed: dict[str, Instrument], valuation: Valuation) -> None:
    cell_id = client_cell("R-1").id
    late = Instrument.objects.create(code="XRP-PERP", kind=Instrument.Kind.PERPETUAL, underlying="XRP")
    trade(cell_id, late, "1")
    assert agree([cell_id], valuation) == {cell_id: None}
    later = valued(listed | {"XRP-PERP": late}, MARKS | {"XRP-PERP": Decimal(2)}, 2)
    assert agree([cell_id], later)[cell_id] == Decimal("1.0000000001") - 2
    assert agree([cell_id], valuation) == {cell_id: None}


def test_only_a_change_of_positions_names_a_book(listed: dict[str, Instrument]) -> None:
    """Nobody may make an old book look new, or a new one old."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT has_table_privilege(role, 'intermediary_bookversion', kind) FROM unnest(%s::text[]) AS role (role),"
            " unnest(%s::text[]) AS kind (kind)",
            [["bulkhead_worker", "bulkhead_portal", "bulkhead_staff"], ["INSERT", "UPDATE", "DELETE", "TRUNCATE"]],
        )
        assert not any(allowed for (allowed,) in cursor.fetchall())
    assert not BookVersion.objects.filter(cell_id=uuid7()).exists()
