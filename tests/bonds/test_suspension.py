"""Transfers rest from a lapsed call to the notice."""

from datetime import timedelta

import pytest

from bonds.models import HolderNotice, Series, SeriesEvent
from bonds.servicing import suspension
from bonds.servicing.transfers import suspended_until
from intermediary import clock, events
from intermediary.models import Cell, Event, MarginCall, Valuation
from tests.bonds import serviced_world as life
from tests.bonds import world
from tests.bonds.world import MILLION

pytestmark = pytest.mark.world(build=life.serviced)


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
