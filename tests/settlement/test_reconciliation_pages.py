"""What a client sees of its own vault, and no other's; what an officer sees of all."""

import csv
import json
from collections.abc import Iterator
from io import StringIO

import pytest
from django.db import transaction
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.test import Client as Browser
from pytest_django.fixtures import Settings

from intermediary.config.tenancy import assume, become_tenant
from settlement.breaks import ComparedVault, ReconciliationBreak, ReconciliationReport, VaultStatement
from settlement.chain import Chain
from settlement.models import Stray
from settlement.proving import check, is_proved
from tests.conftest import RoleSwitch
from tests.settlement.statement_world import OFFICER, three_told
from tests.settlement.world import Client

pytestmark = pytest.mark.world(build=three_told)


@pytest.fixture
def on_the_web(who: Client, as_role: RoleSwitch, settings: Settings) -> Iterator[Client]:
    """The client in the middle, under the web's own login."""
    settings.DATABASE_ROLE = "web"
    with as_role("web"):
        yield who


def signed_in(username: str) -> Browser:
    browser = Browser(headers={"accept": "text/html"})
    assert browser.post("/sign-in/", {"username": username, "password": "demo"}).status_code == 302
    return browser


def text_of(answer: HttpResponseBase) -> str:
    assert isinstance(answer, HttpResponse)
    assert answer.status_code == 200, answer.content[:2000]
    return answer.content.decode()


def test_a_client_reads_both_sides_of_its_own_vault_its_own_break_and_its_transactions(on_the_web: Client) -> None:
    page = text_of(signed_in("client.M").get("/portal/M/vault/"))
    for said in (on_the_web.vault.address, "3,999,999.999999 USDC", "0.000003 USDC", "settlement desk", "Deposit"):
        assert said in page, said
    assert "Ledger and chain differ in 1 place of yours" in page
    assert page.count("<td>Deposit</td>") == 1  # what came to its retention is none
    assert "Variation margin paid" in page
    assert "5.000000 USDC" not in page
    clean = text_of(signed_in("client.W").get("/portal/W/vault/"))
    assert "Nothing differs" in clean
    assert on_the_web.vault.address not in clean


def test_the_statement_that_is_downloaded_is_its_own_and_holds(on_the_web: Client, chain: Chain) -> None:
    browser = signed_in("client.M")
    answer = browser.get("/portal/M/vault/USDC.json")
    document = json.loads(text_of(answer))
    assert document["leaf"]["vault"] == on_the_web.vault.address
    assert is_proved(check(document, chain))
    assert 'filename="M-USDC-batch-1.json"' in answer["Content-Disposition"]
    for path in ("/portal/W/vault/USDC.json", "/portal/W/vault/", "/portal/M/vault/WBTC.json"):
        assert browser.get(path).status_code == 404, path


def test_raw_queries_of_a_client_show_its_own_rows_alone(on_the_web: Client) -> None:
    with transaction.atomic():
        assume("portal")
        become_tenant(0, [str(on_the_web.cell.party_id)])
        for table in (ComparedVault, VaultStatement, ReconciliationBreak):
            cells = set(table._default_manager.values_list("cell_id", flat=True))
            assert cells == {on_the_web.cell.id}, table.__name__


def test_an_officer_reads_type_owner_age_and_act_and_chooses(on_the_web: Client) -> None:
    browser = signed_in(OFFICER)
    page = text_of(browser.get("/admin/reconciliation/"))
    for said in ("Balance differs by less than any payment", "0.000003 USDC", "5.000000 USDC", "settlement desk"):
        assert said in page, said
    assert "Ask the issuer whether balances of this token change" in page
    assert "No day has ended yet" in page
    chosen = text_of(browser.get("/admin/reconciliation/?kind=dust"))
    assert "0.000003 USDC" in chosen
    assert "5.000000 USDC" not in chosen
    assert "Nothing of this choice differs" in text_of(browser.get("/admin/reconciliation/?owner=onboarding"))
    rows = list(csv.DictReader(StringIO(text_of(browser.get("/admin/reconciliation/breaks.csv?kind=dust")))))
    assert [(row["kind"], row["relationship"], row["chain_base_units"], row["owner"]) for row in rows] == [
        ("dust", "M", "3", "settlement desk")
    ]


def test_an_officer_is_told_what_was_compared_when_nothing_differs(
    on_the_web: Client, as_role: RoleSwitch, settings: Settings
) -> None:
    with as_role("worker"):
        ReconciliationBreak.objects.update(resolved_block=30)
        run = {"block_number": 30, "block_hash": "0x" + "11" * 32, "comparisons": 12, "breaks": 0}
        ReconciliationReport.objects.create(day="2026-11-21", block_time="2026-11-22T00:00:05Z", body={}, **run)
        Stray.objects.create(
            target=on_the_web.targets["RETENTION"],
            sender="0x" + "5e" * 20,
            amount_base_units=4,
            transaction_hash="0x" + "7a" * 32,
            log_index=0,
            block_number=29,
        )
    page = text_of(signed_in(OFFICER).get("/admin/reconciliation/"))
    assert "Nothing differs" in page
    assert "places at block" in page
    assert "21 Nov 2026" in page
    assert "Retention of M" in page.partition("Sent by strangers")[2]
    assert "0.000004 USDC" in page
    assert "Resolved" in page


def test_a_client_is_no_officer(on_the_web: Client) -> None:
    assert signed_in("client.M").get("/admin/reconciliation/").status_code in (302, 404)
