"""Investors' pages under the web's own database role: one sees its own, everybody sees what is published."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client, override_settings
from django.urls import reverse

from bonds.models import Holding, NoteMark, Offering, Order, Series, SliceMark
from bonds.offering import stages
from bonds.portal import requests
from bonds.servicing import write_downs
from intermediary import trading
from intermediary.canonical import sha256_hex
from intermediary.config.tenancy import assume, become_tenant
from intermediary.models import Cell, CommandRequest
from tests.bonds import world
from tests.bonds.world import MILLION
from tests.conftest import RoleSwitch, TestDatabase
from tests.intermediary.builders import assets


@pytest.fixture
def web(committing_db: TestDatabase) -> Iterator[None]:
    """The web process' settings; its login is taken by `as_role("web")`."""
    with override_settings(DATABASE_ROLE="web"):
        yield


@pytest.fixture
def investors(committing_db: TestDatabase) -> list[User]:
    with transaction.atomic():
        assets()
        return [world.investor(name) for name in "abc"]


@pytest.fixture
def cells(investors: list[User]) -> list[Cell]:
    with transaction.atomic():
        return [world.covered_cell("R1"), world.covered_cell("R2")]


@pytest.fixture
def series(cells: list[Cell], investors: list[User]) -> Series:
    with transaction.atomic():
        return world.on_risk(cells, investors)


def signed_in(user: User, as_role: RoleSwitch) -> Client:
    """A browser with a session, made before the web's role is taken (only the web's roles and the owner renew one)."""
    client = Client(headers={"accept": "text/html"})
    with as_role("owner"):
        client.force_login(user)
    return client


def mark(series: Series, **outputs: float) -> None:
    """One valuation with marks, as a tick leaves them."""
    with transaction.atomic():
        valuation = trading.record_valuation(
            as_of=datetime.now(UTC), source="test", snapshot_id="0" * 64, prices={"BTC": "1"}, marks={}
        )
        for tranche in series.tranches.all():
            NoteMark.objects.create(
                tranche=tranche,
                valuation=valuation,
                outstanding_base_units=tranche.original_base_units,
                clean_price=99.5,
                accrued=0.1,
                expected_yield=0.0812345,
                expected_loss=0.012,
                probability_first_loss=0.03,
                probability_last_loss=0.001,
                measure="test",
                outputs=outputs,
            )
        for item in series.slices.all():
            SliceMark.objects.create(
                slice=item,
                valuation=valuation,
                expected_loss=0.012,
                probability_first_loss=0.03,
                probability_last_loss=0.001,
                loss_now_base_units=MILLION,
                basis="MODEL",
            )


def page(client: Client, name: str, *args: object) -> str:
    response = client.get(reverse(f"investor:{name}", args=args))
    assert response.status_code == 200, response.content[:2000]
    return str(response.content.decode())


def test_investor_sees_its_own_holdings_and_nobody_else_s(
    series: Series, investors: list[User], as_role: RoleSwitch, web: None
) -> None:
    party = world.party_of(investors[0])
    with as_role("web"), transaction.atomic():
        assume("portal")
        become_tenant(investors[0].pk, [str(party.id)])
        assert [one.party.code for one in Holding.objects.select_related("party")] == ["a"]
        assert [one.party.code for one in Order.objects.select_related("party")] == ["a"]


def test_stranger_sees_published_series_but_no_orders(
    series: Series, cells: list[Cell], as_role: RoleSwitch, web: None
) -> None:
    with as_role("web"), transaction.atomic():
        assume("portal")
        assert Series.objects.count() == 1
        assert not Holding.objects.exists()
        assert not Order.objects.exists()


def test_series_being_structured_is_nobody_s_yet(investors: list[User], as_role: RoleSwitch, web: None) -> None:
    with transaction.atomic():
        cell = world.covered_cell("R1")
        made = stages.structure(actor="desk", terms=world.series_terms([cell]))
    client = signed_in(investors[0], as_role)
    with as_role("web"):
        with transaction.atomic():
            assume("portal")
            assert not Series.objects.exists()
        assert client.get(reverse("investor:series", args=[made.id])).status_code == 404


def test_pages_with_rows(
    series: Series, cells: list[Cell], investors: list[User], as_role: RoleSwitch, web: None
) -> None:
    mark(series)
    with transaction.atomic():
        case = world.notice(cells[0])
        write_downs.on_loss_determined(world.determine(case, 4 * MILLION))
        world.settle()
    client = signed_in(investors[0], as_role)
    with as_role("web"):
        held = page(client, "holdings")
        assert "BLKT0" in held
        assert "4,000,000.00" in held
        told = page(client, "series", series.id)
        assert "Challenge period" in told
        assert "R1" in told
        assert "99.50" in told
        assert "Loss determined" in told, "at once, though its marks follow one valuation later"
        assert "the marks shown follow it from the next valuation" in told
        assert "BLK-T" in page(client, "offerings")
        assert "BLK-T" in page(client, "all_series")


def test_pages_without_rows(investors: list[User], as_role: RoleSwitch, web: None) -> None:
    client = signed_in(investors[0], as_role)
    with as_role("web"):
        assert "You hold no notes" in page(client, "holdings")
        assert "Nothing is on sale" in page(client, "offerings")
        assert "No series yet" in page(client, "all_series")


def test_series_page_is_public(series: Series, as_role: RoleSwitch, web: None) -> None:
    with as_role("web"):
        assert "Test notes" in page(Client(), "series", series.id)
        assert "BLK-T" in page(Client(), "all_series")


def test_bid_from_a_page_reaches_the_book_sealed_and_is_revealed_after_the_close(
    cells: list[Cell], investors: list[User], as_role: RoleSwitch, web: None
) -> None:
    with transaction.atomic():
        series = world.deployed(world.series_terms(cells))
        kept = world.opening_of(investors[0], world.only_tranche(series), (425, 12 * MILLION))
    tranche = world.only_tranche(series)
    client = signed_in(investors[0], as_role)
    with as_role("web"):
        assert "data-seal" in page(client, "bid", tranche.id)
        body = {"commitment": kept.commitment, "conflicts": ["EXPOSURE"]}
        assert client.post(reverse("investor:bid", args=[tranche.id]), body).status_code == 302
        assert "Being worked on" in page(client, "offerings")
    run_wish()
    order = Order.objects.get()
    assert (order.commitment, order.conflicts, order.opening) == (kept.commitment, ["EXPOSURE"], "")
    with as_role("web"):
        assert "sealed" in page(client, "offerings")
        assert "Nothing to reveal" in page(client, "reveal", order.id)
    with transaction.atomic():
        world.close(series)
    with as_role("web"):
        assert "Reveal it now" in page(client, "offerings")
        assert "data-reveal" in page(client, "reveal", order.id)
        body = {"opening": kept.opening.text, "nonce": kept.nonce}
        assert client.post(reverse("investor:reveal", args=[order.id]), body).status_code == 302
    run_wish()
    with as_role("web"):
        assert "425" in page(client, "offerings")
        report = reverse("investor:allocation_report", args=[series.id])
        assert client.get(report).status_code == 404
    with transaction.atomic():
        world.priced(series)
    with as_role("web"):
        assert report in page(Client(), "series", series.id), "on the public page"
        found = Client().get(report)
    assert sha256_hex(found.content.decode()) == Offering.objects.get().report_hash


def test_nobody_sees_another_investor_s_bid(
    cells: list[Cell], investors: list[User], as_role: RoleSwitch, web: None
) -> None:
    with transaction.atomic():
        series = world.deployed(world.series_terms(cells))
        kept = world.sealed(investors[0], world.only_tranche(series), (425, 12 * MILLION))
        world.close(series)
    client = signed_in(investors[1], as_role)
    with as_role("web"):
        assert client.get(reverse("investor:reveal", args=[kept.order.id])).status_code == 404
        assert kept.order.commitment not in page(client, "offerings")


def run_wish() -> None:
    with transaction.atomic():
        wish = CommandRequest.objects.order_by("-id")[0]
        requests.COMMANDS[wish.command](wish)
