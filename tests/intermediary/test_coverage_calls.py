"""A book that fails the admission test is called for what repairs it (D2): a call of its own kind, met by the same
deposits, with its own clock, and one of each kind at most (W3)."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.db.models import F

from intermediary import approvals, calls, clock, defaults, margining
from intermediary.models import CallIncrement, Cell, MarginCall, MarginState
from tests.intermediary.margin_world import HOUR, MILLION, USD, Client, client, officer, value

pytestmark = pytest.mark.django_db
State, Kind = MarginCall.State, MarginCall.Kind


@pytest.fixture
def d() -> Client:
    """A relationship with 10 million in its vault."""
    found = client("D")
    found.deposit(10 * MILLION)
    return found


def judged(who: Client, repair: int, required: int = 0) -> MarginState:
    """What the engine does when the book is short of this much, and this much margin is required."""
    return margining.assess(
        cell_id=who.cell.id,
        valuation_id=value(50_000).id,
        independent_amount_base_units=required,
        ruleset_hash="c3" * 32,
        breakdown={"lines": [], "total": "0"},
        admission={"passed": repair == 0, "repair": repair},
    )


def coverage(who: Client) -> MarginCall | None:
    return calls.current(who.cell.id, Kind.COVERAGE)


def state_of(who: Client) -> str:
    return Cell.objects.get(id=who.cell.id).state


def age(call: MarginCall, by: timedelta) -> None:
    """Let everything about a call have happened earlier."""
    CallIncrement.objects.filter(call=call).update(at=F("at") - by, deliver_by=F("deliver_by") - by)
    MarginCall.objects.filter(id=call.id).update(deliver_by=F("deliver_by") - by)


def test_a_shortfall_opens_a_coverage_call_and_stops_new_risk(d: Client) -> None:
    judged(d, 3 * MILLION + 1)
    call = coverage(d)
    assert call is not None
    assert call.amount_base_units == 3 * MILLION + 10_000 * USD, "rounded up to the unit of the terms"
    assert round((call.deliver_by - clock.now()) / HOUR) == 4
    assert state_of(d) == "NO_NEW_RISK"
    assert calls.current(d.cell.id) is None, "nothing is missing of the margin"
    judged(d, 0)
    assert coverage(d) is None
    call.refresh_from_db()
    assert call.state == State.NETTED
    assert state_of(d) == "OPEN"


def test_below_the_minimum_transfer_only_new_risk_stops(d: Client) -> None:
    judged(d, 250_000 * USD - 1)
    assert coverage(d) is None
    assert state_of(d) == "NO_NEW_RISK"


def test_a_later_shortfall_supersedes_and_never_duplicates(d: Client) -> None:
    judged(d, 2 * MILLION)
    first = coverage(d)
    assert first is not None
    age(first, HOUR)
    judged(d, 3 * MILLION)
    again = coverage(d)
    assert again is not None
    assert again.id == first.id
    parts = [
        (part.amount_base_units, round((part.deliver_by - clock.now()) / HOUR))
        for part in again.increments.order_by("deliver_by")
    ]
    assert parts == [(2 * MILLION, 3), (1 * MILLION, 4)], "an increment keeps its own deadline"


def test_one_deposit_counts_for_margin_and_for_coverage(d: Client) -> None:
    judged(d, 3 * MILLION, required=12 * MILLION)
    margin = calls.current(d.cell.id)
    assert margin is not None
    assert calls.unmet(margin) == 2 * MILLION
    d.deposit(2 * MILLION)
    call = coverage(d)
    assert call is not None
    assert calls.unmet(call) == 1 * MILLION
    margin.refresh_from_db()
    assert margin.state == State.SETTLED
    d.deposit(1 * MILLION)
    call.refresh_from_db()
    assert call.state == State.SETTLED


def test_the_database_refuses_a_second_open_call_of_a_kind(d: Client) -> None:
    judged(d, 3 * MILLION, required=12 * MILLION)
    kinds = MarginCall.objects.filter(state=State.ISSUED).values_list("kind", flat=True)
    assert sorted(kinds) == [Kind.COVERAGE, Kind.MARGIN]
    standing = coverage(d)
    assert standing is not None
    with pytest.raises(IntegrityError, match="one_open_call"), transaction.atomic():
        MarginCall.objects.create(
            cell=d.cell, kind=Kind.COVERAGE, amount_base_units=1, valuation=standing.valuation, deliver_by=clock.now()
        )


def test_a_lapsed_coverage_call_is_a_failure_to_deliver(d: Client) -> None:
    judged(d, 3 * MILLION, required=12 * MILLION)
    for one in MarginCall.objects.all():
        age(one, 12 * HOUR)
    lapsed = calls.lapse_due(clock.now())
    assert {one.kind for one in lapsed} == {Kind.MARGIN, Kind.COVERAGE}
    maker, checker = officer("maker"), officer("checker")
    call = coverage(d)
    assert call is not None
    proposal = defaults.propose_notice(maker=maker, call_id=call.id, reason="nothing delivered")
    defaults.give_notice(checker=checker, proposal_id=proposal.id, seen_hash=proposal.hash, reason="checked")
    assert {one.state for one in MarginCall.objects.all()} == {State.DEFAULT_NOTICE}
    assert approvals.body_of(proposal)["call_id"] == str(call.id)


def test_a_call_does_not_lapse_in_a_default(d: Client) -> None:
    judged(d, 3 * MILLION, required=12 * MILLION)
    margin = calls.current(d.cell.id)
    assert margin is not None
    age(margin, 12 * HOUR)
    calls.lapse_due(clock.now())
    maker, checker = officer("maker"), officer("checker")
    proposal = defaults.propose_notice(maker=maker, call_id=margin.id, reason="nothing delivered")
    defaults.give_notice(checker=checker, proposal_id=proposal.id, seen_hash=proposal.hash, reason="checked")
    call = coverage(d)
    assert call is not None
    age(call, 12 * HOUR)
    assert calls.lapse_due(clock.now()) == []
