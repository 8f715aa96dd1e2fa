"""Acts about notes from the officers' page through the worker: what the books ask for, and what they refuse."""

from typing import Any

import pytest
from django.db import transaction
from django.urls import reverse

from bonds.servicing import suspension
from intermediary.config.operations import collect, rules
from intermediary.models import Cell, CommandRequest, Proposal
from settlement.models import ChainAct
from tests.bonds import world
from tests.bonds.test_suspension import lapsed
from tests.bonds.world import MILLION
from tests.intermediary.builders import assets
from tests.intermediary.test_office_decisions import Desk, Roles, decide, with_relationship

pytestmark = with_relationship


@pytest.fixture
def desk(committing_db: Any, built_world: Cell, as_role: Roles) -> Desk:
    return Desk(as_role)


def alarms() -> list[str]:
    return [finding.said for finding in rules.find("suspension_due", collect.collect())]


def test_a_lapsed_call_asks_two_officers_to_suspend_transfers_on_chain(desk: Desk) -> None:
    with transaction.atomic():
        assets()
        cell = world.covered_cell("R1")
        series = world.on_risk([cell], [world.investor("a")])
    assert ("Asked for by the books" in desk.get("maker", reverse("admin:acts")), alarms()) == (False, [])
    with transaction.atomic():
        suspension.on_call_lapsed(lapsed(cell))
    page = desk.get("maker", reverse("admin:acts"))
    assert "Asked for by the books" in page
    assert reverse("admin:propose_act", args=["suspend"]) + '">Propose</a></div></div></section>' in page
    [said] = alarms()
    assert said.startswith("transfers are to rest until ")
    desk.post("maker", "propose_act", "suspend", series=series.code, reason="The call has lapsed.")
    proposal = Proposal.objects.get(kind=Proposal.Kind.CHAIN_ACT)
    assert alarms()[0].endswith("which waits for a second officer")
    assert "which waits for a second officer" in desk.get("checker", reverse("admin:acts"))
    decide(desk, "checker", proposal, "approve")
    act = ChainAct.objects.get()
    assert (act.kind, act.body) == ("SUSPEND", proposal.body)
    assert ("Asked for by the books" in desk.get("maker", reverse("admin:acts")), alarms()) == (False, [])
    assert not CommandRequest.objects.filter(state=CommandRequest.State.REFUSED).exists()


def test_a_sale_that_is_not_paid_for_is_not_closed_from_the_page(desk: Desk) -> None:
    with transaction.atomic():
        assets()
        series = world.deployed(world.series_terms([world.covered_cell("R1")]))
        bid = world.sealed(world.investor("a"), world.only_tranche(series), (400, 6 * MILLION))
        world.allocated(series, bid)
    form = {"series": series.code, "reason": "Time to go on."}
    assert "Not every class is paid for in full yet" in desk.post("maker", "propose_act", "allot", act="CLOSE", **form)
    refused = CommandRequest.objects.get(state=CommandRequest.State.REFUSED)
    assert (refused.outcome or {})["code"] == "not_paid_for"
    assert not Proposal.objects.filter(kind=Proposal.Kind.CHAIN_ACT).exists()
    desk.post("maker", "propose_act", "allot", act="ALLOT", **form)
    allotting = Proposal.objects.get(kind=Proposal.Kind.CHAIN_ACT)
    assert str(6 * MILLION) in allotting.body
    with transaction.atomic():
        world.pay_all(series)
    assert "so many units now" in decide(desk, "checker", allotting, "approve"), "asked again when it is approved"
    assert not ChainAct.objects.exists()
