"""An investor in a real Chromium: applies, is let hold notes by two officers, seals a bid, reveals it, pays, checks the
escrow, sends notes on, takes out a coupon, is written down and written up, and reads it all in its statement.

The web is the real process over the real chain; what workers and the watcher would do is done between the steps.
"""

import csv
import hashlib
import os
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from playwright.sync_api import Browser, BrowserContext, Page, expect
from pytest_django import Settings

from bonds.marking import valuation
from bonds.models import Allocation, CouponPayment, CouponRun, HolderClaim, Holding, NoteMark, Offering, Order, Series
from bonds.offering import clearing, orders, sale, stages
from bonds.servicing import coupons, due, write_downs
from intermediary import clock
from intermediary.config import collateral, deliveries, issuance, note_register, note_sale, requests, screens
from intermediary.config.demo.processes import platform_processes
from intermediary.config.demo.wallet_rpc import WalletRpc
from intermediary.config.officers import make_officer
from intermediary.config.supervisor.state import StateDirectory
from intermediary.models import CommandRequest, DefaultCase
from settlement import cycle
from settlement.chain import Chain
from settlement.demo_chain import fund_gas, mine
from settlement.deployment import mint_tokens
from settlement.series import subscribe
from settlement.signer import demo_wallet
from tests.bonds import chain_life, world
from tests.bonds.test_issue_on_chain import assert_recovery_reaches_the_holders, deliver, investors, pass_time
from tests.bonds.world import MILLION
from tests.conftest import TestDatabase
from tests.people import as_owner, person
from tests.settlement import world as chain_world

pytestmark = [pytest.mark.deep, pytest.mark.browser, pytest.mark.world(build=chain_life.world_in_time)]
SOON_MS = 60_000
NEW = demo_wallet(45)
OTHERS = {demo_wallet(40 + index).address: demo_wallet(40 + index) for index in range(3)}
# A wallet as extensions give one to a page; the keys stay in the test.
WALLET = """window.ethereum = { request: async ({ method, params }) => {
  const answer = await window.askTheWallet(method, params ?? []);
  if (answer.error) throw Object.assign(new Error(answer.error.message), { code: answer.error.code });
  return answer.result;
} };"""
PICTURES = os.environ.get("JOURNEY_PICTURES", "")


@pytest.fixture
def chain(chain_url: str, settings: Settings, request: pytest.FixtureRequest) -> Chain:
    return chain_world.chain_of_world(chain_url, settings, request)


@pytest.fixture
def sale_open(chain: Chain, built_world: tuple[str, list[chain_world.Client]]) -> Offering:
    """A book that takes sealed bids, with three of them in it; a newcomer with a proved wallet; two officers."""
    chain_life.valued()
    others = investors()
    note_register.enter_all(chain, mine)
    terms = world.series_terms([who.cell for who in built_world[1]])
    with transaction.atomic():
        series = stages.structure(actor=issuance.ACTOR, terms=terms)
    issuance._open_book(terms, series, {})
    world.newcomer("west", NEW.address)
    fund_gas(chain, NEW.address, *OTHERS)
    mint_tokens(chain=chain, asset="USDC", to=NEW.address, amount_base_units=5 * MILLION, mine=mine)
    officers = [person(name, password="demo") for name in ("officer.one", "officer.two")]
    with as_owner():
        for one in officers:
            make_officer(one)
    assert [one.username for one in others] == ["north", "south", "east"]
    return Offering.objects.get(series=series)


@pytest.fixture
def address(chain: Chain, sale_open: Offering, committing_db: TestDatabase, tmp_path: Path) -> Iterator[str]:
    servers = {"CHAIN_RPC_URLS": chain.url}
    with platform_processes(("web",), StateDirectory(tmp_path), servers, committing_db.urls) as web:
        yield web


def workers(chain: Chain) -> None:
    """What the platform's other processes do by now: wishes, the chain, the register, events, the escrow's account."""
    requests.run_pending()
    note_register.enter_all(chain, mine)
    mine(chain)
    cycle.settle_all(chain=chain)
    deliveries.deliver_pending()
    collateral.look(chain)


def opened(browser: Browser, address: str, chain: Chain, name: str) -> tuple[BrowserContext, Page, list[str]]:
    """A browser of this person's, with its wallet if it has one."""
    rpc = WalletRpc(chain.url, {name: [NEW] if name == "west" else []})
    context = browser.new_context(viewport={"width": 1440, "height": 900}, timezone_id="UTC")

    def asked(method: str, parameters: list[object]) -> dict[str, object]:
        return rpc.answer(name, {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters})

    context.expose_function("askTheWallet", asked)
    context.add_init_script(WALLET)
    page = context.new_page()
    page.set_default_timeout(SOON_MS)
    problems = screens.watch(page)
    screens.sign_in(page, address, name)
    return context, page, problems


def faults(problems: list[str]) -> list[str]:
    """What went wrong on a page, without the browser's own line about a form that was refused beside its fields."""
    return [one for one in problems if "status of 422" not in one]


def follow(page: Page, name: str) -> None:
    """A link, and the page behind it with its scripts."""
    with page.expect_navigation():
        page.get_by_role("link", name=name).first.click()


def picture(page: Page, name: str) -> None:
    """Two widths, for a person to look at; only where asked for."""
    if not PICTURES:
        return
    for width in (1440, 390):
        page.set_viewport_size({"width": width, "height": 900})
        page.screenshot(path=Path(PICTURES) / f"{name}-{width}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), f"{name} at {width}"
    page.set_viewport_size({"width": 1440, "height": 900})


@pytest.mark.timeout(900)  # three minutes where others work too; five and a half were seen
def test_an_investor_from_eligibility_to_write_up(
    chain: Chain,
    sale_open: Offering,
    built_world: tuple[str, list[chain_world.Client]],
    address: str,
    browser: Browser,
    tmp_path: Path,
) -> None:
    context, page, problems = opened(browser, address, chain, "west")
    applies(page, chain, address, tmp_path)
    two_officers_decide(browser, address, chain)
    page.goto(f"{address}/investor/eligibility/")
    expect(page.get_by_text("May hold notes")).to_be_visible()
    picture(page, "eligible")
    seals_a_bid(page, address, chain, sale_open)
    reveals_it_after_the_close(page, address, chain, sale_open)
    pays(page, address, chain, sale_open)
    series = Series.objects.get(id=sale_open.series_id)
    assert series.state == Series.State.ON_RISK
    the_notes_are_held(page, address, series, chain)
    sends_some_on(page, address, chain)
    a_coupon_is_paid_and_taken_out(page, address, chain, built_world[1])
    case = a_loss_is_written_down(chain, series, built_world[1])
    page.goto(f"{address}/investor/series/{series.id}/")
    expect(page.locator("#recoveries")).to_contain_text("BLKT0 is written up by")
    picture(page, "recoveries")
    page.goto(f"{address}/investor/statements/")
    expect(page.get_by_text("Written down")).to_be_visible()
    assert_recovery_reaches_the_holders(chain, series, case)
    workers(chain)
    page.reload()
    expect(page.get_by_text("Written up")).to_be_visible()
    picture(page, "statement")
    assert faults(problems) == []
    context.close()


def applies(page: Page, chain: Chain, address: str, directory: Path) -> None:
    """A hash that is none is refused beside its field; those of real files are taken in the browser."""
    page.goto(f"{address}/investor/eligibility/")
    expect(page.get_by_text("Not eligible")).to_be_visible()
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_text("Give its hash.").first).to_be_visible()
    picture(page, "application-refused")
    for kind in ("CLASSIFICATION", "IDENTITY", "TAX"):
        file = directory / f"{kind}.pdf"
        file.write_bytes(kind.encode())
        page.locator(f"#file-{kind}").set_input_files(file)
        expect(page.locator(f"#id_{kind}")).to_have_value(hashlib.sha256(kind.encode()).hexdigest())
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_text("Being worked on.")).to_be_visible()
    workers(chain)
    expect(page.get_by_text("Your application is with the desk.")).to_be_visible()


def two_officers_decide(browser: Browser, address: str, chain: Chain) -> None:
    context, page, problems = opened(browser, address, chain, "officer.one")
    page.goto(f"{address}/admin/investors/")
    expect(page.get_by_text("Investor west")).to_be_visible()
    picture(page, "office-investors")
    page.locator("textarea[name=reason]").fill("All three documents are complete.")
    page.get_by_role("button", name="Propose to a second officer").click()
    workers(chain)
    assert CommandRequest.objects.order_by("-id")[0].state == "DONE"
    assert problems == []
    context.close()
    context, page, problems = opened(browser, address, chain, "officer.two")
    page.goto(f"{address}/admin/approvals/")
    page.get_by_role("link", name="Decide").click()
    page.locator("#id_reason").fill("Seen, all three.")
    page.get_by_role("button", name="Approve").click()
    workers(chain)
    assert CommandRequest.objects.order_by("-id")[0].state == "DONE"
    assert problems == []
    context.close()


def seals_a_bid(page: Page, address: str, chain: Chain, sale_open: Offering) -> None:
    """Four million at any spread. What the platform has of it is a hash."""
    page.goto(f"{address}/investor/offerings/")
    follow(page, "Bid")
    page.locator("[data-spread]").first.fill("0")
    page.locator("[data-amount]").first.fill("4,000,000")
    page.get_by_role("button", name="Seal the bid").click()
    expect(page.get_by_text("Sealed:")).to_be_visible()
    page.get_by_role("link", name="Save the file").click()
    picture(page, "bid")
    page.get_by_role("button", name="Send the sealed bid").click()
    page.wait_for_url("**/investor/offerings/")
    workers(chain)
    order = Order.objects.get(party__code="west")
    assert (order.state, order.opening) == ("PLACED", "")
    assert len(order.commitment) == 64
    assert Order.objects.count() == 1


def reveals_it_after_the_close(page: Page, address: str, chain: Chain, sale_open: Offering) -> None:
    """The others bid by their own programs. The clock is not waited for: the book closes as its times say."""
    tranche = world.only_tranche(sale_open.series)
    sealed = []
    for index, user in enumerate(User.objects.filter(username__in=["north", "south", "east"]).order_by("id")):
        bid = issuance.Bid(user, demo_wallet(40 + index), 0, 3 * MILLION, 25 * index)
        sealed.append(issuance._seal(tranche, bid))
    with transaction.atomic():
        sale.advance(sale_open.commits_until)
    page.goto(f"{address}/investor/offerings/")
    follow(page, "Reveal")
    expect(page.get_by_text("Its hash is the commitment that you sent.")).to_be_visible()
    picture(page, "reveal")
    page.get_by_role("button", name="Reveal the bid").click()
    page.wait_for_url("**/investor/offerings/")
    workers(chain)
    for bid, order, opening, nonce in sealed:
        with transaction.atomic():
            orders.reveal(user=bid.user, order_id=order.id, opening=opening, nonce=nonce)
    with transaction.atomic():
        sale.advance(sale_open.reveals_until)
    sale_open.refresh_from_db()
    with transaction.atomic():
        clearing.allocate(actor=issuance.ACTOR, series_id=sale_open.series_id, report_hash=sale_open.report_hash)
    assert sum(Allocation.objects.filter(party__code="west").values_list("units", flat=True)) == 4 * MILLION
    page.reload()
    expect(page.locator("#orders")).to_contain_text("4,000,000.00")


def pays(page: Page, address: str, chain: Chain, sale_open: Offering) -> None:
    """The escrow is opened on chain, the others pay, and the investor's own wallet swaps cash for notes."""
    for _ in range(2):
        note_sale.step(chain, sale_open, mine)
        workers(chain)
    the_others_pay(chain, Series.objects.get(id=sale_open.series_id))
    page.goto(f"{address}/investor/offerings/")
    follow(page, "Pay")
    expect(page.get_by_text("is ready.")).to_be_visible()
    picture(page, "pay")
    page.get_by_role("button", name="Pay").click()
    expect(page.get_by_text("waiting for its block")).to_be_visible()
    mine(chain)
    page.wait_for_url("**/investor/offerings/")
    for _ in range(4):
        workers(chain)
        note_sale.step(chain, sale_open, mine) if not _settled(sale_open) else None
    assert _settled(sale_open)


def the_others_pay(chain: Chain, series: Series) -> None:
    for one in Allocation.objects.filter(tranche__series=series).exclude(party__code="west"):
        wallet, escrow = OTHERS[one.order.wallet.address], series.escrow_address
        mint_tokens(chain=chain, asset="USDC", to=wallet.address, amount_base_units=one.units, mine=mine)
        subscribe(chain=chain, escrow=escrow, investor=wallet, tranche=0, units=one.units, mine=mine)


def _settled(sale_open: Offering) -> bool:
    return Offering.objects.filter(id=sale_open.id, state=Offering.State.SETTLED).exists()


def the_notes_are_held(page: Page, address: str, series: Series, chain: Chain) -> None:
    workers(chain)
    assert Holding.objects.get(party__code="west").units == 4 * MILLION
    page.goto(f"{address}/investor/")
    expect(page.locator("#holdings")).to_contain_text("4,000,000.00")
    expect(page.locator("#prices")).to_contain_text("not yet")
    prices_are_exported_exactly(page)
    page.goto(f"{address}/investor/series/{series.id}/")
    follow(page, "collateral account, with proof")
    page.get_by_role("button", name="Ask the chain through Your wallet").click()
    expect(page.get_by_text("All 7 are what the chain says at that block.")).to_be_visible()
    expect(page.locator("#check .tag-ok")).to_have_count(7)
    picture(page, "collateral")


def prices_are_exported_exactly(page: Page) -> None:
    """A mark an hour later: what the table rounds, its CSV has to the last digit, with units and the time."""
    later = clock.now() + timedelta(hours=1)
    clock.move_to(later, rate=Decimal(0), ceiling=later)
    valuation.remark(chain_life.valued().id)
    page.reload()
    mark = NoteMark.objects.select_related("valuation").latest("id")
    assert mark.clean_price is not None
    picture(page, "holdings")
    with page.expect_download() as saved:
        page.locator("[data-csv-of=prices]").click()
    (row,) = csv.DictReader(saved.value.path().read_text().splitlines())
    assert float(row["Clean"]) == mark.clean_price
    assert float(row["Dirty"]) == mark.outputs["dirty_price"]
    assert float(row["Yield, no loss, %"]) == pytest.approx(100 * mark.outputs["no_loss_yield"], abs=1e-12)
    assert float(row["EL, %"]) == pytest.approx(100 * mark.expected_loss, rel=1e-12)
    assert datetime.fromisoformat(row["Marked"]) == mark.valuation.as_of


def sends_some_on(page: Page, address: str, chain: Chain) -> None:
    """More than it holds is refused by name; a million goes to another eligible holder, and holdings follow."""
    for amount, words in (("9,000,000", "fewer units"), ("1,000,000", "You send")):
        page.goto(f"{address}/investor/transfers/")
        page.locator("#id_amount").fill(amount)
        page.locator("#id_receiver").fill(next(iter(OTHERS)))
        page.get_by_role("button", name="Review").click()
        page.wait_for_url("**/investor/transfers/*-*/")
        workers(chain)
        page.reload()
        expect(page.get_by_text(words)).to_be_visible()
    expect(page.get_by_text("is ready.")).to_be_visible()
    picture(page, "transfer-review")
    page.get_by_role("button", name="Send the notes").click()
    expect(page.get_by_text("On its way.")).to_be_visible()
    workers(chain)
    expect(page.get_by_text("Final.")).to_be_visible()
    assert Holding.objects.get(party__code="west").units == 3 * MILLION
    picture(page, "transfers")


def a_coupon_is_paid_and_taken_out(page: Page, address: str, chain: Chain, clients: list[chain_world.Client]) -> None:
    """A quarter passes; what three of twelve million units earned is the investor's, and its wallet takes it."""
    chain_life.coupons_can_be_paid(chain, clients)
    run = CouponRun.objects.get(number=1)
    page.goto(f"{address}/investor/")
    expect(page.locator("#coupons")).to_contain_text("accrued so far")
    for day in (run.payment_date - coupons.CHARGED_AHEAD, run.payment_date):
        _live_to(day, chain)
    run.refresh_from_db()
    assert run.state == CouponRun.State.PAID
    earned = sum(CouponPayment.objects.filter(party__code="west").values_list("amount_base_units", flat=True))
    assert earned == run.amount_base_units * 3 // 12
    page.goto(f"{address}/investor/")
    expect(page.locator("#coupons").get_by_text("Paid", exact=True)).to_be_visible()
    expect(page.locator("#coupons")).to_contain_text(f"{Decimal(earned) / 10**6:,.2f}")
    follow(page, "Take it out")
    expect(page.get_by_text("is ready.")).to_be_visible()
    picture(page, "take-out")
    page.get_by_role("button", name="Take it out").click()
    expect(page.get_by_text("On its way.")).to_be_visible()
    workers(chain)
    expect(page.get_by_text("Nothing waits for you")).to_be_visible()
    assert abs(HolderClaim.objects.get(party__code="west").amount_base_units - earned) <= 1
    page.goto(f"{address}/investor/statements/")
    expect(page.get_by_role("cell", name="Paid out")).to_be_visible()


def _live_to(day: date, chain: Chain) -> None:
    """Platform time passes, and what is due by then is done on chain."""
    moment = datetime(day.year, day.month, day.day, 1, tzinfo=UTC)
    clock.move_to(moment, rate=Decimal(0), ceiling=moment)
    for _ in range(3):
        due.serve(clock.now())
        cycle.settle_all(chain=chain)
        deliveries.deliver_pending()


def a_loss_is_written_down(chain: Chain, series: Series, clients: list[chain_world.Client]) -> DefaultCase:
    """Four million of net loss: two and a half of the slice's six, after the challenge period of the terms."""
    with transaction.atomic():
        case = world.notice(clients[0].cell)
        write_downs.on_loss_determined(world.determine(case, 4 * MILLION))
    deliver()
    pass_time(chain, series.challenge_seconds + 60)
    with transaction.atomic():
        assert write_downs.due(clock.now() + timedelta(hours=2)) == 1
    deliver()
    return case
