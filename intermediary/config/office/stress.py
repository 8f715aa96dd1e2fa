"""Stress: the intermediary and every relationship under the published scenarios, and how far each is from its limits.

The figures are those of the last report (`risk.stress_queries`); nothing is computed here.
"""

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse

from intermediary.access import not_found
from intermediary.config.office.pages import show
from risk import stress_queries

SCENARIO_COLUMNS = (
    ("gross", "Loss before margin"),
    ("margin", "On margin"),
    ("first_loss", "First loss"),
    ("tail", "Tail bond"),
    ("senior", "Senior"),
    ("uncovered", "UNCOVERED"),
)
BEARERS = (
    ("margin", "quiet"),
    ("first_loss", "layer-1"),
    ("tail", "layer-2"),
    ("senior", "layer-3"),
    ("uncovered", "bad"),
)


def stress(request: HttpRequest) -> HttpResponse:
    """The whole book."""
    found = stress_queries.book_stress()
    if found is None:
        return show(request, "stress", "Stress", found=None)
    return show(
        request,
        "stress",
        "Stress",
        found=found,
        worst=max(found.float_after, key=lambda row: (row["net_loss"], row["gross"])),
        thinnest=min(found.float_after, key=lambda row: row["float_left"]),
        heat=heat_chart(found.house["heat"]),
    )


def relationship_stress(request: HttpRequest, code: str) -> HttpResponse:
    """One relationship."""
    found = stress_queries.book_stress()
    one = next((row for row in found.relationships if row.cell.code == code), None) if found else None
    if found is None or one is None:
        raise not_found()
    return show(
        request,
        "stress_of",
        f"Stress of {code}",
        found=found,
        one=one,
        layers=sum(one.body["layers"].values()),
        heat=heat_chart(one.body["heat"]),
        bars=bearers_chart(one.rows),
        fan=fan_chart(one.body["exposure"]),
    )


def heat_chart(heat: Mapping[str, Any]) -> dict[str, Any]:
    """The map for charts.js: price across, volatility up; a cell says what is left after margin, and how much of it
    no layer takes."""
    return {
        "kind": "heat",
        "unit": "USDC",
        "columns": [f"{round(move * 100):+d}%".replace("-", "−").replace("+0%", "0%") for move in heat["moves"]],
        "rows": [f"×{ratio:g}" for ratio in heat["vols"]],
        "values": heat["net"],
        "beyond": heat["beyond"],
        "xName": "Every coin's price",
        "yName": "Volatility",
        "words": ["after margin", "of it UNCOVERED"],
    }


def fan_chart(exposure: Mapping[str, Any]) -> dict[str, Any]:
    """Quantiles of what would be owed if nothing were paid for so many days, against what stands behind it."""
    tones = ("quiet", "accent", "bad")
    now = [0, exposure["now"]]
    return {
        "kind": "lines",
        "unit": "USDC",
        "x": "value",
        "xName": "Days without a payment",
        "scale": False,
        "top": _above(max(exposure["limit"], *(owed[-1] for owed in exposure["owed"]))),
        "series": [
            {
                "name": f"{quantile:.0%} of cases",
                "tone": tones[place],
                "points": [
                    now,
                    *([day, owed[place]] for day, owed in zip(exposure["days"], exposure["owed"], strict=True)),
                ],
            }
            for place, quantile in enumerate(exposure["quantiles"])
        ],
        "limits": [
            {"value": exposure["margin"], "label": "margin held", "tone": "ok"},
            {"value": exposure["limit"], "label": "margin and layers", "tone": "ink"},
        ],
    }


def _above(amount: int) -> int:
    """The next round number above, for the end of an axis: two figures that say something."""
    step = max(1, int(10 ** (len(str(amount)) - 2)))
    return (amount * 21 // 20 // step + 1) * step


def bearers_chart(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Who bears each scenario, stacked, in USDC."""
    names = dict(SCENARIO_COLUMNS)
    return {
        "kind": "bars",
        "unit": "USDC",
        "stacked": True,
        "lying": True,
        "categories": [row["title"] for row in rows],
        "series": [
            {"name": names[key], "tone": tone, "values": [row[key] // 10**6 for row in rows]} for key, tone in BEARERS
        ],
    }
