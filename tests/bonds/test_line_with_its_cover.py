"""A credit line and the offering that would cover it, end to end: issued together, or lapsed together."""

from datetime import timedelta

import pytest

from bonds import timeline
from bonds.models import Series
from bonds.offering.terms import slice_id_of
from intermediary import clock, credit, margining, ports
from intermediary.models import CreditLine, Layer
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
