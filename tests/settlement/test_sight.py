"""Clocks of margin calls stand still while the chain or its watcher is silent, and the stop is recorded (D7)."""

import signal
import time
from datetime import timedelta

import pytest
from django.db import transaction
from django.db.models import F

from intermediary import calls, clock
from intermediary.config import clockwork, sight
from intermediary.models import ClockStop, MarginCall
from settlement import lookout
from settlement.models import Lookout
from tests.conftest import TestDatabase
from tests.intermediary.margin_world import HOUR, MILLION, Client, assess, client, value
from tests.settlement.test_processes import start, until


def let_the_last_look_be(ago: timedelta) -> None:
    Lookout.objects.update(seen_at=F("seen_at") - ago, at=F("at") - ago)


def overdue_call(who: Client, by: timedelta) -> MarginCall:
    """A call whose only increment was due so long ago."""
    assess(who, value(50_000), 2 * MILLION)
    call = calls.current(who.cell.id)
    assert call is not None
    due = clock.now() - by
    call.increments.update(at=due - HOUR, deliver_by=due)
    MarginCall.objects.filter(id=call.id).update(deliver_by=due)
    return call


@pytest.mark.django_db
def test_nothing_is_stopped_where_the_chain_is_read_or_no_watcher_ever_ran() -> None:
    sight.stop_clocks_unless_seen()
    sight.seen()
    let_the_last_look_be(timedelta(seconds=20))
    sight.stop_clocks_unless_seen()
    assert not ClockStop.objects.exists()


@pytest.mark.django_db
def test_a_call_that_came_due_unseen_does_not_lapse_and_gets_its_time_back() -> None:
    call = overdue_call(client("D"), timedelta(minutes=2))
    sight.seen()
    let_the_last_look_be(timedelta(minutes=10))
    clockwork.step()
    clockwork.step()
    stop = ClockStop.objects.get()
    assert (stop.reason, stop.ended_at) == (sight.REASON, None)
    assert abs(clock.now() - stop.started_at - timedelta(minutes=10)) < timedelta(seconds=30), "since the last look"
    call.refresh_from_db()
    assert call.state == MarginCall.State.ISSUED
    sight.seen()
    stop.refresh_from_db()
    call.refresh_from_db()
    assert stop.ended_at is not None
    assert abs(call.deliver_by - clock.now() - timedelta(minutes=8)) < timedelta(seconds=30), "10 min stood still"


@pytest.mark.django_db
def test_a_call_that_was_overdue_before_the_last_look_lapses_when_the_chain_is_read_again() -> None:
    call = overdue_call(client("D"), timedelta(minutes=20))
    sight.seen()
    let_the_last_look_be(timedelta(minutes=10))
    clockwork.step()
    sight.seen()
    with transaction.atomic():
        assert [lapsed.id for lapsed in calls.lapse_due(clock.now())] == [call.id]


def test_a_watcher_that_stands_still_is_noticed_and_one_that_goes_on_ends_the_stop(
    committing_db: TestDatabase, chain_url: str
) -> None:
    """The process itself: stopped like a machine that hangs, then let go on."""
    watcher = start("watcher", "worker", committing_db, chain_url)
    try:
        until(Lookout.objects.exists, 60)
        watcher.send_signal(signal.SIGSTOP)
        time.sleep(2 * 0.5)  # what it was just doing reaches the database
        let_the_last_look_be(timedelta(minutes=1))
        assert lookout.unseen_since(sight.BLIND_SECONDS) is not None
        sight.stop_clocks_unless_seen()
        assert calls.clocks_stopped()
        watcher.send_signal(signal.SIGCONT)
        until(lambda: not calls.clocks_stopped(), 30)
    finally:
        watcher.send_signal(signal.SIGCONT)
        watcher.send_signal(signal.SIGTERM)
        assert watcher.wait(timeout=10) == 0
