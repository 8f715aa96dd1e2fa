"""Two workers on one cell at the same time: the locks decide, nothing is lost, nothing deadlocks."""

import threading

from django.db import connection, transaction

from intermediary import ledger
from intermediary.ids import uuid7
from intermediary.ledger import Line
from intermediary.models import AccountKind, Posting
from tests.conftest import TestDatabase
from tests.intermediary.builders import assets, client_cell, deposit


def test_opposite_transfers_race_to_zero(committing_db: TestDatabase) -> None:
    """Two threads, 200 transfers each between two accounts of one cell, end where they began."""
    with transaction.atomic():
        assets()
        cell = client_cell("R-9")
        deposit(cell, 1_000)

    def transfer(direction: int) -> None:
        for _ in range(200):
            with transaction.atomic():
                ledger.lock_cells([cell.id])
                ledger.post(
                    entry_id=uuid7(), cell_id=cell.id, kind="race", memo="race",
                    lines=[
                        Line(AccountKind.CLIENT_MARGIN, "USDC", direction),
                        Line(AccountKind.SUSPENSE, "USDC", -direction),
                    ],
                )  # fmt: skip
        connection.close()

    with transaction.atomic():
        ledger.post(
            entry_id=uuid7(), cell_id=cell.id, kind="start", memo="start",
            lines=[Line(AccountKind.CLIENT_MARGIN, "USDC", -500), Line(AccountKind.SUSPENSE, "USDC", 500)],
        )  # fmt: skip
    threads = [threading.Thread(target=transfer, args=(direction,)) for direction in (1, -1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.balance(cell.id, AccountKind.CLIENT_MARGIN, "USDC") == 500
    assert Posting.objects.filter(entry__kind="race").count() == 800
