"""The layers of loss behind a relationship, each with what it may lose within a year, as pages show them."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from intermediary import ports
from intermediary.models import Layer


def layers_table(layers: Sequence[Layer], cell_id: UUID) -> dict[str, Any]:
    """Context of `parts/layers_table.html`: these layers of the relationship, each with its live risk or None; and the
    valuation that this was measured at, None where none was."""
    risks = ports.layer_risks(cell_id)
    return {
        "measured_layers": [(layer, risks.get(layer.id)) for layer in layers],
        "measured_at": next((risk.as_of for risk in risks.values()), None),
    }
