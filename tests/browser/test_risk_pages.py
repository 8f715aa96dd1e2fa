"""The officers' pages of charts and tables about risk, drawn by a real browser: no error of a script, nothing that the
content policy refuses, nothing wider than the window.
"""

import json
import math
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from django.urls import reverse
from playwright.sync_api import Browser, expect

from intermediary.config import screens
from intermediary.config.demo.processes import platform_processes
from intermediary.config.office.backtest import figures
from intermediary.config.supervisor.state import StateDirectory
from tests.conftest import TestDatabase
from tests.intermediary import office_world

OFFICER = "officer.checker"
FAILURES = (
    "kind=default&code=R-101&times=4",
    "kind=venue&at_venue=40000000&pays=30",
    "kind=freeze&place=Every+vault",
)


@pytest.fixture
def address(committing_db: TestDatabase, chain_url: str, tmp_path: Path) -> Iterator[str]:
    """Where the web answers, over the officers' small world."""
    office_world.build()
    a_report_made_here(tmp_path / "backtest")
    servers = {"CHAIN_RPC_URLS": chain_url}
    with platform_processes(("web",), StateDirectory(tmp_path), servers, committing_db.urls) as web:
        yield web


def a_report_made_here(directory: Path) -> None:
    """A written report of the ruleset that the figures judge, with the days of one book: quiet, and one crash."""
    (directory / "series").mkdir(parents=True)
    (directory / "report.json").write_text(json.dumps({"ruleset": figures()["ruleset"]}))
    days = [(date(2022, 1, 1) + timedelta(days=row)).isoformat() for row in range(600)]
    losses = [0.04 * math.sin(row) for row in range(600)]
    losses[200], losses[400] = 0.12, 0.31
    series = {"book": "BTC long", "kind": "single", "days": days, "loss": losses}
    series |= {name: [value] * 600 for name, value in (("var_99", 0.09), ("var_99.7", 0.13), ("margin", 0.19))}
    (directory / "series" / "btc-long.json").write_text(json.dumps(series))


@pytest.mark.browser
@pytest.mark.deep
def test_the_pages_of_risk_are_drawn_without_an_error(address: str, browser: Browser, tmp_path: Path) -> None:
    pages = [screens.Screen(name, reverse(f"admin:{name}"), OFFICER) for name in ("backtest", "contagion", "liquidity")]
    for picture in screens.shoot(browser, address, pages, tmp_path):
        assert picture.problems == (), picture.file
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    screens.sign_in(page, address, OFFICER)
    problems = screens.watch(page)
    page.goto(address + reverse("admin:backtest"))
    for drawn in ("#coverage", "#days-chart", "#tail-chart"):
        expect(page.locator(f"{drawn} canvas")).to_be_visible()
    for asked in FAILURES:
        page.goto(f"{address}{reverse('admin:contagion')}?{asked}")
        expect(page.locator("#network canvas")).to_be_visible()
    page.goto(address + reverse("admin:contagion"))
    expect(page.locator("#network canvas")).to_be_visible()
    page.get_by_label("A token loses its peg").check()
    page.get_by_label("Worth, of its peg").fill("0.8")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("USDC at 0.8")).to_be_visible()
    assert problems == []
    page.close()
