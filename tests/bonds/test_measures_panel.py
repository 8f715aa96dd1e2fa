"""The panel of measures says what the last mark says, in words and units, and what lambda a reader's price implies."""

from datetime import date
from typing import Any

import pytest
from django.template import RequestContext, Template
from django.test import RequestFactory

from bonds.models import NoteMark, Tranche
from bonds.portal.measures import MEASURES, answer, panel
from bonds.portal.queries import ClassView
from bonds.pricing.rulesets import STANDARD

LABELS = ["official", "physical", "wang-published", "wang-refit", "lane-published", "lane-refit", "deviation", "linear"]
OUTPUTS: dict[str, Any] = {
    "ruleset": {"label": STANDARD.label, "hash": STANDARD.hash},
    "measures": [
        {"label": label, "name": label, "price": 100.5 - n, "spread_bps": 100.0 + 10 * n}
        for n, label in enumerate(LABELS)
    ],
    "with_beta": {"label": "with-beta", "name": "beta-0.25", "price": 99.25, "spread_bps": 130.0},
    "sensitivities": {"pd": -0.8, "severity": -2.5, "correlation": -1.5, "lambda": -3.25},
    "grid": [[0.0, 104.0], [0.1, 102.0], [0.2, 98.0]],
    "implied_lambda": 0.15,
    "dirty_price": 101.25,
    "no_loss_yield": 0.0912,
    "risk_neutral_yield": 0.0371,
    "modified_duration": 1.87,
    "convexity": 4.4,
    "spread_multiple": 6.25,
    "discount_margin": None,
}
UNPRICED = {
    "ruleset": OUTPUTS["ruleset"],
    "measures": [one | {"price": None} for one in OUTPUTS["measures"]],
    "with_beta": OUTPUTS["with_beta"] | {"price": None},
    "sensitivities": {},
    "grid": [],
    "implied_lambda": None,
}


def view(outputs: dict[str, Any] | None, symbol: str = "BLKA") -> ClassView:
    mark = None if outputs is None else NoteMark(outputs=outputs, z_spread=0.0512, expected_yield=0.0855)
    return ClassView(Tranche(symbol=symbol, original_base_units=1), 1, mark, None, 0)


def rendered(classes: list[ClassView], **asked: str) -> str:
    request = RequestFactory().get("/", asked)
    context = RequestContext(request, {"classes": classes, "request": request})
    return Template("{% load pricing %}{% measures_panel classes %}").render(context)


@pytest.mark.parametrize("outputs", [None, {}, {"ruleset": {"label": "standard-2", "hash": "ab"}}])
def test_without_a_mark_that_says_it_there_is_no_panel(outputs: dict[str, Any] | None) -> None:
    assert panel([view(outputs)], {}) is None
    assert rendered([view(outputs)]).strip() == ""


def test_every_measure_of_the_ruleset_has_words() -> None:
    labels = [one.label for one in STANDARD.disclosed(date(2025, 10, 10))]
    assert labels == LABELS
    assert set(MEASURES) == {*labels, "with-beta"}


def test_figures_are_in_their_units_and_of_every_class() -> None:
    found = panel([view(OUTPUTS), view(OUTPUTS | {"modified_duration": None}, "BLKB")], {})
    assert found is not None
    said = {row.words: [cell.value for cell in row.cells] for row in found.figures}
    units = {row.words: row.cells[0].unit for row in found.figures}
    assert said["Z-spread"] == pytest.approx([512, 512])
    assert said["Yield if nothing is lost"] == pytest.approx([9.12, 9.12])
    assert (units["Z-spread"], units["Yield if nothing is lost"]) == ("bp", "%")
    assert said["Yield expected physically"] == pytest.approx([8.55, 8.55])
    assert (said["Modified duration"], units["Modified duration"]) == ([1.87, None], "years")
    assert "Discount margin over SOFR" not in said
    moves = {row.words: row.cells[0].value for row in found.slopes}
    assert moves["Severity of a loss"] == pytest.approx(-0.25)
    assert moves["Market price of risk, lambda"] == pytest.approx(-0.325)


def test_the_page_shows_each_measure_with_price_and_spread_and_what_the_beta_load_rests_on() -> None:
    text = rendered([view(OUTPUTS)])
    for words in MEASURES.values():
        assert words in text
    assert "99.25" in text
    assert "no public price of crypto credit" in text
    assert "standard-2" in text


def test_before_pricing_there_are_spreads_and_no_question_of_a_price() -> None:
    text = rendered([view(UNPRICED)])
    assert "bp" in text
    assert "own-price" not in text


def test_a_price_between_the_nodes_implies_a_lambda() -> None:
    found = answer([view(OUTPUTS)], {"class": "BLKA", "price": " 99.00 "})
    assert found is not None
    assert found.implied == pytest.approx(0.175)
    assert "implies lambda" in rendered([view(OUTPUTS)], **{"class": "BLKA", "price": "99"})


@pytest.mark.parametrize(
    ("symbol", "price", "words"),
    [
        ("BLKA", "much", "State a clean price"),
        ("BLKA", "nan", "No market price of risk"),
        ("BLKA", "104.01", "98.00 to 104.00"),
        ("BLKA", "-1", "No market price of risk"),
        ("OTHER", "99", "no price to compare"),
    ],
)
def test_a_price_that_means_nothing_is_answered_beside_the_field(symbol: str, price: str, words: str) -> None:
    found = answer([view(OUTPUTS)], {"class": symbol, "price": price})
    assert found is not None
    assert found.implied is None
    assert words in found.problem
    assert words in rendered([view(OUTPUTS)], **{"class": symbol, "price": price})


def test_nothing_asked_is_nothing_answered() -> None:
    assert answer([view(OUTPUTS)], {"class": "BLKA", "price": ""}) is None
