"""Margin calls: one at a time, each amount with its own deadline, clocks that stand still, events that rebuild it."""

from datetime import timedelta

import pytest
from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import F

from intermediary import calls, clock, margining
from intermediary.errors import BadInput, NotAllowed, Refusal
from intermediary.models import (
    CallEvent,
    CallIncrement,
    Cell,
    ClockStop,
    Event,
    MarginCall,
    Valuation,
)
from intermediary.portal import reads
from tests.intermediary.margin_world import BTC, HOUR, MILLION, USD, Client, assess, client, value

pytestmark = pytest.mark.django_db
State = MarginCall.State


@pytest.fixture
def d() -> Client:
    """A relationship with nothing in its vault."""
    return client("D")


def called(who: Client, amount: int) -> MarginCall:
    """An assessment that needs this much; the call that asks for it."""
    assess(who, value(50_000), amount)
    found = calls.current(who.cell.id)
    assert found is not None
    return found


def age(call: MarginCall, by: timedelta) -> None:
    """Let everything about a call have happened earlier."""
    CallIncrement.objects.filter(call=call).update(at=F("at") - by, deliver_by=F("deliver_by") - by)
    MarginCall.objects.filter(id=call.id).update(deliver_by=F("deliver_by") - by)


def deadlines(call: MarginCall) -> list[tuple[int, int]]:
    """(unmet in millions, hours until due, rounded) of each increment that is not met."""
    rows = CallIncrement.objects.filter(call=call, unmet_base_units__gt=0).order_by("deliver_by")
    return [(row.unmet_base_units // MILLION, round((row.deliver_by - clock.now()) / HOUR)) for row in rows]


def test_an_increment_keeps_its_own_deadline(d: Client) -> None:
    call = called(d, 2 * MILLION)
    age(call, HOUR)
    again = called(d, 5 * MILLION)
    assert again.id == call.id, "superseded, never duplicated"
    assert again.amount_base_units == 5 * MILLION
    assert deadlines(call) == [(2, 3), (3, 4)]
    assert round((again.deliver_by - clock.now()) / HOUR) == 3


def test_a_lower_requirement_shrinks_the_newest_increment_first(d: Client) -> None:
    call = called(d, 2 * MILLION)
    age(call, HOUR)
    called(d, 5 * MILLION)
    called(d, 3 * MILLION)
    assert deadlines(call) == [(2, 3), (1, 4)]
    called(d, 1 * MILLION)
    assert deadlines(call) == [(1, 3)]
    assert MarginCall.objects.get(id=call.id).amount_base_units == 1 * MILLION
    assert [part.amount_base_units for part in reads.increments(call)] == [1 * MILLION], "the other was taken back"


def test_deposits_meet_the_oldest_increment_first_and_then_settle(d: Client) -> None:
    call = called(d, 2 * MILLION)
    age(call, HOUR)
    called(d, 5 * MILLION)
    d.deposit(3 * MILLION)
    assert deadlines(call) == [(2, 4)]
    d.deposit(50 * BTC, "WBTC")
    call.refresh_from_db()
    assert (call.state, calls.unmet(call)) == (State.SETTLED, 0), "50 x 50,000 x 80% = 2 million"
    assert call.met_at is not None
    assert calls.current(d.cell.id) is None


def test_a_delivery_that_is_assessed_again_asks_for_nothing(d: Client) -> None:
    call = called(d, 2 * MILLION)
    d.deposit(calls.unmet(call))
    assess(d, value(50_000), 2 * MILLION)
    assert MarginCall.objects.count() == 1


def test_a_call_is_netted_when_the_market_comes_back(d: Client) -> None:
    call = called(d, 2 * MILLION)
    assess(d, value(50_000), 0)
    call.refresh_from_db()
    assert call.state == State.NETTED


def test_an_open_call_stays_for_a_rest_below_the_minimum_transfer(d: Client) -> None:
    call = called(d, 2 * MILLION)
    d.deposit(1_900_000 * USD)
    called(d, 2 * MILLION)
    assert calls.unmet(call) == 100_000 * USD


def test_no_call_below_the_minimum_transfer(d: Client) -> None:
    assess(d, value(50_000), 249_999 * USD)
    assert not MarginCall.objects.exists()


def test_only_the_client_answers_its_call(d: Client) -> None:
    call = called(d, 2 * MILLION)
    with pytest.raises(NotAllowed):
        calls.agree(user=client("W").user, call_id=call.id)
    assert calls.agree(user=d.user, call_id=call.id).state == State.AGREED
    with pytest.raises(BadInput):
        calls.pledge(user=d.user, call_id=call.id, amount_base_units=0)
    pledged = calls.pledge(user=d.user, call_id=call.id, amount_base_units=MILLION)
    assert (pledged.state, pledged.pledged_base_units) == (State.PLEDGED, MILLION)
    assert calls.unmet(call) == 2 * MILLION, "a pledge meets nothing"
    with pytest.raises(Refusal, match="call_not_open"):
        calls.agree(user=d.user, call_id=call.id)


def test_a_call_lapses_at_its_deadline_and_not_before(d: Client) -> None:
    call = called(d, 2 * MILLION)
    assert calls.lapse_due(call.deliver_by - timedelta(seconds=1)) == []
    assert [lapsed.id for lapsed in calls.lapse_due(call.deliver_by)] == [call.id]
    assert calls.lapse_due(call.deliver_by) == []
    assert Event.objects.get(kind="call_lapsed").payload == {"call_id": str(call.id)}
    assert Cell.objects.get(id=d.cell.id).state == Cell.State.NO_NEW_RISK
    assess(d, value(50_000), 2 * MILLION, passed=True)
    assert Cell.objects.get(id=d.cell.id).state == Cell.State.NO_NEW_RISK, "an overdue call allows no new risk"


def test_another_cell_is_untouched_by_a_lapse(d: Client) -> None:
    w = client("W")
    call = called(d, 2 * MILLION)
    calls.lapse_due(call.deliver_by)
    assert Cell.objects.get(id=w.cell.id).state == Cell.State.OPEN
    assert not CallEvent.objects.filter(cell=w.cell).exists()


def test_a_lapsed_call_is_not_joined_by_another_and_can_still_be_delivered(d: Client) -> None:
    call = called(d, 2 * MILLION)
    calls.lapse_due(call.deliver_by)
    called(d, 7 * MILLION)
    assert MarginCall.objects.count() == 1
    d.deposit(2 * MILLION)
    call.refresh_from_db()
    assert call.state == State.SETTLED
    assert calls.unmet(called(d, 7 * MILLION)) == 5 * MILLION


def test_nothing_lapses_while_clocks_stand_still_and_the_stop_is_added(d: Client) -> None:
    call = called(d, 2 * MILLION)
    age(call, 3 * HOUR)
    stop = margining.stop_clocks("chain unseen")
    ClockStop.objects.filter(id=stop.id).update(started_at=F("started_at") - 2 * HOUR)
    called(d, 5 * MILLION)
    assert calls.lapse_due(clock.now() + 9 * HOUR) == []
    margining.resume_clocks()
    assert deadlines(call) == [(2, 3), (3, 4)], "1 h left + 2 h; the newer increment stood still for none of it"
    call.refresh_from_db()
    assert calls.lapse_due(call.deliver_by) == [call]


def test_what_was_overdue_before_the_stop_stays_overdue(d: Client) -> None:
    call = called(d, 2 * MILLION)
    age(call, 5 * HOUR)
    margining.stop_clocks("chain unseen")
    margining.resume_clocks()
    assert [lapsed.id for lapsed in calls.lapse_due(clock.now())] == [call.id]


def test_events_alone_rebuild_a_call(d: Client) -> None:
    call = called(d, 2 * MILLION)
    calls.agree(user=d.user, call_id=call.id)
    called(d, 5 * MILLION)
    calls.pledge(user=d.user, call_id=call.id, amount_base_units=MILLION)
    d.deposit(MILLION)
    called(d, 4 * MILLION)
    state, amount = "", 0
    for event in CallEvent.objects.filter(call=call):
        assert event.before == state, "no event is missing"
        state, amount = event.after, event.amount_base_units
    call.refresh_from_db()
    assert (state, amount) == (call.state, calls.unmet(call)) == ("PLEDGED", 3 * MILLION)
    with pytest.raises(DatabaseError, match=r"append_only|permission denied"), transaction.atomic():
        CallEvent.objects.update(note="never")


def test_the_database_refuses_a_second_open_call(d: Client) -> None:
    call = called(d, 2 * MILLION)
    with pytest.raises(IntegrityError, match="one_open_call"), transaction.atomic():
        MarginCall.objects.create(
            cell=d.cell, amount_base_units=1, valuation=Valuation.objects.all()[0], deliver_by=call.deliver_by
        )


LISTED = {
    ("ISSUED", "AGREED"), ("ISSUED", "PLEDGED"), ("ISSUED", "SETTLED"), ("ISSUED", "NETTED"), ("ISSUED", "LAPSED"),
    ("AGREED", "PLEDGED"), ("AGREED", "SETTLED"), ("AGREED", "NETTED"), ("AGREED", "LAPSED"), ("PLEDGED", "SETTLED"),
    ("PLEDGED", "NETTED"), ("PLEDGED", "LAPSED"), ("LAPSED", "DEFAULT_NOTICE"), ("LAPSED", "SETTLED"),
}  # fmt: skip


def is_allowed(who: Client, before: str, after: str) -> bool:
    """Whether the database lets a call go from one state to another; the call is gone afterwards."""
    with transaction.atomic():
        call = MarginCall.objects.create(
            cell=who.cell, amount_base_units=1, valuation=Valuation.objects.all()[0], deliver_by=clock.now(),
            direction="RETURN", state=before,
        )  # fmt: skip
        try:
            with transaction.atomic():
                MarginCall.objects.filter(id=call.id).update(state=after)
        except IntegrityError as refused:
            if "transition_not_listed" not in str(refused):
                raise
            return False
        finally:
            transaction.set_rollback(True)
    return True


def test_only_the_listed_transitions_exist(d: Client) -> None:
    called(d, 2 * MILLION)
    pairs = {(before, after) for before in State.values for after in State.values if before != after}
    assert {pair for pair in pairs if is_allowed(d, *pair)} == LISTED
