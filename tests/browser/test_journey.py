"""One evening in a real browser: a client is called, delivers and takes money out; an investor looks at its notes; two
officers change a credit line; the public reads the register. Neither a script nor the content policy complains.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

import pytest
from playwright.sync_api import Browser, Page, expect

from intermediary.config import screens
from intermediary.config.demo import keys, wallet, wallet_sending
from intermediary.config.demo.driver import Driver
from intermediary.ledger import settlement_asset
from intermediary.models import (
    Cell,
    ChainTarget,
    CreditLine,
    JournalEntry,
    Layer,
    MarginCall,
    MarginState,
    Wallet,
    Withdrawal,
)
from intermediary.money import from_base_units
from settlement.demo_chain import mine
from tests.browser.world import CAST, FAMILY, FUND, MAKER

USD = 10**6
BEYOND_THE_CALL = 500_000 * USD  # so that something is free afterwards
TAKEN_OUT = 250_000 * USD
A_PART = 10_000 * USD  # of the call, deposited with the wallet in the browser
SOON_MS = 60_000  # a worker's wake-up comes every second; a busy machine needs patience
expect.set_options(timeout=SOON_MS)  # its own default is 5 s, whatever the pages' is


class Visitor:
    """Opens pages for people and keeps what went wrong on any of them."""

    def __init__(self, browser: Browser, address: str) -> None:
        self.browser, self.address = browser, address
        self.problems: list[str] = []

    @contextmanager
    def page(self, username: str = "") -> Iterator[Page]:
        """A fresh session, signed in as `username` when there is one."""
        context = self.browser.new_context(viewport={"width": 1440, "height": 900}, timezone_id="UTC")
        context.set_default_timeout(SOON_MS)
        page = context.new_page()
        found = screens.watch(page)
        if username:
            screens.sign_in(page, self.address, username)
        yield page
        self.problems += [f"{page.url}: {problem}" for problem in found]
        context.close()


@pytest.mark.browser
def test_an_evening_of_everybody(driver: Driver, address: str, browser: Browser) -> None:
    visitor = Visitor(browser, address)
    with visitor.page("client.fund") as page:
        client_sees_a_call_come(driver, page)
        client_agrees_it(page)
        client_deposits_a_part_with_the_wallet(driver, page)
        client_proves_another_address(page)
        client_delivers_and_the_page_follows(driver, page)
        client_takes_free_margin_out(driver, page)
    with visitor.page("investor.pension") as page:
        investor_sees_its_notes(page)
    with visitor.page("officer.maker") as page:
        maker_proposes_a_line_and_cannot_decide_it(page)
    with visitor.page("officer.checker") as page:
        checker_approves_it(page)
    with visitor.page() as page:
        public_register_shows_the_layers(page, address)
    assert visitor.problems == []


def live(page: Page, key: str) -> int:
    """The exact value, in base units of the settlement token, of a figure that the page keeps current."""
    value = page.locator(f"[data-live='{key}']").first.get_attribute("value")
    assert value is not None
    return int(Decimal(value) * USD)


def expect_live(page: Page, key: str, base_units: int) -> None:
    """Wait until the page shows exactly this; one change may take it two renewals."""
    expect(page.locator(f"[data-live='{key}']").first).to_have_attribute("value", f"{from_base_units(base_units, 6):f}")


def client_sees_a_call_come(driver: Driver, page: Page) -> None:
    """The market falls while the overview is open; nobody reloads it."""
    assert re.search(rf"/portal/{FUND}/$", page.url)
    page.evaluate("window.neverReloaded = true")
    before = live(page, "required")
    upcoming = driver.upcoming()
    assert upcoming is not None
    driver.offer(upcoming)
    driver.settle()
    assert MarginCall.objects.filter(cell__code=FUND).exists(), "the world is built so that this bar calls"
    expect(page.get_by_text("Margin call: deliver")).to_be_visible()
    expect(page.locator("[data-countdown]").first).to_have_text(re.compile(r"\d+ (h|min) .* left"))
    state = MarginState.objects.get(cell__code=FUND)
    assert state.required_base_units != before
    assert state.held_base_units < state.required_base_units
    expect_live(page, "required", state.required_base_units)
    expect_live(page, "held", state.held_base_units)
    expect_live(page, "free", 0)
    assert page.evaluate("window.neverReloaded") is True


def client_agrees_it(page: Page) -> None:
    """The answer is a wish that a worker carries out; the page of the wish learns that by itself."""
    page.get_by_role("link", name="Open the call").click()
    page.get_by_role("button", name="Agree the amount").click()
    expect(page.get_by_text("Done.")).to_be_visible()
    assert MarginCall.objects.get(cell__code=FUND).state == MarginCall.State.AGREED
    page.get_by_role("link", name="Overview").first.click()


def client_deposits_a_part_with_the_wallet(driver: Driver, page: Page) -> None:
    """From the call to the ledger: reviewed, rejected once in the wallet, sent, in a block, final, credited."""
    page.get_by_role("link", name="Open the call").click()
    page.get_by_role("link", name="with a wallet").click()
    expect(page.get_by_label("Amount")).not_to_have_value("")
    page.get_by_label("Amount").fill(f"{A_PART // USD:,}")
    page.get_by_role("button", name="Review").click()
    send, asks = page.locator("[data-act=send]"), page.get_by_role("dialog", name="Demo wallet")
    expect(page.get_by_text("Demo wallet is ready.")).to_be_visible()
    send.click()
    expect(asks).to_contain_text(f"Send {A_PART // USD:,}.00 USDC?")
    asks.get_by_role("button", name="Reject").click()
    expect(page.get_by_text("You rejected it in the wallet.")).to_be_visible()
    assert not wallet_sending.under_way(driver.chain, keys.client(CAST, "fund").address)
    send.click()
    asks.get_by_role("button", name="Send").click()
    expect(page.get_by_role("heading", name="Deposit on its way")).to_be_visible()
    expect(page.locator("[data-step=mined]")).to_have_class("now")
    driver.settle()
    expect(page.get_by_text(f"{A_PART // USD:,}.00 USDC counts as margin.")).to_be_visible()
    expect(page.locator(".trail .done")).to_have_count(4)
    cell = Cell.objects.get(code=FUND)
    assert (
        JournalEntry.objects.filter(cell=cell, kind="deposit")
        .latest("at")
        .memo.startswith(f"from {keys.client(CAST, 'fund').address}")
    )


def client_proves_another_address(page: Page) -> None:
    """The wallet holds a second address; it signs the proof and a worker records it."""
    page.get_by_role("link", name="To your collateral").click()
    page.get_by_role("link", name="Wallets", exact=True).click()
    expect(page.get_by_text("Demo wallet is ready.")).to_be_visible()
    page.get_by_role("button", name="Prove this address").click()
    page.get_by_role("dialog", name="Demo wallet").get_by_role("button", name="Sign").click()
    expect(page.get_by_text("Done.")).to_be_visible()
    assert Wallet.objects.filter(address=keys.spare(CAST, "fund").address, party__cells__code=FUND).exists()
    page.get_by_role("link", name="Overview").first.click()


def client_delivers_and_the_page_follows(driver: Driver, page: Page) -> None:
    """A plain transfer from the client's own wallet, credited when final."""
    expect(page.get_by_text("Margin call: deliver")).to_be_visible()
    page.evaluate("window.neverReloaded = true")
    held = live(page, "held")
    call = MarginCall.objects.get(cell__code=FUND)
    asset = settlement_asset()
    vault = ChainTarget.objects.get(kind=ChainTarget.Kind.VAULT, cell=call.cell, asset=asset)
    amount = call.amount_base_units + BEYOND_THE_CALL
    wallet.transfer(driver.chain, keys.client(CAST, "fund"), asset, vault.address, amount, mine)
    driver.settle()
    expect(page.get_by_text("Margin call: deliver")).to_be_hidden()
    state = MarginState.objects.get(cell__code=FUND)
    assert state.held_base_units > held
    assert state.held_base_units - state.required_base_units > TAKEN_OUT
    expect_live(page, "held", state.held_base_units)
    expect_live(page, "free", state.held_base_units - state.required_base_units)
    assert page.evaluate("window.neverReloaded") is True


def client_takes_free_margin_out(driver: Driver, page: Page) -> None:
    """Amount, review with before and after, confirmation, outcome, and the chain's own word."""
    page.get_by_role("link", name="Withdraw").first.click()
    page.get_by_label("Amount").fill(f"{TAKEN_OUT // USD:,}")
    page.get_by_role("button", name="Review").click()
    expect(page.get_by_text("Nothing has been sent yet.")).to_be_visible()
    assert not Withdrawal.objects.exists()
    page.get_by_role("button", name="Confirm the withdrawal").click()
    expect(page.get_by_text("Done.")).to_be_visible()
    driver.settle()
    made = Withdrawal.objects.get()
    assert (made.state, made.amount_base_units) == (Withdrawal.State.PAID, TAKEN_OUT)
    page.get_by_role("link", name="Collateral").first.click()
    expect(page.locator("#withdrawals")).to_contain_text(made.get_state_display())


def investor_sees_its_notes(page: Page) -> None:
    expect(page.get_by_role("heading", name="Holdings")).to_be_visible()
    table = page.locator("#holdings")
    expect(table).to_contain_text("BLK251A")
    expect(table).to_contain_text("1.000000")
    assert live(page, "principal") == 2_000_000 * USD


def maker_proposes_a_line_and_cannot_decide_it(page: Page) -> None:
    expect(page.locator(f"#row-{FUND}")).to_be_visible()
    page.get_by_role("link", name="Credit lines").first.click()
    page.locator("tr", has_text=FUND).get_by_role("link", name="Propose").click()
    page.get_by_label("Senior retention").fill("1,700,000")
    page.get_by_label("Reason").fill("More of our own money above the bond after this evening.")
    page.get_by_role("button", name="Propose").click()
    expect(page.get_by_text("Done.")).to_be_visible()
    page.get_by_role("link", name="Approvals").first.click()
    waiting = page.locator("#waiting tbody tr")
    expect(waiting).to_contain_text("You proposed it.")
    expect(waiting.get_by_role("link", name="Decide")).to_have_count(0)
    waiting.get_by_role("link").first.click()
    expect(page.get_by_text("A second person must decide")).to_be_visible()
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)


def checker_approves_it(page: Page) -> None:
    page.get_by_role("link", name="Approvals").first.click()
    page.get_by_role("link", name="Decide").click()
    expect(page.locator("#diff")).to_contain_text("1,700,000")
    expect(page.get_by_text("Passes", exact=True)).to_be_visible()
    page.get_by_label("Reason").fill("Within the standard, and it is our own money.")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("Done.")).to_be_visible()
    line = CreditLine.objects.get(cell__code=FUND, state=CreditLine.State.ACTIVE)
    assert line.senior_base_units == 1_700_000 * USD
    page.get_by_role("link", name="Approvals").first.click()
    expect(page.locator("#decided")).to_contain_text("Within the standard")


def public_register_shows_the_layers(page: Page, address: str) -> None:
    page.goto(f"{address}/register/")
    for code in (FUND, MAKER, FAMILY):
        expect(page.locator("#register")).to_contain_text(code)
    expect(page.locator("#register tr", has_text=FUND).locator("td.wide svg")).to_have_count(1)
    rows = page.locator("#layers tbody tr", has_text=FUND)
    assert rows.count() == Layer.objects.filter(cell=Cell.objects.get(code=FUND)).count() == 3
    for word in ("Larkspur", "Fallow", "Ostrava"):
        assert word not in page.content(), "the register names nobody"
