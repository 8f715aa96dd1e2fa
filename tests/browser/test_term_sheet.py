"""The term sheet and the structuring desk in a real browser: sliders that answer at once, a PDF, nothing refused."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.urls import reverse
from playwright.sync_api import Browser, expect

from bonds.marking import sheets
from bonds.marking.subject import last_tick
from bonds.models import Series, SeriesDraft
from bonds.offering import structuring
from bonds.offering.composing import compose
from bonds.offering.terms import slice_id_of
from intermediary import clock, ports
from intermediary.config import screens
from intermediary.config.demo.processes import platform_processes
from intermediary.config.supervisor.state import StateDirectory
from intermediary.models import Cell, CreditLine, Layer
from risk.gate import EngineGate
from risk.models import StressReport
from tests.bonds import world
from tests.bonds.test_structuring import body, isin
from tests.conftest import TestDatabase
from tests.intermediary import office_world
from tests.risk.test_gate import official

OFFICER = "officer.maker"
COVERED = ("R-101", "R-102")
MILLION = world.MILLION


def build() -> tuple[Series, SeriesDraft]:
    """A series on offer with its sheet, and the draft of another with problems."""
    office_world.build()
    ports.bind_risk_gate(EngineGate())
    official(clock.now())
    with transaction.atomic():
        cells = [Cell.objects.get(code=code) for code in COVERED]
        for cell in cells:
            Layer.objects.filter(cell=cell, kind="TAIL").update(slice_id=slice_id_of("BLK-9", cell.id))
        assert CreditLine.objects.filter(cell__in=cells).count() == len(cells)
        terms = compose("BLK-9", body(cells)).terms
        assert terms is not None
        series = world.deployed(terms)
        rows = [
            {"name": "deleveraging_2025_10", "title": "10-11 October 2025", "net_loss": 4 * MILLION},
            {"name": "vol_crush", "title": "Implied volatility collapses", "net_loss": 0},
        ]
        for cell in cells:
            StressReport.objects.create(cell=cell, tick=last_tick(), body={"rows": rows})
        sheets.make(series, last_tick())
        other = body(cells, retained_bps=0)
        other["classes"][1] |= {"from_bps": 3_500, "symbol": "BLK8A", "isin": isin("82")}
        other["classes"][0] |= {"symbol": "BLK8B", "isin": isin("81")}
        draft = structuring.save_draft(maker=User.objects.get(username=OFFICER), code="BLK-8", body=other)
    return series, draft


@pytest.fixture
def made(committing_db: TestDatabase) -> tuple[Series, SeriesDraft]:
    return build()


@pytest.fixture
def address(
    made: tuple[Series, SeriesDraft], committing_db: TestDatabase, chain_url: str, tmp_path: Path
) -> Iterator[str]:
    servers = {"CHAIN_RPC_URLS": chain_url}
    with platform_processes(("web",), StateDirectory(tmp_path), servers, committing_db.urls) as web:
        yield web


@pytest.mark.browser
@pytest.mark.deep
def test_the_sheet_answers_a_slider_at_once_and_the_desk_shows_problems(
    made: tuple[Series, SeriesDraft], address: str, browser: Browser, tmp_path: Path
) -> None:
    series, draft = made
    pages = [
        screens.Screen("term-sheet", reverse("investor:term_sheet", args=[series.id])),
        screens.Screen("series", reverse("admin:series"), OFFICER),
        screens.Screen("series-draft", reverse("admin:series_draft", args=[draft.id]), OFFICER),
        screens.Screen("preview", reverse("admin:term_sheet", args=[series.id]), OFFICER),
        screens.Screen("credit", reverse("portal:credit", args=["R-102"]), "client.maker"),
    ]
    for picture in screens.shoot(browser, address, pages, tmp_path):
        assert picture.problems == (), picture.file
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    problems = screens.watch(page)
    page.goto(address + reverse("investor:term_sheet", args=[series.id]))
    expect(page.locator("#sliders [data-shows=pd]")).to_have_text("1.00 × today's")
    before = page.locator("[data-class=BLK9B] [data-out=spread]").inner_text()
    took_ms = page.evaluate(
        """() => { const slider = document.querySelector('[data-axis=pd]'); slider.value = 1000;
        const start = performance.now(); slider.dispatchEvent(new Event('input', {bubbles: true}));
        return performance.now() - start; }"""
    )
    assert took_ms < 100
    expect(page.locator("#sliders [data-shows=pd]")).to_have_text("4.00 × today's")
    assert page.locator("[data-class=BLK9B] [data-out=spread]").inner_text() != before
    page.get_by_role("button", name="Back to today").click()
    expect(page.locator("[data-class=BLK9B] [data-out=spread]")).to_have_text(before)
    with page.expect_download() as waiting:
        page.get_by_role("link", name="PDF").click()
    assert waiting.value.path().read_bytes().startswith(b"%PDF-")
    assert problems == []
    page.close()
