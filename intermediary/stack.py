"""What stands behind one relationship in the stress that binds its admission test, in the order in which it pays:
margin at its stressed value, first loss, tail bond, senior retention; and how far up the loss would reach.

The amounts are the verdict's own (`margin.admission`), so that drawing, table and verdict never differ.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ORDER = (
    ("MARGIN", "Margin", "margin_value"),
    ("FIRST_LOSS", "First loss", "first_loss"),
    ("TAIL", "Tail bond", "tail"),
    ("SENIOR", "Senior retention", "senior_retention"),
)


@dataclass(frozen=True)
class Part:
    """One part of the stack; settlement base units. `taken`: what the loss takes of it, 0 to `size`."""

    kind: str
    name: str
    size_base_units: int
    taken_base_units: int

    @property
    def left_base_units(self) -> int:
        """What stays."""
        return self.size_base_units - self.taken_base_units


@dataclass(frozen=True)
class Stack:
    """The parts against the loss before margin: exposure already owed, loss of the positions, cost of the close-out
    (settlement base units; not above zero: the book gains). `scenario` is its title. `margin_is_in_the_loss`: the loss
    is of positions and margin together, and margin stands at today's value, as expected shortfall is measured."""

    parts: tuple[Part, ...]
    loss_base_units: int
    scenario: str
    margin_is_in_the_loss: bool = False

    @property
    def whole_base_units(self) -> int:
        """All parts."""
        return sum(part.size_base_units for part in self.parts)

    @property
    def beyond_base_units(self) -> int:
        """What no part takes: it would be UNCOVERED."""
        return max(0, self.loss_base_units - self.whole_base_units)

    @property
    def reached(self) -> Part | None:
        """The last part that the loss takes anything of; None when it takes nothing."""
        return next((part for part in reversed(self.parts) if part.taken_base_units), None)


def stack_of(verdict: Mapping[str, Any]) -> Stack | None:
    """The stack of a stored verdict of the admission test; None for one without its numbers."""
    if "margin_value" not in verdict:
        return None
    loss = int(verdict["exposure"]) + int(verdict["position_loss"]) + int(verdict["close_out_cost"])
    left, parts = max(0, loss), []
    for kind, name, key in ORDER:
        size = max(0, int(verdict[key]))
        taken = min(left, size)
        left -= taken
        parts.append(Part(kind, name, size, taken))
    together = str(verdict.get("scenario", "")).startswith("es_")
    return Stack(tuple(parts), loss, str(verdict.get("scenario_title", "")), together)
