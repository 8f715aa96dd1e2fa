"""The client's pages under the web's own database login: they answer, and they never show another's rows."""

import re
from collections.abc import Iterator
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.test import Client
from pytest_django.fixtures import Settings

from intermediary import access, ports
from intermediary.config.tenancy import assume, become_tenant
from intermediary.models import Cell, ChainTarget, CommandRequest, MarginCall, MarginState, Trade
from intermediary.portal import forms
from risk.figures import IF_NETTED
from risk.models import StressReport, Tick
from tests.conftest import RoleSwitch, TestDatabase
from tests.intermediary import faces_world
from tests.intermediary.faces_world import USD

PAGES = (
    "", "positions/", "trades/", "trades/new/", "what-if/", "margin-calls/", "collateral/", "deposit/", "wallets/",
    "withdraw/", "credit/", "risk/", "isolation/", "terms/", "statements/", "statements.csv", "vault/",
)  # fmt: skip
TENANT_TABLES = (
    "cell", "party", "layer", "account", "journalentry", "posting", "chaintarget", "chaininstruction", "lot",
    "position", "marginstate", "marginpoint", "margincall", "callincrement", "callevent", "creditline", "termsversion",
    "defaultcase",
)  # fmt: skip


pytestmark = pytest.mark.world(build=faces_world.build)


@pytest.fixture
def world(
    committing_db: TestDatabase, built_world: dict[str, Cell], as_role: RoleSwitch, settings: Settings
) -> Iterator[dict[str, Cell]]:
    """The world of the faces, under the web's own login."""
    settings.DATABASE_ROLE = "web"
    with as_role("web"):
        yield built_world


def signed_in(username: str) -> Client:
    """A browser of this person."""
    browser = Client(headers={"accept": "text/html"})
    answer = browser.post("/sign-in/", {"username": username, "password": "demo"})
    assert answer.status_code == 302, answer.content
    return browser


def text_of(answer: HttpResponseBase) -> str:
    assert isinstance(answer, HttpResponse)
    assert answer.status_code == 200, answer.content[:2000]
    return answer.content.decode()


def test_every_page_answers_with_rows_and_without(world: dict[str, Cell]) -> None:
    for username, code in (("client.basis", "R-101"), ("client.foundation", "R-109")):
        browser = signed_in(username)
        for page in PAGES:
            body = text_of(browser.get(f"/portal/{code}/{page}"))
            assert page.endswith(".csv") or "<h1>" in body
    assert "Nothing has been valued yet" in text_of(signed_in("client.foundation").get("/portal/R-109/"))


def test_a_vault_that_is_held_to_less_than_the_terms_say_is_shown_beside_them(
    world: dict[str, Cell], as_role: RoleSwitch
) -> None:
    browser = signed_in("client.basis")
    before = text_of(browser.get("/portal/R-101/terms/"))
    assert "that your vault was opened with" not in before
    with as_role("owner"):
        vaults = ChainTarget.objects.filter(cell__code="R-101", kind="VAULT", asset_id="USDC")
        vaults.update(creation={"debit_cap": 40_000_000 * USD, "max_required": 100_000_000 * USD})
    shown = " ".join(re.sub(r"<[^>]+>", " ", text_of(browser.get("/portal/R-101/terms/"))).split())
    assert re.search(r"Debit cap [^L]*50,000,000[^L]*40,000,000[^L]*that your vault was opened with", shown), shown
    assert shown.count("that your vault was opened with") == 1, "the other cap is the same"


def test_a_book_that_does_not_net_is_said_to_be_one(world: dict[str, Cell], as_role: RoleSwitch) -> None:
    """With what it would ask if it did; the others are not told about it."""
    pages = [
        ("client.basis", "/portal/R-101/"),
        ("client.basis", "/portal/R-101/risk/"),
        ("officer.checker", "/admin/"),
    ]
    said = ("Nothing in your book nets", "Nothing in your book nets", "no netting</span>")
    netted = [text_of(signed_in(who).get(page)) for who, page in pages]
    with as_role("owner"):
        state = MarginState.objects.get(cell__code="R-101")
        state.breakdown[IF_NETTED] = 1_234_567.89
        state.save(update_fields=["breakdown"])
    for (who, page), before, words, figure in zip(
        pages, netted, said, ("1,234,567.89",) * 2 + ("1,234,568",), strict=True
    ):
        body = text_of(signed_in(who).get(page))
        assert words not in before
        assert words in body
        assert figure in body
        assert body.count(words) == 1


def test_another_clients_pages_do_not_exist(world: dict[str, Cell]) -> None:
    browser = signed_in("client.basis")
    for page in PAGES:
        answer = browser.get(f"/portal/R-102/{page}")
        assert answer.status_code == 404
        assert b"Kestrel" not in answer.content
    call = f"/portal/R-102/margin-calls/{world['R-101'].id}/"
    assert browser.get(call).status_code == 404


def test_a_page_never_names_another_party_or_its_numbers(world: dict[str, Cell]) -> None:
    browser = signed_in("client.maker")
    shown = "".join(text_of(browser.get(f"/portal/R-102/{page}")) for page in PAGES)
    for name in ("Meridian", "Tidewater", "Stiftung", "14,734,567", "client.basis"):
        assert name not in shown
    assert "R-101" in shown, "the other side of its own trades is known by its anonymous code"


def test_raw_sql_under_the_portal_role_sees_the_tenants_rows_only(world: dict[str, Cell]) -> None:
    own = world["R-102"]
    with transaction.atomic():
        assume("portal")
        access.show_person("client.maker")
        user = User.objects.get(username="client.maker")
        become_tenant(user.pk, [str(own.party_id)])
        for table in TENANT_TABLES:
            key = {"cell": "id", "party": "id"}.get(table, "cell_id")
            mine = own.party_id if table == "party" else own.id
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT count(*) FILTER (WHERE {key} <> %s) FROM intermediary_{table}", [mine])
                assert cursor.fetchone() == (0,), table


def test_a_stress_report_is_its_own_clients(world: dict[str, Cell], as_role: RoleSwitch) -> None:
    with as_role("worker"):
        tick = Tick.objects.latest("id")
        for code in ("R-101", "R-102"):
            StressReport.objects.create(cell=world[code], tick=tick, body={"of": code})
    with as_role("web"), transaction.atomic():
        as_tenant("client.maker", world["R-102"])
        assert [row.body["of"] for row in StressReport.objects.all()] == ["R-102"]
        assert ports.stress_report(world["R-101"].id) is None
        own = ports.stress_report(world["R-102"].id)
        assert own is not None
        assert own.as_of.year == 2025


def test_nobody_signed_in_reads_no_tenant_table(world: dict[str, Cell]) -> None:
    with transaction.atomic():
        assume("portal")
        for table in TENANT_TABLES:
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT count(*) FROM intermediary_{table}")
                assert cursor.fetchone() == (0,), table


def test_a_visitor_is_sent_to_sign_in(world: dict[str, Cell]) -> None:
    answer = Client().get("/portal/R-101/")
    assert answer.status_code == 302
    assert answer["Location"].startswith("/sign-in/")


def test_a_withdrawal_is_reviewed_before_it_is_asked_for(world: dict[str, Cell]) -> None:
    browser = signed_in("client.maker")
    review = text_of(browser.post("/portal/R-102/withdraw/", {"asset": "USDC", "amount": "1,250,000.50"}))
    assert "Nothing has been sent yet" in review
    assert "12,856,249.50" in review, "held after: 14.1 million less 99.5% of the amount"
    assert wishes("client.maker") == []
    sealed = re.search(r'name="sealed" value="([^"]+)"', review)
    assert sealed
    answer = browser.post("/portal/R-102/withdraw/", {"sealed": sealed[1]})
    (wish,) = wishes("client.maker")
    assert answer["Location"] == f"/portal/requests/{wish.id}/"
    assert (wish.command, wish.cell_id) == ("withdraw", world["R-102"].id)
    assert wish.body == {"asset": "USDC", "amount_base_units": 1_250_000_500_000}


def test_a_review_of_one_relationship_confirms_nothing_in_another(world: dict[str, Cell]) -> None:
    sealed = forms.seal({"cell": str(world["R-101"].id), "asset": "USDC", "amount_base_units": 5})
    answer = signed_in("client.maker").post("/portal/R-102/withdraw/", {"sealed": sealed})
    assert "That review is too old" in text_of(answer)
    assert wishes("client.maker") == []


def test_an_amount_with_too_many_decimals_is_told_beside_the_field(world: dict[str, Cell]) -> None:
    answer = signed_in("client.maker").post("/portal/R-102/withdraw/", {"asset": "USDC", "amount": "0.0000001"})
    assert "USDC has 6 decimals" in text_of(answer)


def test_a_pledge_and_an_affirmation_become_wishes(world: dict[str, Cell]) -> None:
    browser = signed_in("client.basis")
    with transaction.atomic():
        as_tenant("client.basis", world["R-101"])
        call = MarginCall.objects.get()
        trade = Trade.objects.get(state=Trade.State.SUBMITTED)
    browser.post(f"/portal/R-101/margin-calls/{call.id}/", {"amount": "690000"})
    browser.post(f"/portal/R-101/trades/{trade.id}/", {"act": "affirm"})
    affirm, pledge = wishes("client.basis")
    assert pledge.body == {"call_id": str(call.id), "amount_base_units": 690_000 * 10**6}
    assert (affirm.command, affirm.body) == ("affirm_trade", {"trade_id": str(trade.id)})


def test_a_trade_is_stored_as_decimal_strings(world: dict[str, Cell]) -> None:
    asked = {
        "side": "BUY",
        "instrument": "BTC-PERP",
        "quantity": "1.50",
        "price": "105,000.25",
        "counterparty": "R-102",
    }
    signed_in("client.basis").post("/portal/R-101/trades/new/", asked)
    (wish,) = wishes("client.basis")
    assert Decimal(wish.body["price"]) == Decimal("105000.25")
    assert wish.body["counterparty"] == "R-102"


def test_a_request_is_its_askers_alone(world: dict[str, Cell]) -> None:
    browser = signed_in("client.basis")
    asked = {"side": "SELL", "instrument": "BTC-PERP", "quantity": "1", "price": "105000", "counterparty": "R-102"}
    address = browser.post("/portal/R-101/trades/new/", asked)["Location"]
    assert "Being worked on" in text_of(browser.get(address))
    assert signed_in("client.maker").get(address).status_code == 404


def test_a_renewal_is_the_content_alone(world: dict[str, Cell]) -> None:
    body = text_of(signed_in("client.basis").get("/portal/R-101/", headers={"hx-request": "true"}))
    assert "<h1>Overview</h1>" in body
    assert "<html" not in body
    assert "<main" not in body


def as_tenant(username: str, cell: Cell) -> None:
    assume("portal")
    access.show_person(username)
    become_tenant(User.objects.get(username=username).pk, [str(cell.party_id)])


def wishes(username: str) -> list[CommandRequest]:
    """This person's wishes, newest first."""
    with transaction.atomic():
        assume("portal")
        access.show_person(username)
        user = User.objects.get(username=username)
        become_tenant(user.pk, [])
        return list(CommandRequest.objects.filter(user=user))


def test_a_statement_speaks_of_margin_and_not_of_accounts(world: dict[str, Cell]) -> None:
    body = text_of(signed_in("client.basis").get("/portal/R-101/statements/"))
    assert "Variation margin to the intermediary, instructed" in body
    assert "Margin in the client&#x27;s vault" in body
    assert "On its way, not final" in body
    assert "client margin" not in body.lower().replace("margin in the client", "")


def test_isolation_tells_the_probability_of_linked_relationships_and_of_nobody_else(world: dict[str, Cell]) -> None:
    body = text_of(signed_in("client.maker").get("/portal/R-102/isolation/"))
    assert 'data-live="R-101-chance">0.310</data>' in body
    assert "R-108" not in body, "no lot of R-102 faces it"
    assert "64,000.00" in body
    assert "Not based on:" in body
    mine = text_of(signed_in("client.basis").get("/portal/R-101/isolation/"))
    assert "in default" in mine
    assert 'data-live="R-102-chance">0.002</data>' in mine
