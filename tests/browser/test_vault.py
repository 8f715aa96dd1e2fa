"""A client checks its statement in a real Chromium: by its wallet, by an answer it pasted, and one that was changed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from pytest_django import Settings

from intermediary.canonical import sha256_hex
from intermediary.config import screens
from intermediary.config.demo.processes import platform_processes
from intermediary.config.supervisor.state import StateDirectory
from settlement.breaks import VaultStatement
from settlement.chain import Chain
from tests.conftest import TestDatabase
from tests.settlement.statement_world import OFFICER, three_told
from tests.settlement.world import Client, chain_of_world

pytestmark = [pytest.mark.browser, pytest.mark.world(build=three_told)]
SOON_MS = 60_000
# A wallet as extensions give one to a page: it asks the test's chain.
WALLET = "window.ethereum = { request: ({ method, params }) => window.askTheChain(method, params ?? []) };"


@pytest.fixture
def chain(chain_url: str, settings: Settings, request: pytest.FixtureRequest) -> Chain:
    return chain_of_world(chain_url, settings, request)


@pytest.fixture
def address(chain: Chain, committing_db: TestDatabase, tmp_path: Path) -> Iterator[str]:
    servers = {"CHAIN_RPC_URLS": chain.url}
    with platform_processes(("web",), StateDirectory(tmp_path), servers, committing_db.urls) as web:
        yield web


def test_a_statement_is_checked_in_the_browser(
    chain: Chain, address: str, built_world: tuple[str, Client], browser: Browser, tmp_path: Path
) -> None:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, timezone_id="UTC")
    context.expose_function("askTheChain", lambda method, parameters: chain.call(method, *parameters))
    context.add_init_script(WALLET)
    page = context.new_page()
    page.set_default_timeout(SOON_MS)
    problems = screens.watch(page)
    screens.sign_in(page, address, "client.M")
    page.goto(f"{address}/portal/M/vault/")
    by_the_wallet(page)
    statement: dict[str, Any] = VaultStatement.objects.get(target=built_world[1].vault).body
    a_changed_figure_is_refused(page, statement, tmp_path)
    by_a_pasted_answer(page, address, statement, chain, tmp_path)
    assert problems == []
    context.close()


def by_the_wallet(page: Page) -> None:
    """First what needs nobody, then the chain through the reader's own wallet."""
    lines = page.locator("[data-part=checks] li")
    expect(page.get_by_text("not everything was checked")).to_be_visible()
    expect(lines.filter(has_text="the leaf leads to the root")).to_contain_text("holds")
    page.get_by_role("button", name="Ask the chain through Your wallet").click()
    expect(page.get_by_text("This is what the chain holds.")).to_be_visible()
    expect(lines).to_have_count(6)
    expect(lines.locator(".tag-ok")).to_have_count(6)


def choose(page: Page, statement: dict[str, Any], directory: Path) -> None:
    text = json.dumps(statement)
    file = directory / f"statement-{sha256_hex(text)[:8]}.json"  # a browser tells of a file of another name only
    file.write_text(text)
    page.locator("#statement-file").set_input_files(file)


def a_changed_figure_is_refused(page: Page, statement: dict[str, Any], directory: Path) -> None:
    leaf, plain = statement["leaf"], statement["plain"]
    smaller = leaf | {"required": "1"}
    choose(page, statement | {"leaf": smaller}, directory)
    expect(page.get_by_text("This is not proved.")).to_be_visible()
    expect(page.locator("[data-part=checks]")).to_contain_text(f"required is 0.000001 USDC, not {plain['required']}")
    choose(page, statement | {"leaf": smaller, "plain": plain | {"required": "0.000001 USDC"}}, directory)
    expect(page.locator("[data-part=checks]")).to_contain_text(
        "does not hold the leaf leads to the root: it leads to 0x"
    )
    choose(page, statement | {"root": "0x" + "11" * 32, "proof": []}, directory)
    expect(page.locator("[data-part=checks]")).to_contain_text("not 0x1111")
    page.get_by_role("button", name="Ask the chain through Your wallet").click()
    expect(page.locator("[data-part=checks]")).to_contain_text("it posted 0x")
    choose(page, {"format": "of somebody else"}, directory)
    expect(page.locator("[data-part=checks]")).to_contain_text("its format is not")


def by_a_pasted_answer(page: Page, address: str, statement: dict[str, Any], chain: Chain, directory: Path) -> None:
    """On the page for everybody, without a wallet: what a pasted answer cannot say is said."""
    page.goto(f"{address}/verify/")
    choose(page, statement, directory)
    page.get_by_text("Without a wallet").click()
    asked = json.loads(page.locator("[data-part=request]").text_content() or "")
    answer = {"jsonrpc": "2.0", "id": 1, "result": chain.call(asked["method"], *asked["params"])}
    page.get_by_label("The node's answer").fill(json.dumps(answer))
    page.get_by_role("button", name="Compare").click()
    lines = page.locator("[data-part=checks] li")
    expect(lines.filter(has_text="the house posted that root under that number")).to_contain_text("holds")
    expect(lines.filter(has_text="a pasted answer does not say so")).to_have_count(3)
    page.get_by_label("The node's answer").fill("nonsense")
    page.get_by_role("button", name="Compare").click()
    expect(page.locator("[data-part=checks]")).to_contain_text("no JSON answer of a node")


@pytest.mark.deep
def test_the_pages_fit_every_screen(address: str, browser: Browser, tmp_path: Path) -> None:
    looks = [screens.Screen("vault", "/portal/M/vault/", "client.M"), screens.Screen("verify", "/verify/")]
    looks.append(screens.Screen("reconciliation", "/admin/reconciliation/", OFFICER))
    for picture in screens.shoot(browser, address, looks, tmp_path):
        assert picture.problems == (), picture.file
