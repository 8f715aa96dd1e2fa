"""What the intermediary asks of other parts while it commits. The composition root binds them at start."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol
from uuid import UUID


@dataclass(frozen=True)
class AdmissionResult:
    """The verdict of the admission test (D2) with all its numbers; amounts in settlement base units."""

    passed: bool
    stressed_loss_base_units: int
    resources_base_units: int
    binding_scenario: str
    data: dict[str, Any] = field(default_factory=dict)

    def numbers(self) -> dict[str, Any]:
        """The verdict as a plain JSON value, to be stored or shown."""
        return {
            "passed": self.passed,
            "stressed_loss_base_units": self.stressed_loss_base_units,
            "resources_base_units": self.resources_base_units,
            "binding_scenario": self.binding_scenario,
            "data": self.data,
        }


@dataclass(frozen=True)
class LayerSizes:
    """The layers that would stand behind a relationship, in settlement base units."""

    first_loss_base_units: int
    tail_base_units: int
    senior_base_units: int


class RiskGate(Protocol):
    """The admission test at commit time; runs where the numbers live, inside the caller's transaction."""

    def check_trades(self, changes: dict[UUID, list[tuple[UUID, Decimal]]]) -> dict[UUID, AdmissionResult]:
        """Each cell's verdict if these (instrument, signed quantity) changes were booked. Headroom is checked too."""

    def check_line(self, cell_id: UUID, threshold_base_units: int, layers: LayerSizes) -> AdmissionResult:
        """The verdict on a cell's present book under a proposed line."""


_bound: dict[str, RiskGate] = {}


def bind_risk_gate(gate: RiskGate) -> None:
    """Called once by the composition root."""
    _bound["risk"] = gate


def risk_gate() -> RiskGate:
    """The bound gate; a process without one may not take on risk."""
    return _bound["risk"]
