"""What a class' expected loss and par spread would be were an assumption wrong: rows for paper, where no slider moves.

Read at nodes of the grid that the sliders use (`bonds.pricing.sheet`), so the PDF and the page say the same. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

BPS = 10_000


@dataclass(frozen=True)
class Sensitivity:
    """One assumption moved, and what every class would be then: (expected loss of the coming year as a share of
    principal, par spread in basis points), in the order of the classes asked for."""

    words: str
    figures: tuple[tuple[float, float], ...]


def sensitivities(axes: Mapping[str, Any], grids: Sequence[Mapping[str, Sequence[float]]]) -> list[Sensitivity]:
    """Today's assumptions first, then each moved alone: intensity and severity halved and doubled, correlation at the
    ends of its axis, the market price of risk at nothing and doubled. Both as a term sheet stores them."""
    base = axes["base"]
    moves: list[tuple[str, dict[str, float]]] = [("As today", {})]
    for axis, words in (("pd", "Default intensity"), ("severity", "Severity of a loss")):
        moves += [(f"{words} halved", {axis: 0.5}), (f"{words} doubled", {axis: 2.0})]
    moves += [(f"Correlation with distress {rho:.2f}", {"rho": rho}) for rho in (min(axes["rho"]), max(axes["rho"]))]
    moves += [("Market price of risk, lambda, nothing", {"load": 0.0}), ("Lambda doubled", {"load": max(axes["load"])})]
    return [Sensitivity(words, tuple(_at(axes, grid, {**base, **moved}) for grid in grids)) for words, moved in moves]


def _at(
    axes: Mapping[str, Any], grid: Mapping[str, Sequence[float]], values: Mapping[str, float]
) -> tuple[float, float]:
    node = 0
    for axis in ("pd", "severity", "rho"):
        node = node * len(axes[axis]) + _nearest(axes[axis], values[axis])
    priced = node * len(axes["load"]) + _nearest(axes["load"], values["load"])
    return grid["el"][node], BPS * grid["spread"][priced]


def _nearest(nodes: Sequence[float], value: float) -> int:
    """Today's own value is a node but for its seventh digit."""
    return min(range(len(nodes)), key=lambda index: abs(nodes[index] - value))
