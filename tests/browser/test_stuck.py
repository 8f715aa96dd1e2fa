"""The page of what gets no further, with rows on it: a call that its contract refuses, a movement that the approver
refuses, a signed batch that the chain goes on refusing, an event that its consumer cannot take. Looked at in a real
browser, wide and narrow, then decided.
"""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import transaction
from django.test import override_settings
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect

from intermediary import events, outbox
from intermediary.config import deliveries, requests, screens
from intermediary.config.demo.processes import platform_processes
from intermediary.config.officers import make_officer
from intermediary.config.supervisor.state import StateDirectory
from intermediary.ids import uuid7
from intermediary.models import AccountKind, ChainInstruction, Delivery, Proposal
from settlement import approver, holding, poster
from settlement.chain import Chain
from settlement.cycle import settle_all
from settlement.models import Batch, HeldCall
from settlement.signer import demo_signer
from tests.conftest import TestDatabase
from tests.people import as_owner, person
from tests.settlement.test_crashes import CHAIN_ID, signers
from tests.settlement.test_refused_calls import book, go_on_refusing, refuse
from tests.settlement.world import MILLION, Client, client, debit, deposit, house_with_contracts

MAKER, CHECKER = "officer.maker", "officer.checker"
SOON_MS = 60_000


@pytest.fixture
def address(committing_db: TestDatabase, chain_url: str, tmp_path: Path) -> Iterator[str]:
    """Where the web answers, over a world with one of everything that can be stuck."""
    with override_settings(CHAIN_RPC_URLS=[chain_url]):
        chain = house_with_contracts(chain_url)
        who = client(chain, "R-401", 0)
        deposit(chain, who, 5 * MILLION)
        settle_all()
        for name in (MAKER, CHECKER):
            officer = person(name, first_name=name)
            with as_owner():
                make_officer(officer)
        call_that_its_contract_refuses(who)
        movement_that_the_approver_refuses(chain, who)
        batch_that_the_chain_goes_on_refusing(chain, who)
        event_that_its_consumer_cannot_take()
        servers = {"CHAIN_RPC_URLS": chain_url}
        with platform_processes(("web",), StateDirectory(tmp_path), servers, committing_db.urls) as web:
            yield web


def call_that_its_contract_refuses(who: Client) -> None:
    """A retention is told to pay what it does not hold."""
    book(who, AccountKind.EQUITY, AccountKind.FIRST_LOSS, MILLION)
    with transaction.atomic():
        made = outbox.move(
            effect_id=uuid7(),
            target=who.targets["RETENTION"],
            cell_id=who.cell.id,
            kind=ChainInstruction.Kind.APPLY,
            source=AccountKind.FIRST_LOSS,
            destination=AccountKind.FLOAT,
            amount_base_units=MILLION,
            memo="a loss that nobody set money aside for",
        )
    settle_all()
    assert HeldCall.objects.get(instruction=made).given_up


def movement_that_the_approver_refuses(chain: Chain, who: Client) -> None:
    made = debit(who, 250_000_000_000)
    poster.step(chain, signers())
    refuse(Batch.objects.latest("id"), [made])
    poster.step(chain, signers())


def batch_that_the_chain_goes_on_refusing(chain: Chain, who: Client) -> None:
    """Variation margin of two valuations, signed, and a node that says no."""
    for amount in (1_250_000_000_000, 34_567_890_123):
        debit(who, amount)
    poster.step(chain, signers())
    approver.step(demo_signer("approver"), CHAIN_ID)
    go_on_refusing(chain)
    assert list(holding.stuck_batches()) == [Batch.objects.latest("id")]


def event_that_its_consumer_cannot_take() -> None:
    """A notice of a default that is not in the books, up to the last attempt."""
    with transaction.atomic():
        events.emit(events.DEFAULT_NOTICED, cell_id=None, case_id=str(uuid7()))
    Delivery.objects.filter(state="PENDING").update(
        recorded_at=timezone.now() - timedelta(days=3), attempts=deliveries.ATTEMPTS_MAX - 1
    )
    deliveries.deliver_pending()
    assert Delivery.objects.filter(state=Delivery.State.FAILED).count() == 1


@pytest.mark.browser
@pytest.mark.deep
def test_what_is_stuck_is_read_and_decided_by_two_people(address: str, browser: Browser, tmp_path: Path) -> None:
    page_of = screens.Screen("stuck", reverse("admin:stuck"), MAKER)
    for picture in screens.shoot(browser, address, [page_of], tmp_path):
        assert picture.problems == (), picture.file
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(SOON_MS)
    screens.sign_in(page, address, MAKER)
    page.goto(address + reverse("admin:stuck"))
    everything_is_told(page)
    propose_to_try_the_call_again(page)
    page.close()


def everything_is_told(page: Page) -> None:
    """What, of whom, how much, since when, why; and how many wait, beside the menu."""
    calls = page.locator("#stuck-calls")
    whats = ("Pay a loss from retention", "R-401", "1,000,000.00", "1,250,000.00", "250,000.00")
    whys = ("Insufficient", "not in the ledger", "execution reverted", "Nothing else in USDC settles meanwhile")
    for text in (*whats, *whys):
        expect(calls).to_contain_text(text)
    expect(page.locator("#stuck-events")).to_contain_text("Default noticed")
    expect(page.get_by_role("link", name="Stuck")).to_contain_text("5")


def propose_to_try_the_call_again(page: Page) -> None:
    held = page.locator("#stuck-calls .case-line", has_text="Pay a loss from retention")
    expect(held.get_by_label("Proposal").locator("option")).to_have_text(["Try it again"])
    held.get_by_label("Reason").fill("The retention was funded by hand.")
    held.get_by_role("button", name="Propose").click()
    page.wait_for_url("**/requests/**")
    requests.run_pending()
    expect(page.get_by_text("Done.")).to_be_visible(timeout=SOON_MS)
    assert Proposal.objects.get(kind=Proposal.Kind.CHAIN_CALL).maker.username == MAKER
    page.get_by_role("link", name="Stuck").click()
    expect(held.get_by_role("link", name="Proposed by")).to_be_visible()
    expect(held.get_by_role("button", name="Propose")).to_have_count(0)
