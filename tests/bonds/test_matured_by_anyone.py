"""An escrow that anyone matures while servicing has acts under way: what the chain takes no more leads out of it."""

from datetime import timedelta

import pytest
from django.db import transaction

from bonds.models import CouponRun, Redemption, Series, SliceAct
from bonds.servicing import arrivals, maturity, write_downs
from intermediary import clock, events
from intermediary.errors import Refusal
from intermediary.models import AccountKind, Cell, ChainInstruction, Event
from settlement import escrows
from settlement.models import ChainSender, ChainTransaction
from tests.bonds import serviced_world as life
from tests.bonds import world
from tests.bonds.test_maturity import defaulted, state
from tests.bonds.world import MILLION

pytestmark = pytest.mark.world(build=life.serviced)
State = Series.State


def matured_by_anyone(series: Series) -> Event:
    """The chain's log of it, booked; what servicing is told is returned, not yet delivered."""
    assert series.escrow is not None
    slices = [
        {"cell": str(item.cell_id), "principal_base_units": [item.principal_base_units]}
        for item in series.slices.order_by("index")
    ]
    series.escrow.creation |= {"series": series.code, "slices": slices}
    series.escrow.save(update_fields=["creation"])
    escrows.book_maturity(series.escrow)
    return Event.objects.get(kind=events.SERIES_MATURED)


def test_maturity_by_anyone_overtakes_a_repayment_and_a_write_down_on_their_way(
    series: Series, cells: list[Cell]
) -> None:
    case = defaulted(cells[0], timedelta(hours=1), series)
    write_downs.on_loss_determined(world.determine(case, 4 * MILLION))
    world.settle()
    write_downs.due(clock.now() + timedelta(hours=2))
    CouponRun.objects.filter(tranche__series=series).update(state=CouponRun.State.CANCELLED)
    life.live_until(series.risk_until + timedelta(days=3))
    maturity.review(series.id)
    assert set(SliceAct.objects.values_list("state", flat=True)) == {"MOVING"}
    assert set(Redemption.objects.values_list("state", flat=True)) == {"MOVING"}
    arrivals.on_series_matured(matured_by_anyone(series))
    assert state(series) == State.REDEEMED
    assert SliceAct.objects.get().state == SliceAct.State.LAPSED
    late = ChainInstruction.objects.filter(kind__in=("REPAY", "APPLY_LOSS")).values_list("state", flat=True)
    assert set(late) == {"FAILED"}
    done = Redemption.objects.filter(state="DONE")
    assert {(row.reason, row.amount_base_units) for row in done} == {("ON_CHAIN", 6 * MILLION)}
    assert [life.balance(cell, AccountKind.ESCROW) for cell in cells] == [0, 0]
    assert [life.balance(cell, AccountKind.COUPONS) for cell in cells] == [6 * MILLION, 6 * MILLION]


def test_maturity_by_anyone_waits_for_a_repayment_that_may_be_in_a_block(series: Series, cells: list[Cell]) -> None:
    CouponRun.objects.filter(tranche__series=series).update(state=CouponRun.State.CANCELLED)
    life.live_until(series.risk_until + timedelta(days=3))
    maturity.review(series.id)
    sent = ChainInstruction.objects.filter(kind="REPAY", cell=cells[0]).get()
    account = ChainSender.objects.create(address=world.address(), role="operator")
    carrier = ChainTransaction.objects.create(
        sender=account, nonce=0, instruction=sent, to=sent.target.address, data="0x", gas_limit=1, state="SENT"
    )
    with pytest.raises(Refusal) as refusal, transaction.atomic():
        matured_by_anyone(series)
    assert refusal.value.code == "act_on_its_way"
    assert not ChainInstruction.objects.filter(state="FAILED").exists()
    ChainTransaction.objects.filter(id=carrier.id).update(state="REVERTED")
    arrivals.on_series_matured(matured_by_anyone(series))
    assert state(series) == State.REDEEMED
