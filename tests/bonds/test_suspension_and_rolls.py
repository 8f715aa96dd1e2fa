"""Transfers rest from a lapsed call to the notice; a holder's election to roll forward is kept until it is repaid."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from bonds.models import CouponRun, HolderNotice, Holding, RollForward, Series, SeriesEvent, Tranche
from bonds.offering.isin import with_check_digit
from bonds.offering.terms import ClassTerms
from bonds.servicing import rolls, suspension
from bonds.servicing.transfers import suspended_until
from intermediary import clock, events
from intermediary.errors import NotAllowed, Refusal
from intermediary.models import Cell, Event, MarginCall, Valuation
from tests.bonds import serviced_world as life
from tests.bonds import world
from tests.bonds.world import MILLION

pytestmark = pytest.mark.world(build=life.serviced)


@pytest.fixture
def cells(rolled_back_world: tuple[list[Cell], Series]) -> list[Cell]:
    return rolled_back_world[0]


@pytest.fixture
def series(rolled_back_world: tuple[list[Cell], Series]) -> Series:
    return rolled_back_world[1]


def lapsed(cell: Cell) -> Event:
    """A margin call that was not met in time."""
    valuation = Valuation.objects.create(as_of=clock.now(), prices={}, snapshot_id="lapsed")
    call = MarginCall.objects.create(
        cell=cell, amount_base_units=MILLION, valuation=valuation, deliver_by=clock.now(), state=MarginCall.State.LAPSED
    )
    return events.emit(events.CALL_LAPSED, cell_id=cell.id, call_id=str(call.id))


def test_a_lapsed_call_suspends_once_and_the_notice_lifts_it(series: Series, cells: list[Cell]) -> None:
    assert suspended_until(series, clock.now()) is None
    event = lapsed(cells[0])
    for _ in range(2):
        suspension.on_call_lapsed(event)
    assert series.events.filter(kind=SeriesEvent.Kind.SUSPENDED).count() == 1
    assert suspended_until(series, clock.now()) == clock.now() + suspension.LONGEST
    assert HolderNotice.objects.filter(kind=SeriesEvent.Kind.SUSPENDED).count() == 3
    life.live_until(clock.now() + timedelta(hours=1))
    world.notice(cells[0])
    suspension.on_default_noticed(Event.objects.get(kind=events.DEFAULT_NOTICED))
    assert suspended_until(series, clock.now()) is None
    assert not suspension.is_suspended(series)


def test_a_suspension_ends_by_itself_when_no_notice_comes(series: Series, cells: list[Cell]) -> None:
    suspension.on_call_lapsed(lapsed(cells[0]))
    life.live_until(clock.now() + suspension.LONGEST)
    assert suspended_until(series, clock.now()) is None
    assert not suspension.is_suspended(series)


def next_class() -> Tranche:
    """The only class of the next series, whose book is open."""
    terms = world.series_terms([world.covered_cell("R3", series="BLK-N")])
    named = (ClassTerms("Next", "BLKN0", with_check_digit("XS000000099")),)
    return Tranche.objects.get(series=world.deployed(replace(terms, code="BLK-N", classes=named)))


def holder() -> User:
    held = Holding.objects.order_by("id")[0]
    return User.objects.get(memberships__party=held.party_id)


def test_an_election_is_kept_and_told_what_can_be_claimed(series: Series, cells: list[Cell]) -> None:
    user, into = holder(), next_class()
    election: dict[str, Any] = {"user": user, "tranche_id": world.only_tranche(series).id, "into_id": into.id}
    for _ in range(2):
        rolls.elect(**election, minimum_spread_bps=400)
    with pytest.raises(Refusal) as refusal:
        rolls.elect(**election, minimum_spread_bps=500)
    assert refusal.value.code == "elected_already"
    CouponRun.objects.update(state=CouponRun.State.CANCELLED)
    life.live_to_day(max(series.scheduled_maturity, CouponRun.objects.order_by("-number")[0].payment_date))
    life.serve()
    made = RollForward.objects.get()
    units = Holding.objects.get(wallet=made.wallet, tranche=made.tranche).units
    assert (made.state, made.amount_base_units) == (RollForward.State.APPLIED, units)
    with pytest.raises(Refusal) as refusal:
        rolls.withdraw(user=user, election_id=made.id)
    assert refusal.value.code == "election_is_over"


def test_who_holds_nothing_elects_nothing_and_a_wish_can_be_taken_back(series: Series, cells: list[Cell]) -> None:
    into, tranche = next_class(), world.only_tranche(series)
    with pytest.raises(NotAllowed):
        rolls.elect(user=world.investor("z"), tranche_id=tranche.id, into_id=into.id, minimum_spread_bps=400)
    with pytest.raises(Refusal) as refusal:
        rolls.elect(user=holder(), tranche_id=tranche.id, into_id=tranche.id, minimum_spread_bps=400)
    assert refusal.value.code == "wrong_series_state"
    made = rolls.elect(user=holder(), tranche_id=tranche.id, into_id=into.id, minimum_spread_bps=400)
    for _ in range(2):
        assert rolls.withdraw(user=holder(), election_id=made.id).state == RollForward.State.WITHDRAWN
