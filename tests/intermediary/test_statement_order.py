"""Lines of a statement stand in the order in which they were written, also where their times are one."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from django.db import transaction

from intermediary import clock, ledger
from intermediary.ids import uuid7
from intermediary.ledger import Draft, Line
from intermediary.models import AccountKind, Cell
from intermediary.portal import collateral, views
from tests.intermediary.builders import assets, client_cell, deposit
from tests.people import as_owner

MOMENT = datetime(2025, 10, 10, 21, 15, tzinfo=UTC)
MARGIN, WAY, FLOAT = AccountKind.CLIENT_MARGIN, AccountKind.IN_TRANSIT, AccountKind.FLOAT
pytestmark = pytest.mark.django_db


def moved(cell: Cell, source: AccountKind, destination: AccountKind, amount: int) -> Draft:
    lines = (Line(source, "USDC", -amount), Line(destination, "USDC", amount))
    return Draft(uuid7(), cell.id, f"{source} to {destination}", "", lines)


def test_balances_run_on_where_platform_time_stands_still() -> None:
    assets()
    cell = client_cell("W")
    with as_owner(), transaction.atomic():
        clock.start_replay(MOMENT)
    deposit(cell, 1_000)
    for together in (
        [moved(cell, MARGIN, WAY, 300)],
        [moved(cell, WAY, FLOAT, 300)],
        [moved(cell, FLOAT, WAY, 40)],
        [moved(cell, MARGIN, WAY, 7)],
        [moved(cell, WAY, MARGIN, 40), moved(cell, WAY, FLOAT, 7)],  # final in one block
    ):
        with transaction.atomic():
            ledger.post_all(together)
    entries = list(views._entries(cell, MOMENT - timedelta(days=1), MOMENT + timedelta(days=1)))
    assert len({entry.at for entry in entries}) == 1
    lines = [line for entry in entries for line in entry.postings.all()]
    for kind in (MARGIN, WAY, FLOAT):
        of_account = [line for line in lines if line.account.kind == kind]
        assert len(of_account) > 1
        for before, after in pairwise(of_account):
            assert after.balance_before_base_units == before.balance_after_base_units, kind
    newest_first = list(collateral.movements(cell))
    assert [one.amount_base_units for one in newest_first] == [40, -7, -300, 1_000]
    for later, earlier in pairwise(newest_first):
        assert later.balance_after_base_units - later.amount_base_units == earlier.balance_after_base_units
