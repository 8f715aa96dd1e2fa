"""The officers' stress pages, drawn from real reports."""

import json
import re

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from intermediary import onboarding, ports
from intermediary.config import requests
from intermediary.config.officers import make_officer
from intermediary.models import Cell, Layer, MarginPoint, MarginState, VariationPayment
from risk import live_layers, stress_reports
from risk.figures import IF_NETTED
from risk.margin.stress import published_scenarios
from risk.models import StressReport
from risk.stress_queries import nearest_calls, stress_report
from tests.people import as_owner, member, person
from tests.risk.test_live_layers import three_layers, world

pytestmark = pytest.mark.django_db


@pytest.fixture
def officer() -> Client:
    client, user = Client(), person("officer.stress")
    with as_owner():
        client.force_login(make_officer(user))
    return client


def text(officer: Client, name: str, *args: str, **headers: str) -> str:
    answer = asked(officer, name, *args, **headers)
    assert answer.status_code == 200
    return answer.content.decode()


def asked(officer: Client, name: str, *args: str, **headers: str) -> HttpResponse:
    """As the owner: the worker's login, which the rest of the test needs, reads no sessions."""
    with as_owner():
        return officer.get(reverse(f"admin:{name}", args=args), headers=headers)  # type: ignore[return-value]


def test_before_the_first_report_the_page_says_so(officer: Client) -> None:
    assert "No report yet" in text(officer, "stress")
    assert asked(officer, "stress_of", "AMPLE").status_code == 404


def test_the_book_and_each_relationship_are_shown(officer: Client, client: Client) -> None:
    clients, opened = world("LINE", "SHORT", "AMPLE")
    Layer.objects.filter(cell=clients["LINE"].cell).update(funded=True)
    member(user := person("client.line"), clients["LINE"].cell.party)
    assert "No stress report yet" in as_its_client(client, user)
    stress_reports.renew(opened.id)
    book = text(officer, "stress")
    for scenario in published_scenarios():
        assert scenario.title in book
    assert "The two largest default at once" in book
    assert reverse("admin:stress_of", args=["SHORT"]) in book
    assert '<data class="num loss" value="0">now</data>' in book  # it is short already
    assert "Crowding" in book
    desk = text(officer, "index")
    assert all(f"{near.sigmas:.1f}" in desk for near in nearest_calls().values() if near and near.percent)
    assert nearest_calls() == {row.cell_id: stress_report(row.cell_id).nearest["call"] for row in its_reports()}  # type: ignore[union-attr]
    one = text(officer, "stress_of", "LINE")
    assert "Reverse stress" in one
    charts = [
        json.loads(body) for body in re.findall(r'<script type="application/json">(.*?)</script>', one, re.DOTALL)
    ]
    assert [chart["kind"] for chart in charts] == ["heat", "bars", "lines"]
    assert len(charts[0]["values"]) == len(charts[0]["rows"])
    assert all(len(row) == len(charts[0]["columns"]) for row in charts[0]["values"])
    assert len(book.encode()) < 150_000
    assert len(one.encode()) < 150_000
    assert "Nothing in this book nets" not in one
    assert "Nothing in this book nets" in text(officer, "stress_of", without_an_opinion(clients["SHORT"].cell))
    its_client_reads_it_with_its_limits(clients["LINE"].cell, as_its_client(client, user))


def without_an_opinion(cell: Cell) -> str:
    """Its requirement says so; the code of the relationship."""
    state = MarginState.objects.get(cell=cell)
    state.breakdown[IF_NETTED] = 1.0
    state.save(update_fields=["breakdown"])
    return cell.code


def its_reports() -> list[StressReport]:
    """The relationships' reports, without the intermediary's."""
    return list(StressReport.objects.filter(cell__kind=Cell.Kind.CLIENT))


def as_its_client(client: Client, user: User, page: str = "risk") -> str:
    with as_owner():
        client.force_login(user)
        answer = client.get(reverse(f"portal:{page}", args=["LINE"]))
    assert answer.status_code == 200
    return str(answer.content.decode())


def its_client_reads_it_with_its_limits(cell: Cell, page: str) -> None:
    """The fan under margin and layers, exposure so far under what its terms call at."""
    found = re.findall(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)
    exposure, fan, heat, bars = [json.loads(body) for body in found]
    report = StressReport.objects.get(cell=cell).body["exposure"]
    assert [len(line["points"]) for line in fan["series"]] == [1 + len(report["days"])] * 4
    assert [limit["value"] for limit in fan["limits"]] == [report["margin"], report["limit"]]
    before, unpaid = exposure["series"]
    points = MarginPoint.objects.filter(cell=cell).order_by("valuation__as_of")
    assert [value for _, value in unpaid["points"]] == [point.exposure_base_units / 10**6 for point in points]
    paid = VariationPayment.objects.get(cell=cell, valuation=points.last().valuation)  # type: ignore[union-attr]
    settled = before["points"][-1][1] - unpaid["points"][-1][1]
    assert settled == pytest.approx(paid.amount_base_units / 10**6)
    state, terms = MarginState.objects.get(cell=cell), onboarding.current_terms(cell.id)
    called = state.held_base_units + state.threshold_base_units + terms.minimum_transfer_base_units
    assert exposure["limits"][0]["value"] == (called - state.independent_amount_base_units) / 10**6
    assert (heat["kind"], bars["kind"]) == ("heat", "bars")
    assert "97.5% of cases" in page
    assert "SHORT" not in page
    assert len(page.encode()) < 150_000


def test_what_each_layer_may_lose_is_shown_to_officers_and_to_its_client(officer: Client, client: Client) -> None:
    clients, opened = world("LINE", "AMPLE")
    cell = clients["LINE"].cell
    three_layers(cell)
    member(user := person("client.line"), cell.party)
    before = as_its_client(client, user, "credit")
    assert "it is not measured now" in before
    assert ">PLL<" in before
    stress_reports.renew(opened.id)
    live_layers.renew(opened.id)
    measured = ports.layer_risks(cell.id).values()
    assert len(measured) == 3
    for page in (text(officer, "stress_of", "LINE"), as_its_client(client, user, "credit")):
        for one in measured:
            for share in (one.expected_loss, one.first_loss, one.last_loss):
                assert f'title="{100 * share:.3g} %"' in page
        assert page.count("data-age") >= 1
    assert "No layers" in text(officer, "stress_of", "AMPLE")


def test_the_pages_renew_themselves_with_the_market(officer: Client) -> None:
    _, opened = world("AMPLE")
    stress_reports.renew(opened.id)
    for name, args in (("stress", ()), ("stress_of", ("AMPLE",))):
        part = text(officer, name, *args, **{"HX-Request": "true"})
        assert part.lstrip().startswith('<div id="live"')
        assert "sse:tick" in part


def test_an_officers_own_scenario_is_asked_for_and_answered(officer: Client) -> None:
    world("LINE", "SHORT")
    assert "Who bears it" not in text(officer, "own_stress")
    with as_owner():
        there = officer.post(reverse("admin:own_stress"), {"move": "-30", "coin-ETH": "-50"})["Location"]
        assert "Being computed" in officer.get(there).content.decode()
    requests.run_pending()
    with as_owner():
        answered = officer.get(there).content.decode()
        assert "Who bears it" in answered
        assert 'value="-30"' in answered
        refused = officer.post(reverse("admin:own_stress"), {"peg": "2"})["Location"]
    requests.run_pending()
    with as_owner():
        assert "stress_peg, entered: 2" in officer.get(refused).content.decode()
        assert officer.post(reverse("admin:own_stress"), {"move": "9" * 30}).status_code == 422
