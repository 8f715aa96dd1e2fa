"""What a recovery would give back is where its money goes by the terms, to the base unit, and nobody's guess."""

import pytest
from django.db import transaction
from django.test import Client, override_settings
from django.urls import reverse

from bonds.models import Series
from bonds.portal.recoveries import SHARES, recoveries_of
from bonds.servicing import write_downs
from intermediary.models import Cell, DefaultCase, RecoveryReceipt
from tests.bonds import world
from tests.bonds.test_servicing import before_issue
from tests.bonds.world import MILLION


@transaction.atomic
def two_classes() -> tuple[list[Cell], Series]:
    """Classes of [1.5m, 4.5m) and [4.5m, 7.5m) over two relationships."""
    cells = before_issue()
    return cells, world.on_risk(cells, [world.investor(name) for name in "abc"], classes=2)


pytestmark = pytest.mark.world(build=two_classes)


def lost(cell: Cell, amount: int) -> DefaultCase:
    case = world.notice(cell)
    write_downs.on_loss_determined(world.determine(case, amount))
    world.settle()
    world.settle_challenges()
    return case


def received(case: DefaultCase, amount: int) -> None:
    RecoveryReceipt.objects.create(
        cell=case.cell,
        case=case,
        amount_base_units=amount,
        source="liquidator",
        net_loss_before_base_units=case.loss_base_units,
        net_loss_after_base_units=case.loss_base_units - amount,
    )
    write_downs.on_recovery_received(world.recover(case, amount))
    world.settle()


def public_page(series: Series) -> str:
    with override_settings(STATIC_ROOT=""):
        answer = Client().get(reverse("investor:series", args=[series.id]), headers={"accept": "text/html"})
    assert answer.status_code == 200
    return str(answer.content.decode())


def test_without_a_write_down_there_is_nothing_to_recover(series: Series) -> None:
    assert recoveries_of(series) == []
    assert 'id="recoveries"' not in public_page(series)


def test_senior_bearers_are_paid_first_then_classes_from_the_most_senior_down(
    series: Series, cells: list[Cell]
) -> None:
    lost(cells[0], 9 * MILLION)
    (one,) = recoveries_of(series)
    assert (one.slice.relationship, one.claimed, one.ahead) == ("R1", 9 * MILLION, 3 * MILLION // 2)
    senior, junior = one.classes
    assert (senior.symbol, senior.right, junior.right) == ("BLKT1", 3 * MILLION, 3 * MILLION)
    assert SHARES == (25, 50, 75, 100)
    assert senior.gives_back == (3 * MILLION // 4, 3 * MILLION, 3 * MILLION, 3 * MILLION)
    assert junior.gives_back == (0, 0, 9 * MILLION // 4, 3 * MILLION)


def test_what_was_said_of_a_recovery_is_what_it_gives(series: Series, cells: list[Cell]) -> None:
    case = lost(cells[0], 9 * MILLION)
    senior, junior = recoveries_of(series)[0].classes
    received(case, 9 * MILLION * 3 // 4)
    (after,) = recoveries_of(series)
    written_up = tuple(one.written_up for one in after.classes)
    assert written_up == (senior.gives_back[2], junior.gives_back[2])
    assert (after.claimed, after.received, after.receipts) == (9 * MILLION // 4, 9 * MILLION * 3 // 4, 1)
    assert after.last_received_at is not None
    assert after.ahead == 0
    shown = public_page(series)
    for words in ("Nobody here estimates", "Claim open", "2,250,000.00", "in 1 payment", "BLKT0 is written up by"):
        assert words in shown, words


def test_a_claim_that_is_written_off_gives_nothing_any_more(series: Series, cells: list[Cell]) -> None:
    case = lost(cells[0], 4 * MILLION)
    for state in (DefaultCase.State.RECOVERY, DefaultCase.State.CLOSED):
        case.state = state
        case.save()
    assert recoveries_of(series)[0].ended
    shown = public_page(series)
    assert "Nothing more can come" in shown
    assert "is written up by" not in shown
