"""The officers' pages of an offering, through the worker: announced, guided, cleared, allocated, each by two people."""

from datetime import UTC, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.test import override_settings
from django.urls import reverse

from bonds.models import Allocation, Offering, Series
from bonds.offering import proposals, sale, stages
from intermediary import clock
from intermediary.models import Cell, Proposal
from tests.bonds import world
from tests.bonds.world import MILLION
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
        return stages.structure(actor="desk", terms=world.series_terms([world.covered_cell("R1")]))


def times() -> dict[str, str]:
    """As a person writes them, UTC."""
    now = clock.now().astimezone(UTC)
    hours = {"opens_at": 0, "commits_until": 2, "reveals_until": 4, "pays_until": 28, "ends_at": 52}
    return {name: f"{now + timedelta(hours=after):%Y-%m-%dT%H:%M}" for name, after in hours.items()}


def announced(desk: Desk, series: Series) -> Proposal:
    sizes = {"limit_0": "6,000,000", "cap_0": "6,000,000", "bidders_0": "1"}
    desk.post("maker", "act_on_offering", series.id, "announce", **times(), **sizes, reason="Agreed with the desk.")
    return Proposal.objects.get(kind=Proposal.Kind.OFFERING, state=Proposal.State.PROPOSED)


def test_offering_is_announced_guided_and_allocated_by_two_officers(desk: Desk, series: Series) -> None:
    assert "Announce the sale" in desk.get("maker", reverse("admin:offering", args=[series.id]))
    assert "not announced" in desk.get("maker", reverse("admin:offerings"))
    decide(desk, "checker", announced(desk, series), "approve")
    offering = Offering.objects.get()
    assert offering.state == Offering.State.ANNOUNCED
    guided(desk, series)
    with transaction.atomic():
        sale.advance(clock.now())
        bid = world.sealed(world.investor("a"), world.only_tranche(series), (417, 6 * MILLION))
    page = desk.get("maker", reverse("admin:offering", args=[series.id]))
    assert "1 sealed bid" in page
    assert "417" not in page
    with transaction.atomic():
        world.close(series)
        world.revealed(bid)
    assert "417" not in desk.get("maker", reverse("admin:offering", args=[series.id])), "before it is cleared"
    with transaction.atomic():
        world.priced(series)
    page = desk.get("maker", reverse("admin:offering", args=[series.id]))
    assert "417" in page
    desk.post("maker", "act_on_offering", series.id, "allocate", reason="By the report.")
    assert not Allocation.objects.exists()
    proposal = Proposal.objects.get(kind=Proposal.Kind.OFFERING, state=Proposal.State.PROPOSED)
    decide(desk, "maker", proposal, "approve")
    assert not Allocation.objects.exists(), "the maker is not the checker"
    decide(desk, "checker", proposal, "approve")
    assert Allocation.objects.get().units == 6 * MILLION
    assert "Investor a" in desk.get("checker", reverse("admin:offering", args=[series.id]))


def guided(desk: Desk, series: Series) -> None:
    """Guidance as the worker would compute it from the loss model."""
    maker = User.objects.get(username="maker")
    with transaction.atomic():
        guidance = {world.only_tranche(series).id: 400}
        proposal = proposals.propose_guidance(
            maker=maker, series_id=series.id, guidance_bps=guidance, reason="By the loss model."
        )
    decide(desk, "checker", proposal, "approve")


def test_what_is_missing_is_said_beside_its_field_and_a_second_proposal_is_refused(desk: Desk, series: Series) -> None:
    with desk.as_role("web"), override_settings(DATABASE_ROLE="web"):
        where = reverse("admin:act_on_offering", args=[series.id, "announce"])
        answer = desk.client("maker").post(where, {"reason": "Agreed with the desk."})
    assert answer.status_code == 422
    assert "Nothing was sent" in answer.content.decode()
    announced(desk, series)
    sizes = {"limit_0": "6,000,000", "cap_0": "6,000,000", "bidders_0": "1"}
    told = desk.post(
        "maker", "act_on_offering", series.id, "announce", **times(), **sizes, reason="Agreed with it all."
    )
    assert "waits for a second officer" in told


def test_offering_is_pulled_by_two_officers(desk: Desk, series: Series) -> None:
    decide(desk, "checker", announced(desk, series), "approve")
    desk.post("maker", "act_on_offering", series.id, "pull", reason="The market is closed.")
    decide(desk, "checker", Proposal.objects.get(state=Proposal.State.PROPOSED), "approve")
    series.refresh_from_db()
    assert series.state == Series.State.PULLED
    assert "The market is closed." in desk.get("maker", reverse("admin:offering", args=[series.id]))
