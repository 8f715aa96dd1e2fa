"""What the chain shares out belongs to those who held in its block, whoever holds when it is noticed."""

from datetime import timedelta

import pytest
from django.db import transaction

from bonds.models import CouponPayment, CouponRun, HolderNotice, Holding, Redemption, Series, SeriesEvent
from bonds.portal import statements
from bonds.servicing import coupons, due, early, locks, transfers
from bonds.servicing.account import Kind
from intermediary import clock, events
from intermediary.outbox import Place
from tests.bonds import serviced_world as life
from tests.bonds import world

pytestmark = pytest.mark.world(build=life.serviced)
BEFORE, PAID, AFTER = (99, 7), (100, 3), (100, 4)  # block and log
FINAL_AFTER = timedelta(minutes=15)


def holders() -> tuple[Holding, Holding]:
    first, second = Holding.objects.select_related("wallet", "party").order_by("id")[:2]
    return first, second


def sold(series: Series, seller: Holding, buyer: Holding, place: tuple[int, int], units: int) -> None:
    """A transfer in this log, noticed now that it is final."""
    block_number, log_index = place
    told = events.emit(
        events.NOTE_TRANSFERRED,
        cell_id=None,
        note_id=str(world.only_tranche(series).note_id),
        sender=seller.wallet.address,
        receiver=buyer.wallet.address,
        units=str(units),
        transaction_hash=f"0x{block_number:060x}{log_index:04x}",
        log_index=log_index,
        block_number=block_number,
        block_time=(clock.now() - FINAL_AFTER).isoformat(),
    )
    transfers.on_note_transferred(told)


@pytest.mark.parametrize(("place", "sellers_own"), [(AFTER, True), (BEFORE, False)])
def test_coupon_belongs_to_who_held_in_its_block(series: Series, place: tuple[int, int], sellers_own: bool) -> None:
    run = CouponRun.objects.get(tranche__series=series, number=1)
    life.live_to_day(run.payment_date - coupons.CHARGED_AHEAD)
    life.serve()
    life.live_to_day(run.payment_date)
    due.serve(clock.now())
    seller, buyer = holders()
    before = {one.wallet_id: one.units for one in (seller, buyer)}
    sold(series, seller, buyer, place, seller.units)
    world.settle(Place(*PAID, clock.now() - FINAL_AFTER))
    run.refresh_from_db()
    paid = dict(CouponPayment.objects.filter(run=run).values_list("wallet_id", "units"))
    expected = before if sellers_own else {buyer.wallet_id: before[seller.wallet_id] + before[buyer.wallet_id]}
    assert {wallet: units for wallet, units in paid.items() if wallet in before} == expected
    for payment in CouponPayment.objects.filter(run=run):
        assert payment.amount_base_units == run.amount_base_units * payment.units // run.units


def test_repayment_belongs_to_who_held_in_its_block(series: Series) -> None:
    run = CouponRun.objects.get(tranche__series=series, number=1)
    life.live_to_day(run.payment_date - timedelta(days=60))
    with transaction.atomic():
        early.end_risk(locks.lock_whole(series.id), "Clean-up call")
    seller, buyer = holders()
    sold(series, seller, buyer, AFTER, seller.units)
    world.settle(Place(*PAID, clock.now() - FINAL_AFTER))
    assert set(Redemption.objects.values_list("state", flat=True)) == {"DONE"}
    until = clock.now() + statements.DAY
    for holder, cash in ((seller, seller.units), (buyer, buyer.units)):
        (of_class,) = statements.accounts_of(holder.party, clock.now() - statements.DAY, until)
        assert of_class.account.cash(Kind.REDEEMED) == cash
    told = HolderNotice.objects.filter(party=seller.party, kind=SeriesEvent.Kind.REPAID)
    assert sum(int(one.data["amount_base_units"]) for one in told) == seller.units
