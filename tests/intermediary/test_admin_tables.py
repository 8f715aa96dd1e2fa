"""How tables look to an officer: numbers with their units, entries and accounts in words, one colour for a state."""

from collections.abc import Iterator

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import Settings

from tests.conftest import RoleSwitch, TestDatabase
from tests.intermediary import office_world

pytestmark = pytest.mark.world(build=office_world.build)


@pytest.fixture
def maker(committing_db: TestDatabase, as_role: RoleSwitch, settings: Settings) -> Iterator[Client]:
    """An officer in the officers' world, under the web's own login."""
    settings.DATABASE_ROLE = "web"
    with as_role("web"):
        client = Client(headers={"accept": "text/html"})
        assert client.post("/sign-in/", {"username": "officer.maker", "password": "demo"}).status_code == 302
        yield client


def page(client: Client, name: str) -> str:
    answer = client.get(reverse(f"admin:{name}"))
    assert answer.status_code == 200, name
    return answer.content.decode()


def test_numbers_of_tables_have_units_and_stand_right(maker: Client) -> None:
    trades = page(maker, "intermediary_trade_changelist")
    assert '<span class="unit">BTC</span>' in trades
    assert '<span class="unit">USD</span>' in trades
    assert "field-number-quantity" in trades
    accounts = page(maker, "intermediary_account_changelist")
    assert "Margin in the client&#x27;s vault" in accounts
    assert "client_margin" not in accounts.split('id="result_list"')[1].split("</table>")[0]
    journal = page(maker, "intermediary_journalentry_changelist").split('id="result_list"')[1].split("</table>")[0]
    assert "Variation margin to the intermediary, instructed" in journal
    assert "debit_instructed" not in journal


def test_a_table_is_called_the_same_in_the_sidebar_and_on_its_page(maker: Client) -> None:
    requirements = page(maker, "intermediary_marginstate_changelist")
    title = " ".join(requirements.split("<title>")[1].split("</title>")[0].split())
    assert title.startswith("Requirements")
    assert "margin state" not in requirements.lower()


def test_a_default_has_the_same_colour_everywhere(maker: Client) -> None:
    for name in ("index", "defaults", "intermediary_defaultcase_changelist"):
        assert '<span class="tag tag-wait">' in page(maker, name).split("Notice given")[0][-400:], name
