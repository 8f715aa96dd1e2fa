"""The officers' way to end a series early: proposed on its page, decided by somebody else, refused by name."""

from typing import Any

import pytest
from django.db import transaction
from django.urls import reverse

from bonds.models import Series
from intermediary.models import Cell, CommandRequest, Proposal
from tests.bonds import world
from tests.intermediary.builders import assets
from tests.intermediary.test_office_decisions import Desk, Roles, decide, with_relationship

pytestmark = with_relationship


@pytest.fixture
def desk(committing_db: Any, built_world: Cell, as_role: Roles) -> Desk:
    return Desk(as_role)


@pytest.fixture
def series(desk: Desk) -> Series:
    with transaction.atomic():
        assets()
        return world.on_risk([world.covered_cell("R1")], [world.investor("a")])


def test_an_insolvency_is_proposed_on_the_page_and_ends_the_series_by_two(desk: Desk, series: Series) -> None:
    assert "Propose the end on insolvency" in desk.get("maker", reverse("admin:offering", args=[series.id]))
    desk.post("maker", "act_on_offering", series.id, "insolvency", reason="Petition filed today.")
    proposal = Proposal.objects.get(kind=Proposal.Kind.SERIES_REDEMPTION)
    decide(desk, "maker", proposal, "approve")
    series.refresh_from_db()
    assert series.state == Series.State.ON_RISK, "the maker is not the checker"
    decide(desk, "checker", proposal, "approve")
    series.refresh_from_db()
    assert series.state == Series.State.MATURED
    assert series.end_reason == "Insolvency of the intermediary"


def test_a_clean_up_above_its_share_is_refused_with_the_numbers(desk: Desk, series: Series) -> None:
    desk.post("maker", "act_on_offering", series.id, "clean_up", reason="It is small by now.")
    refused = CommandRequest.objects.get(command="propose_clean_up")
    assert refused.state == CommandRequest.State.REFUSED
    assert "clean_up_not_reached" in str(refused.outcome)
    assert not Proposal.objects.filter(kind=Proposal.Kind.SERIES_REDEMPTION).exists()
