"""The term sheet: figures of one valuation in a row, a public page of them, and a PDF."""

import base64
import hashlib
import re
import subprocess
import sys
import zlib
from decimal import Decimal
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.db import transaction
from django.test import Client as Browser
from django.test import override_settings
from django.urls import reverse

from bonds.marking import sheets
from bonds.marking.subject import last_tick
from bonds.models import Document, Series, SeriesDocument, TermSheet
from bonds.offering import stages
from bonds.portal.sheet_pdf import sheet_pdf
from bonds.portal.term_sheets import view_of
from intermediary.models import Instrument, Position
from risk.models import StressReport
from tests.bonds.world import MILLION, deployed, series_terms, with_layers
from tests.intermediary.margin_world import Client
from tests.people import person
from tests.risk.test_gate import before_any_market, sides

__all__ = ["before_any_market", "sides"]  # fixtures
pytestmark = pytest.mark.django_db
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def series(sides: tuple[Client, Client]) -> Series:
    """Two classes over two relationships, on offer."""
    return deployed(series_terms([with_layers(who.cell) for who in sides], classes=2))


def stressed(series: Series, net_loss: int, only: int | None = None) -> None:
    """Each covered relationship's own report, or that of the first `only`, says this loss beyond margin in one
    scenario."""
    for item in series.slices.order_by("index")[:only]:
        row = {"name": "deleveraging_2025_10", "title": "10-11 October 2025", "net_loss": net_loss}
        StressReport.objects.create(cell=item.cell, tick=last_tick(), body={"rows": [row]})


def test_a_sheet_says_every_class_at_one_valuation_and_is_made_once(series: Series) -> None:
    stressed(series, 9 * MILLION // 2)
    made = sheets.make(series, last_tick())
    assert made is not None
    assert sheets.make(series, last_tick()) is None
    body = made.body
    assert [one["symbol"] for one in body["classes"]] == ["BLKT0", "BLKT1"]
    junior, senior = body["classes"]
    assert junior["expected_loss"] >= senior["expected_loss"] >= 0
    assert len(junior["grid"]["spread"]) == len(junior["grid"]["el"]) * len(body["axes"]["load"])
    # Of a loss of 4.5 the junior class, which lies from 1.5 to 4.5, loses everything in both slices.
    assert body["scenarios"][0]["losses_base_units"] == [2 * 3 * MILLION, 0]
    assert body["slices"][0]["edges_base_units"] == [3 * MILLION // 2, 9 * MILLION // 2, 15 * MILLION // 2]


def test_a_tick_renews_the_sheets_that_wait_longest(series: Series) -> None:
    assert sheets.renew(last_tick().id) == 1
    assert sheets.renew(last_tick().id) == 0
    assert TermSheet.objects.filter(series=series).count() == 1


@override_settings(STATIC_ROOT="")
def test_the_page_is_public_and_shows_sliders_scenarios_and_extension(series: Series) -> None:
    stressed(series, 9 * MILLION // 2)
    sheets.make(series, last_tick())
    page = Browser().get(reverse("investor:term_sheet", args=[series.id]), headers={"accept": "text/html"})
    assert page.status_code == 200
    text = page.content.decode()
    for said in ("sheet-grid", "10-11 October 2025", "1.5 × the estimated loss", "hard stop", "Explain"):
        assert said in text
    for said in (
        "Extension in figures",
        "which earns nothing there",
        "Who pays it",
        "No coupon is earned after",
        "Units lie with",
    ):
        assert said in text, said
    assert "Chance that anything is kept" not in text, "books that cannot lose"
    assert len(page.content) < 150_000


@override_settings(STATIC_ROOT="")
def test_a_series_without_figures_says_so_and_an_unpublished_one_is_nobodys(sides: tuple[Client, Client]) -> None:
    made = stages.structure(actor="desk", terms=series_terms([with_layers(sides[0].cell)]))
    unseen = Browser().get(reverse("investor:term_sheet", args=[made.id]), headers={"accept": "text/html"})
    assert unseen.status_code == 404
    text = Browser().get(reverse("investor:term_sheet", args=[made.id]), headers={"accept": "text/html"}).content
    assert b"No figures yet" not in text


def test_the_pdf_is_the_same_bytes_every_time_and_says_its_hashes(series: Series) -> None:
    stressed(series, 9 * MILLION // 2)
    sheets.make(series, last_tick())
    content = sheet_pdf(view_of(series))
    assert content.startswith(b"%PDF-")
    assert content == sheet_pdf(view_of(Series.objects.get(id=series.id)))
    answer = Browser().get(reverse("investor:term_sheet_pdf", args=[series.id]))
    digest = hashlib.sha256(answer.content).digest()
    assert answer["Content-Type"] == "application/pdf"
    assert answer["Repr-Digest"] == f"sha-256=:{base64.b64encode(digest).decode()}:"
    assert f"{series.code}-term-sheet-{digest.hex()[:12]}.pdf" in answer["Content-Disposition"]


@override_settings(STATIC_ROOT="")
def test_the_extension_in_figures_stands_on_the_page_and_in_the_pdf(
    series: Series, sides: tuple[Client, Client]
) -> None:
    before = words_of(sheet_pdf(view_of(series)))
    bitcoin, mark = Instrument.objects.get(underlying="BTC"), 95_000
    for who, quantity in zip(sides, (400, -400), strict=True):
        Position.objects.create(
            cell=who.cell, instrument=bitcoin, quantity=Decimal(quantity), settled_value=Decimal(quantity * mark)
        )
    made = sheets.make(series, last_tick())
    assert made is not None
    assert_drawn(sheet_pdf(view_of(series)), made.body)
    junior, senior = (one["extension"]["probability_reserved"]["value"] for one in made.body["classes"])
    assert 0 < senior < junior < 1
    page = Browser().get(reverse("investor:term_sheet", args=[series.id]), headers={"accept": "text/html"})
    assert "Chance that anything is kept" in page.content.decode()
    assert "Beyond the mean" in page.content.decode()
    said = words_of(sheet_pdf(view_of(series)))
    for text in (before, said):
        assert "Extension in figures" in text
        assert "which earns nothing there" in text
        assert "No coupon is earned after" in text
        assert "rest for up to 14 days" in text
        # The middle of the junior class, 3m, kept 1.5 times over: all of its 3m from 1.5m on.
        assert "3,000,000" in text
    assert "Anything kept" in said
    assert "Anything kept" not in before


@override_settings(STATIC_ROOT="")
def test_a_relationship_without_a_report_is_said_and_not_taken_for_unharmed(series: Series) -> None:
    stressed(series, 9 * MILLION // 2, only=1)
    made = sheets.make(series, last_tick())
    assert made is not None
    assert made.body["scenarios"][0]["measured"] == 1
    at = last_tick().valuation.as_of
    assert made.body["reported"] == [at.isoformat()]
    page = Browser().get(reverse("investor:term_sheet", args=[series.id]), headers={"accept": "text/html"})
    text, pdf = page.content.decode(), words_of(sheet_pdf(view_of(series)))
    assert re.search(r"1 of 2</td>.*not measured.*at least", text)
    assert "1 of 2 not measured at least 3,000,000 (50.0%)" in pdf
    assert f"{at:%d %B %Y %H:%M} UTC" in pdf


def assert_drawn(pdf: bytes, body: dict[str, Any]) -> None:
    """Curves with the bands of the classes, and the sliders' figures where one assumption is moved."""
    said, drawn = words_of(pdf), drawing_of(pdf)
    tails = [tail for one in reversed(body["classes"]) for tail in one["loss"]["tail"]]
    assert "VaR 99.5%" in said
    for tail in tails:
        assert f"{tail['value_at_risk']:.1%} {tail['expected_shortfall']:.1%}" in said
    fills = {"layer-2": ".835294 .878431 .984314 rg", "layer-3": ".803922 .831373 .87451 rg"}
    for colour in fills.values():
        assert drawn.count(colour) == len(body["curves"])
    for curve in body["curves"]:
        assert f"Loss-exceedance curve of {curve['relationship']}" in said
        assert max(level for _, level in curve["points"]) > 0
    axes = body["axes"]
    shape = (len(axes["pd"]), len(axes["severity"]), len(axes["rho"]), len(axes["load"]))
    senior = body["classes"][1]["grid"]
    today = [axes[axis].index(axes["base"][axis]) for axis in ("pd", "severity", "rho", "load")]
    for words, moved in {"Default intensity doubled": (0, axes["pd"].index(2.0)), "Lambda doubled": (3, -1)}.items():
        at = list(today)
        at[moved[0]] = moved[1]
        el = np.reshape(senior["el"], shape[:3])[tuple(at[:3])]
        spread = ceil(1e4 * np.reshape(senior["spread"], shape)[tuple(at)] - 0.05)
        chance = f"{100 * el:.3f}%" if el >= 1e-5 else "below 0.001%"
        assert f"{words} {chance} {spread:,} bp" in said


def drawing_of(pdf: bytes) -> str:
    """The operators of its pages."""
    pages = re.findall(rb"stream\r?\n(.*?)~>\s*endstream", pdf, re.DOTALL)
    return "\n".join(zlib.decompress(base64.a85decode(raw.strip())).decode("latin-1") for raw in pages)


def words_of(pdf: bytes) -> str:
    """The text that its pages draw, in order."""
    found = re.findall(r"\(((?:[^()\\]|\\.)*)\) Tj", drawing_of(pdf))
    return re.sub(r"\\(.)", r"\1", " ".join(" ".join(found).split()))


def test_a_pdf_exists_before_the_first_figures(series: Series) -> None:
    assert sheet_pdf(view_of(series)).startswith(b"%PDF-")


def test_a_document_of_the_pack_is_served_by_its_hash(sides: tuple[Client, Client]) -> None:
    from dataclasses import replace

    content = b"%PDF-1.4 the circular"
    digest = hashlib.sha256(content).hexdigest()
    terms = replace(series_terms([with_layers(sides[0].cell)]), document_hashes=(("Circular", digest),))
    made = deployed(terms)
    kept = Document.objects.create(
        title="Circular", filename="c.pdf", media_type="application/pdf", content=content, sha256=digest,
        uploaded_by=person("officer", is_staff=True),
    )  # fmt: skip
    SeriesDocument.objects.create(series=made, title="Circular", sha256=digest, document=kept)
    answer = Browser().get(reverse("investor:series_document", args=[made.id, digest]))
    assert answer.content == content
    assert Browser().get(reverse("investor:series_document", args=[made.id, "0" * 64])).status_code == 404
    with pytest.raises(Exception, match="document_is_of_the_terms"), transaction.atomic():
        SeriesDocument.objects.create(series=made, title="Another", sha256=digest, document=kept)


def test_the_page_and_its_pdf_load_no_numeric_library() -> None:
    program = (
        "import os, sys, django; os.environ['DJANGO_SETTINGS_MODULE'] = 'tests.settings'; django.setup();"
        " import bonds.portal.term_sheets; light = 'reportlab' not in sys.modules;"
        " import bonds.portal.sheet_pdf, intermediary.config.office.series; print(light, *sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    light, *loaded = ran.stdout.split()
    assert light == "True", "the PDF library loads with the first PDF only"
    assert not {"numpy", "scipy", "numba", "QuantLib"} & set(loaded)
