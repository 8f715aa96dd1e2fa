"""A pricing ruleset is one hashed value: the official measure of a day, and what is disclosed beside it."""

from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest

from bonds.pricing.measures import OFFICIAL, SliceCurve
from bonds.pricing.rulesets import STANDARD, PricingRuleset, of_calibration
from intermediary.errors import BadInput

CRASH = date(2025, 10, 10)


def test_the_hash_is_that_of_the_body_and_every_figure_changes_it() -> None:
    assert PricingRuleset.of(STANDARD.body()) == STANDARD
    assert PricingRuleset.of(STANDARD.body()).hash == STANDARD.hash
    changed = [
        replace(STANDARD, version=3),
        replace(STANDARD, market_price_of_risk=0.25),
        replace(STANDARD, unmodelled=0.04),
        replace(STANDARD, fading=0.15),
        replace(STANDARD, market_price_of_beta=0.3),
        replace(STANDARD, levels={"2025-10": 0.1}),
    ]
    assert len({one.hash for one in [STANDARD, *changed]}) == len(changed) + 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("unmodelled", 1.0), ("unmodelled", -0.1), ("fading", -0.1), ("market_price_of_risk", -0.1),
     ("market_price_of_beta", -1.0), ("market_price_of_risk", float("nan")), ("wang", (0.4, 0.0)),
     ("levels", {"2025-10": float("inf")})],
)  # fmt: skip
def test_what_is_no_parameter_is_refused(name: str, value: Any) -> None:
    with pytest.raises(BadInput) as refused:
        replace(STANDARD, **{name: value})
    assert refused.value.code == "pricing.parameters"


@pytest.mark.parametrize("broken", [{"wang": ["0.4"]}, {"levels": None}, {"deviation": "much"}, {"version": None}])
def test_a_body_that_is_none_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(BadInput) as refused:
        PricingRuleset.of(STANDARD.body() | broken)
    assert refused.value.code == "pricing.ruleset"


def test_the_level_of_the_market_holds_in_its_months_and_dies_away() -> None:
    assert STANDARD.official(CRASH) == OFFICIAL
    assert STANDARD.official(date(2024, 1, 31)).market_price_of_risk == pytest.approx(0.2434 + 0.1326)
    levels = [STANDARD.level(date(2024, month, 1)) for month in range(1, 13)]
    assert levels == sorted(levels, reverse=True)


def test_the_official_measure_leads_what_is_disclosed_and_only_the_physical_one_does_not_load() -> None:
    curve = SliceCurve(1.0, np.array([0.006, 0.004]), np.array([0.5, 0.5]), 0.0065)
    shown = STANDARD.disclosed(CRASH)
    assert [one.label for one in shown[:2]] == ["official", "physical"]
    priced = {one.label: float(one.measure.loaded(curve) @ curve.weights) for one in shown}
    assert priced.pop("physical") == pytest.approx(0.005)
    assert min(priced.values()) > 0.005


def test_a_calibration_becomes_a_ruleset() -> None:
    parameters = {
        "feared-wang": {"lambda": 0.41234, "c": 0.0123456, "p": 0.2},
        "wang": {"lambda": 0.2, "k": 4.0},
        "lane": {"scale": 0.1, "a": 0.2, "b": 0.3},
        "deviation": {"multiple": 0.3},
        "linear": {"floor": 0.03, "multiple": 1.5},
    }
    found = {
        "measures": [{"name": name, "parameters": one} for name, one in parameters.items()],
        "levels": {"2026-01": 0.123456},
        "rows": 50,
        "first_month": "2024-01",
        "last_month": "2025-12",
        "file_sha256": "ab",
    }
    ruleset = of_calibration(found, 3, 0.25)
    assert (ruleset.label, ruleset.market_price_of_risk, ruleset.unmodelled) == ("standard-3", 0.4123, 0.0123)
    assert ruleset.level(date(2026, 1, 20)) == 0.1235
    assert ruleset.source == "50 issues of 2024-01 to 2025-12, file ab"
