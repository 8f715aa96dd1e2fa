"""A credit line that waits for the offering that would cover it: in force with its cover, or lapsed."""

from datetime import timedelta
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, transaction

from intermediary import clock, cover, credit, ledger, margining, ports
from intermediary.errors import BadInput, Refusal
from intermediary.ids import uuid7
from intermediary.models import AccountKind, AuditRecord, CreditLine, Layer
from tests.intermediary.margin_world import MILLION, Client, Limits, client, fund_house, officer

pytestmark = pytest.mark.django_db
SLICE = UUID("00000000-0000-7000-8000-000000000002")
State = CreditLine.State


@pytest.fixture
def d() -> Client:
    """A relationship beside a house with 10 million of float; the stressed loss is 8 million beyond the threshold."""
    fund_house(10 * MILLION)
    ports.bind_risk_gate(Limits(stressed_loss=8 * MILLION))
    return client("D")


@pytest.fixture
def people(db: None) -> tuple[User, User]:
    return officer("maker"), officer("checker")


def line(d: Client, people: tuple[User, User], *, waits: bool = True, tail: int = 6, threshold: int = 2) -> CreditLine:
    maker, checker = people
    proposal = credit.propose_line(
        maker=maker,
        cell_id=d.cell.id,
        threshold_base_units=threshold * MILLION,
        first_loss_base_units=2 * MILLION,
        tail_base_units=tail * MILLION,
        senior_base_units=2 * MILLION,
        slice_id=SLICE if tail else None,
        expires_at=clock.now() + timedelta(days=90),
        reason="with its offering",
        awaits_cover=waits,
    )
    return credit.approve_line(checker=checker, proposal_id=proposal.id, seen_hash=proposal.hash, reason="seen")


def small_line(d: Client, people: tuple[User, User]) -> CreditLine:
    """What is in force before: retentions alone, enough for a small book."""
    ports.bind_risk_gate(Limits(stressed_loss=4 * MILLION))
    made = line(d, people, waits=False, tail=0, threshold=0)
    ports.bind_risk_gate(Limits(stressed_loss=8 * MILLION))
    return made


def test_it_changes_nothing_while_it_waits(d: Client, people: tuple[User, User]) -> None:
    made = line(d, people)
    assert made.state == State.AWAITING
    assert not Layer.objects.filter(cell=d.cell).exists()
    assert margining.threshold_of(d.cell.id) == 0
    assert ledger.total([AccountKind.FLOAT], "USDC") == 10 * MILLION
    tail = cover.tail_of(d.cell.id)
    assert tail is not None
    assert (tail.attach_base_units, tail.detach_base_units, tail.slice_id) == (2 * MILLION, 8 * MILLION, SLICE)


def test_the_issue_of_its_slice_sets_its_layers_and_its_force(d: Client, people: tuple[User, User]) -> None:
    before = small_line(d, people)
    waiting = line(d, people)
    assert margining.threshold_of(d.cell.id) == 0
    layer = cover.attach_tail(cell_id=d.cell.id, slice_id=SLICE)
    assert (layer.kind, layer.funded, layer.attach_base_units) == ("TAIL", True, 2 * MILLION)
    assert CreditLine.objects.get(id=waiting.id).state == State.ACTIVE
    assert CreditLine.objects.get(id=before.id).state == State.REDUCED
    assert margining.threshold_of(d.cell.id) == 2 * MILLION
    cover.attach_tail(cell_id=d.cell.id, slice_id=SLICE)
    assert CreditLine.objects.filter(cell=d.cell, state=State.ACTIVE).count() == 1, "repeating it is harmless"


def test_a_pulled_offering_lets_it_lapse_and_nothing_else(d: Client, people: tuple[User, User]) -> None:
    before, waiting = small_line(d, people), line(d, people)
    assert cover.lapse([(d.cell.id, uuid7())]) == [], "another slice is none of its business"
    assert cover.lapse([(d.cell.id, SLICE)]) == [waiting]
    assert CreditLine.objects.get(id=waiting.id).state == State.LAPSED
    assert CreditLine.objects.get(id=before.id).state == State.ACTIVE
    with pytest.raises(Refusal, match="no_such_tail"):
        cover.attach_tail(cell_id=d.cell.id, slice_id=SLICE)


def test_a_book_that_outgrew_it_is_covered_but_gets_no_line(d: Client, people: tuple[User, User]) -> None:
    waiting = line(d, people)
    ports.bind_risk_gate(Limits(stressed_loss=9 * MILLION))
    assert cover.attach_tail(cell_id=d.cell.id, slice_id=SLICE).funded
    assert CreditLine.objects.get(id=waiting.id).state == State.LAPSED
    assert margining.threshold_of(d.cell.id) == 0
    told = AuditRecord.objects.filter(action="credit_line.lapsed").latest("number")
    assert str(9 * MILLION) in told.payload, "the numbers that decided stand in the trail"


def test_it_lapses_when_its_day_comes_first(d: Client, people: tuple[User, User]) -> None:
    waiting = line(d, people)
    assert credit.expire_lines(waiting.expires_at) == [waiting]
    assert CreditLine.objects.get(id=waiting.id).state == State.LAPSED


def test_a_later_one_takes_the_place_of_one_that_waits(d: Client, people: tuple[User, User]) -> None:
    first, second = line(d, people), line(d, people, tail=7)
    assert CreditLine.objects.get(id=first.id).state == State.LAPSED
    assert cover.awaiting(d.cell.id) == second


def test_a_line_without_a_tail_has_nothing_to_wait_for(d: Client, people: tuple[User, User]) -> None:
    with pytest.raises(BadInput, match="no_cover_to_await"):
        line(d, people, tail=0)


def test_the_database_gives_no_force_without_cover(d: Client, people: tuple[User, User]) -> None:
    waiting = line(d, people)
    with pytest.raises(DatabaseError, match="cover_before_force"), transaction.atomic():
        CreditLine.objects.filter(id=waiting.id).update(state=State.ACTIVE)
    direct = line(d, people, waits=False)
    with pytest.raises(DatabaseError, match="transition_not_listed"), transaction.atomic():
        CreditLine.objects.filter(id=direct.id).update(state=State.LAPSED)
