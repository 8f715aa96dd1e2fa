"""The backtest as officers read it: the committed figures in words, and nothing that fails is passed over."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from intermediary.config.office import backtest_reading as reading
from intermediary.config.office.backtest import figures
from tests.intermediary import office_world
from tests.intermediary.test_admin import as_web, maker, page, world

__all__ = ["as_web", "maker", "world"]


@pytest.fixture
def body() -> dict[str, Any]:
    return copy.deepcopy(figures())


def test_every_claim_of_every_stretch_has_its_words(body: dict[str, Any]) -> None:
    said = [one for stretch in reading.stretches(body) for one in reading.verdicts(body, stretch)]
    assert len(said) == len(body["verdicts"])
    assert {one.test for one in said} == {test for test, _ in reading.TESTS.values()}
    assert all("{" not in one.question and one.worst for one in said)


def test_the_worst_book_is_named_with_its_number(body: dict[str, Any]) -> None:
    green = next(one for one in reading.verdicts(body, "all") if one.test == "Traffic light")
    rows = {row.name: row.margin for row in reading.books(body, "all")}
    name, _, rest = green.worst.partition(": ")
    assert rest == f"{rows[name]['exceptions']} beyond margin, yellow from {rows[name]['yellow_from']}"
    assert all(row["exceptions"] * rows[name]["yellow_from"] <= rows[name]["exceptions"] * row["yellow_from"]
               for row in rows.values())  # fmt: skip


def test_a_rejected_book_is_said_among_what_is_weak(body: dict[str, Any]) -> None:
    before = reading.weaknesses(body, "all")
    book = reading.part(body, "conditional", "all")["books"][0]
    book["levels"]["99"] |= {"kupiec_rejected": True, "exceptions": 99, "kupiec_p": 0.0001}
    book["shortfall_99"]["rejected"] = True
    new = [one for one in reading.weaknesses(body, "all") if one not in before]
    assert [one.startswith("BTC long") for one in new] == [True, True]
    assert "rejected by Kupiec at 99% (p = 0.000; 99 exceptions" in new[0]


def test_kinds_add_up_to_the_stretch(body: dict[str, Any]) -> None:
    kinds, margin = reading.kinds(reading.books(body, "all")), reading.part(body, "margin", "all")
    assert sum(one["books"] for one in kinds) == margin["series"]
    assert sum(one["margin"]["exceptions"] for one in kinds) == margin["exceptions"]
    assert sum(one["green"] for one in kinds) == margin["zones"]["green"]


def test_every_exception_that_is_counted_is_named_by_its_day(body: dict[str, Any]) -> None:
    for stretch in reading.stretches(body):
        conditional = reading.part(body, "conditional", stretch)
        for row in reading.books(body, stretch):
            days = reading.exceptions(body, row.name, conditional)
            assert len(days) == row.at_99["exceptions"], row.name
            assert sum(one.beyond_margin for one in days) == row.margin["exceptions"], row.name
            assert all(one.over_var >= 1 for one in days)
            if row.margin["exceptions"]:
                worst = max(one.over_margin for one in days)
                assert worst == pytest.approx(row.margin["worst_loss_over_margin"], abs=1e-3)


@pytest.mark.usefixtures("committing_db")
@pytest.mark.world(build=office_world.build)
def test_an_officer_reads_the_verdict_first_and_downloads_the_figures(
    maker: Client, settings: Any, tmp_path: Path
) -> None:
    settings.VAR_DIR = tmp_path  # where no report was ever written
    text = page(maker, "backtest")
    assert text.index("tests hold") < text.index("Every book")
    for said in ("What is weak", "Not tested", "Other parameters are in force", "manage.py backtest --out"):
        assert said in text
    assert len(text) < 150_000
    answer = maker.get(reverse("admin:backtest") + "?stretch=all&book=BTC/ETH+short")
    drawn = answer.content.decode()
    assert "BTC/ETH short: every exception" in drawn
    marked, tail = [
        chart
        for chart in map(json.loads, re.findall(r'<script type="application/json">(.*?)</script>', drawn, re.DOTALL))
        if chart["kind"] == "lines"
    ]
    points = [point for dots in marked["dots"] for point in dots["points"]]
    assert len(points) == len(figures()["exceptions"]["BTC/ETH short"])
    (seen,) = tail["dots"]
    assert len(seen["points"]) == len(figures()["conditional"][-1]["books"][0]["tail"]["quantiles"])
    assert "Cash and carry" in drawn
    assert json.loads(maker.get(reverse("admin:backtest_json")).content) == figures()
