"""A holder in a real Chromium rolls a repayment into the next series: elects, bids from it, and pays with what the old
escrow owes it and the difference, in a sequence that it cuts off once. The contracts and the web are the real ones."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import transaction
from playwright.sync_api import Browser, BrowserContext, Page, expect

from bonds.models import Order, RollForward
from bonds.offering import clearing, orders, sale
from intermediary.config import note_sale, requests, screens
from intermediary.config.demo.processes import platform_processes
from intermediary.config.demo.wallet_rpc import WalletRpc
from intermediary.config.supervisor.state import StateDirectory
from settlement import series as on_chain
from settlement.demo_chain import mine
from settlement.deployment import mint_tokens
from tests.bonds import roll_world, world
from tests.bonds.roll_world import FIRST, MILLION, SECOND, Rolling, holder
from tests.bonds.test_roll_on_chain import chain as chain  # a fixture
from tests.bonds.test_roll_on_chain import rolling as rolling  # a fixture
from tests.browser.test_investor import SOON_MS, WALLET, faults, follow
from tests.conftest import TestDatabase

pytestmark = [pytest.mark.deep, pytest.mark.browser, pytest.mark.world(build=roll_world.world_to_roll)]
PICTURES = os.environ.get("JOURNEY_PICTURES", "")


@pytest.fixture
def address(rolling: Rolling, committing_db: TestDatabase, tmp_path: Path) -> Iterator[str]:
    servers = {"CHAIN_RPC_URLS": rolling.chain.url}
    with platform_processes(("web",), StateDirectory(tmp_path), servers, committing_db.urls) as web:
        yield web


class Desk:
    """The first holder's browser, with a wallet that remembers what it was asked to send where."""

    def __init__(self, browser: Browser, address: str, rolling: Rolling) -> None:
        self.address, self.sent = address, list[str]()
        name, rpc = holder(40).username, WalletRpc(rolling.chain.url, {holder(40).username: [FIRST]})
        self.context: BrowserContext = browser.new_context(
            viewport={"width": 1440, "height": 900}, timezone_id="UTC", locale="en-GB"
        )

        def asked(method: str, parameters: list[dict[str, str]]) -> dict[str, object]:
            if method == "eth_sendTransaction":
                self.sent.append(parameters[0]["to"])
            return rpc.answer(name, {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters})

        self.context.expose_function("askTheWallet", asked)
        self.context.add_init_script(WALLET)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(SOON_MS)
        self.problems = screens.watch(self.page)
        screens.sign_in(self.page, address, name)

    def goto(self, path: str) -> None:
        self.page.goto(f"{self.address}/investor/{path}")

    def picture(self, name: str) -> None:
        """At 1440 and 390 px nothing is wider than the page; kept for a person to look at where asked for."""
        for width in (390, 1440):
            self.page.set_viewport_size({"width": width, "height": 900})
            if PICTURES:
                self.page.screenshot(path=Path(PICTURES) / f"{name}-{width}.png", full_page=True)
            beyond = self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert beyond <= 0, f"{name} at {width}: {beyond} px too wide"


def carried_out(rolling: Rolling) -> None:
    requests.run_pending()
    rolling.workers()


def test_a_repayment_is_rolled_into_the_next_series(rolling: Rolling, address: str, browser: Browser) -> None:
    desk = Desk(browser, address, rolling)
    elects(desk, rolling)
    with transaction.atomic():
        other = world.sealed(holder(41), rolling.into, (425, 2 * MILLION))
    bids_from_it(desk, rolling)
    rolling.old_is_repaid()
    reveals(desk, rolling)
    with transaction.atomic():
        orders.reveal(user=other.user, order_id=other.order.id, opening=other.opening, nonce=other.nonce)
        sale.advance(rolling.offering.reveals_until)
        clearing.allocate(actor="desk", series_id=rolling.into.series_id, report_hash=rolling.offering.report_hash)
    for _ in range(2):
        note_sale.step(rolling.chain, rolling.offering, mine)
        rolling.workers()
    pays_in_two_sittings(desk, rolling)
    rolling.issued()
    desk.goto("rolls/")
    expect(desk.page.locator("#elections")).to_contain_text("Applied")
    assert RollForward.objects.get().rolled_base_units == 2 * MILLION
    desk.picture("rolled")
    desk.goto("statements/")
    expect(desk.page.get_by_text("Rolled forward", exact=True)).to_be_visible()
    assert faults(desk.problems) == []
    desk.context.close()


def elects(desk: Desk, rolling: Rolling) -> None:
    """A spread that is none is refused beside its field."""
    desk.goto("")
    follow(desk.page, "Roll forward")
    desk.page.locator("#id_minimum_spread_bps").fill("20000")
    desk.page.get_by_role("button", name="Roll forward").click()
    expect(desk.page.locator(".field-bad")).to_be_visible()
    desk.picture("roll-refused")
    desk.page.locator("#id_minimum_spread_bps").fill("400")
    desk.page.get_by_role("button", name="Roll forward").click()
    desk.page.wait_for_url("**/investor/rolls/")
    carried_out(rolling)
    expect(desk.page.locator("#elections")).to_contain_text("Elected")
    expect(desk.page.locator("#rollable")).to_contain_text("2,000,000.00")
    desk.picture("rolls")
    desk.goto("")
    expect(desk.page.get_by_text("BLKT0 is to roll into BLKN0")).to_be_visible()
    desk.picture("holdings-rolling")
    desk.goto("rolls/")


def bids_from_it(desk: Desk, rolling: Rolling) -> None:
    """What is to come stands in the ladder; two million more are bid for."""
    desk.page.locator("#elections").get_by_role("link", name="Bid").click()
    desk.page.wait_for_url("**/bid/?roll=*")
    expect(desk.page.locator("[data-spread]").first).to_have_value("400")
    expect(desk.page.locator("[data-amount]").first).to_have_value("2,000,000")
    desk.picture("bid-from-an-election")
    desk.page.locator("[data-amount]").first.fill("4,000,000")
    desk.page.get_by_role("button", name="Seal the bid").click()
    expect(desk.page.get_by_text("Sealed:")).to_be_visible()
    desk.page.get_by_role("link", name="Save the file").click()
    desk.page.get_by_role("button", name="Send the sealed bid").click()
    desk.page.wait_for_url("**/investor/offerings/")
    carried_out(rolling)
    assert Order.objects.get(party=RollForward.objects.get().party, tranche=rolling.into).roll_forwards.count() == 1


def reveals(desk: Desk, rolling: Rolling) -> None:
    with transaction.atomic():
        sale.advance(rolling.offering.commits_until)
    desk.goto("offerings/")
    follow(desk.page, "Reveal")
    desk.page.get_by_role("button", name="Reveal the bid").click()
    desk.page.wait_for_url("**/investor/offerings/")
    carried_out(rolling)


def pays_in_two_sittings(desk: Desk, rolling: Rolling) -> None:
    """Without new money the page says what is missing; a claim that is on chain is not asked for again."""
    page, chain, escrow = desk.page, rolling.chain, rolling.offering.series.escrow_address
    mint_tokens(chain=chain, asset="USDC", to=SECOND.address, amount_base_units=2 * MILLION, mine=mine)
    on_chain.subscribe(chain=chain, escrow=escrow, investor=SECOND, tranche=0, units=2 * MILLION, mine=mine)
    desk.goto("offerings/")
    follow(page, "Pay")
    expect(page.get_by_text("Bring the missing 2,000,000.00 USDC")).to_be_visible()
    desk.picture("pay-too-few")
    mint_tokens(chain=chain, asset="USDC", to=FIRST.address, amount_base_units=2 * MILLION, mine=mine)
    page.get_by_role("button", name="Look again").click()
    expect(page.get_by_text("is ready.")).to_be_visible()
    desk.picture("pay-rolled")
    page.locator("[data-act=pay]").click()
    expect(page.get_by_text("Claimed from BLKT0; waiting for its block.")).to_be_visible()
    page.reload()
    mine(chain)
    page.reload()
    expect(page.get_by_text("is ready.")).to_be_visible()
    page.locator("[data-act=pay]").click()
    expect(page.get_by_text("Approved; waiting for its block.")).to_be_visible()
    mine(chain)
    page.wait_for_url("**/investor/offerings/")
    mine(chain)
    token = rolling.offering.series.currency.token_address
    assert desk.sent == [rolling.life.escrow, token, escrow], "each step once"
    assert rolling.life.cash_of(FIRST.address) == 0
