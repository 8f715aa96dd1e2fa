"""The profits of one market, laid out for those who look single scenarios up instead of searching all of them. Pure.

A book's losses in a few scenarios are sums of a few rows of this matrix, which the search of all scenarios would have
in its columns. Beside it stands what is needed to say how far any other scenario can have come from one market to the
next.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


@dataclass(frozen=True)
class ProfitLookup:
    """USD per unit held, in single precision. `scenario_id` names the scenarios, `by_instrument` (I, S), `by_scenario`
    (S, I) the same, `largest` (I,) sizes of profit or loss."""

    scenario_id: str
    by_instrument: Singles
    by_scenario: Singles
    largest: Floats

    @classmethod
    def of(cls, scenario_id: str, profit: Singles) -> Self:
        """Of `profit` (I, S)."""
        largest = np.maximum(profit.max(axis=1), -profit.min(axis=1)).astype(np.float64)
        return cls(scenario_id, profit, np.ascontiguousarray(profit.T), largest)

    def reach_from(self, before: Self) -> Floats | None:
        """(I, 3) the most that a unit gained in any scenario since the market `before`, the most that it lost, and the
        largest sizes of its profit in both markets, added. None where the scenarios are others: nothing would be left
        where it was. Whoever lost in one of them before cannot have come further than that, whatever has moved."""
        if before.scenario_id != self.scenario_id or before.by_instrument.shape != self.by_instrument.shape:
            return None
        reach = np.zeros((self.largest.size, 3))
        moved = np.flatnonzero((self.by_instrument != before.by_instrument).any(axis=1))
        change = self.by_instrument[moved].astype(np.float64) - before.by_instrument[moved]
        if moved.size:
            reach[moved, 0], reach[moved, 1] = change.max(axis=1), -change.min(axis=1)
        reach[:, 2] = self.largest + before.largest
        return reach
