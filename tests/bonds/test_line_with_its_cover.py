"""A credit line and the offering that would cover it, end to end: issued together, or lapsed together."""

from datetime import timedelta

import pytest

from bonds import timeline
from bonds.models import Series
from bonds.offering import stages
from bonds.offering.terms import slice_id_of
from intermediary import clock, credit, margining, ports
from intermediary.errors import Refusal
from intermediary.models import Cell, CreditLine, Layer
from tests.bonds import world
from tests.bonds.world import MILLION
from tests.intermediary.builders import assets
from tests.intermediary.margin_world import Client, Limits, client, fund_house, officer

pytestmark = pytest.mark.django_db


@pytest.fixture
def waiting() -> tuple[Client, CreditLine]:
    """A relationship without layers whose line awaits the first series over it."""
    assets()
    fund_house(10 * MILLION)
    ports.bind_risk_gate(Limits(stressed_loss=8 * MILLION))
    who = client("D")
    proposal = credit.propose_line(
        maker=officer("first"),
        cell_id=who.cell.id,
        threshold_base_units=2 * MILLION,
        first_loss_base_units=3 * MILLION // 2,
        tail_base_units=6 * MILLION,
        senior_base_units=3 * MILLION,
        slice_id=slice_id_of("BLK-T", who.cell.id),
        expires_at=clock.now() + timedelta(days=90),
        reason="sold with its tail",
        awaits_cover=True,
    )
    made = credit.approve_line(
        checker=officer("second"), proposal_id=proposal.id, seen_hash=proposal.hash, reason="numbers seen"
    )
    return who, made


def test_the_line_takes_force_when_its_series_is_issued(waiting: tuple[Client, CreditLine]) -> None:
    who, line = waiting
    assert margining.threshold_of(who.cell.id) == 0
    series = world.on_risk([who.cell], [world.investor(name) for name in "ab"])
    assert series.state == Series.State.ON_RISK
    assert CreditLine.objects.get(id=line.id).state == CreditLine.State.ACTIVE
    assert margining.threshold_of(who.cell.id) == 2 * MILLION
    tail = Layer.objects.get(cell=who.cell, kind=Layer.Kind.TAIL)
    assert (tail.funded, tail.slice_id) == (True, series.slices.get().id)


def test_the_line_lapses_when_its_series_is_pulled(waiting: tuple[Client, CreditLine]) -> None:
    who, line = waiting
    series = world.deployed(world.series_terms([who.cell]))
    timeline.move_to(series, Series.State.PULLED)
    assert CreditLine.objects.get(id=line.id).state == CreditLine.State.LAPSED
    assert not Layer.objects.filter(cell=who.cell).exists()
    assert margining.threshold_of(who.cell.id) == 0


def paid(who: Client) -> Series:
    """Allocated and paid for, its escrow not closed."""
    series = world.deployed(world.series_terms([who.cell]))
    world.allocated(series, world.sealed(world.investor("a"), world.only_tranche(series), (400, 6 * MILLION)))
    world.pay_all(series)
    return series


def test_a_line_lapses_where_its_relationship_has_defaulted_since_the_close(waiting: tuple[Client, CreditLine]) -> None:
    who, line = waiting
    series = paid(who)
    world.book_escrow(series)
    Cell.objects.filter(id=who.cell.id).update(state=Cell.State.DEFAULTED)
    stages.issue(actor="desk", series_id=series.id)
    assert CreditLine.objects.get(id=line.id).state == CreditLine.State.LAPSED
    assert margining.threshold_of(who.cell.id) == 0, "nothing more is unsecured"
    tail = Layer.objects.get(cell=who.cell, kind=Layer.Kind.TAIL)
    assert (tail.funded, tail.slice_id) == (True, series.slices.get().id), "the notes that were sold bear its tail"


def test_nothing_ends_the_line_of_a_tail_that_is_sold(waiting: tuple[Client, CreditLine]) -> None:
    who, line = waiting
    paid(who)
    proposal = credit.propose_line(
        maker=officer("third"),
        cell_id=who.cell.id,
        threshold_base_units=0,
        first_loss_base_units=2 * MILLION,
        tail_base_units=0,
        senior_base_units=8 * MILLION,
        slice_id=None,
        expires_at=clock.now() + timedelta(days=90),
        reason="without a tail",
    )
    with pytest.raises(Refusal, match="cover_is_sold"):
        credit.approve_line(checker=officer("fourth"), proposal_id=proposal.id, seen_hash=proposal.hash, reason="seen")
    assert credit.expire_lines(line.expires_at) == []
    assert CreditLine.objects.get(id=line.id).state == CreditLine.State.AWAITING


def test_what_the_issue_would_refuse_is_refused_before_the_escrow_is_closed(
    waiting: tuple[Client, CreditLine],
) -> None:
    who, line = waiting
    series = paid(who)
    stages.refuse_close(series.id)
    assert not Layer.objects.filter(cell=who.cell).exists(), "tried and taken back"
    CreditLine.objects.filter(id=line.id).update(state=CreditLine.State.LAPSED)
    with pytest.raises(Refusal, match="layer_differs"):
        stages.refuse_close(series.id)


def test_an_escrow_is_not_closed_while_the_float_cannot_fund_its_retentions(
    waiting: tuple[Client, CreditLine],
) -> None:
    who, _ = waiting
    series = paid(who)
    fund_house(-9 * MILLION)
    with pytest.raises(Refusal, match="float_insufficient"):
        stages.refuse_close(series.id)
