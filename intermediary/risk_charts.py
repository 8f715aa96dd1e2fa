"""Drawings of a relationship's risk that its client and the officers both see, as data for charts.js.

What is drawn was measured by the engine and is stored; nothing is computed here but the place of a line.
"""

from collections.abc import Mapping
from typing import Any

BEARERS = (
    ("margin", "On margin", "quiet"),
    ("first_loss", "First loss", "layer-1"),
    ("tail", "Tail bond", "layer-2"),
    ("senior", "Senior", "layer-3"),
    ("uncovered", "UNCOVERED", "bad"),
)
FAN_TONES = ("quiet", "accent", "wait", "bad")  # lowest quantile first


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
                "name": f"{100 * quantile:g}% of cases",
                "tone": tone,
                "points": [
                    now,
                    *([day, owed[place]] for day, owed in zip(exposure["days"], exposure["owed"], strict=True)),
                ],
            }
            for place, (quantile, tone) in enumerate(zip(exposure["quantiles"], FAN_TONES, strict=False))
        ],
        "limits": _fan_limits(exposure),
    }


def _fan_limits(exposure: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Margin, then margin and layers; one line where no layer is funded."""
    margin = {"value": exposure["margin"], "label": "margin held", "tone": "ok"}
    if exposure["limit"] == exposure["margin"]:
        return [margin | {"label": "margin held, no layers"}]
    return [margin, {"value": exposure["limit"], "label": "margin and layers", "tone": "ink"}]


def _above(amount: int) -> int:
    """The next round number above, for the end of an axis: two figures that say something."""
    step = max(1, int(10 ** (len(str(amount)) - 2)))
    return (amount * 21 // 20 // step + 1) * step


def bearers_chart(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Who bears each scenario, stacked, in USDC."""
    return {
        "kind": "bars",
        "unit": "USDC",
        "stacked": True,
        "lying": True,
        "categories": [row["title"] for row in rows],
        "series": [
            {"name": name, "tone": tone, "values": [row[key] // 10**6 for row in rows]} for key, name, tone in BEARERS
        ],
    }
