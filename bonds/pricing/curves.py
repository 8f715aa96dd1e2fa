"""What a price is conditional on beside the discount curve: the expected outstanding principal.

Immutable plain data, dated; a QuantLib object only inside `evaluation_date`, which nothing built there may leave.
"""

from dataclasses import dataclass
from datetime import date
from itertools import pairwise

import numpy as np
import QuantLib as ql
from numpy.typing import NDArray

from risk.market.curve import check_covered, check_nodes
from risk.market.quantlib import to_ql

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class OutstandingCurve:
    """Expected outstanding principal as a share of today's, linear between dated nodes, under one measure."""

    as_of: date
    dates: tuple[date, ...]
    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        check_nodes(self.as_of, self.dates, self.shares)
        if any(later > earlier for earlier, later in pairwise(self.shares)) or self.shares[-1] < 0:
            raise ValueError("expected principal falls in time and never below zero")

    def handle(self) -> ql.DefaultProbabilityTermStructureHandle:
        """The same as a survival probability; call inside `evaluation_date` only."""
        # QuantLib refuses a survival of zero: a note that is certain to be lost keeps 1e-10 of its 100.
        shares = [max(share, 1e-12) for share in self.shares]
        curve = ql.SurvivalProbabilityCurve([to_ql(d) for d in self.dates], shares, ql.Actual365Fixed())
        return ql.DefaultProbabilityTermStructureHandle(curve)

    def daily_shares(self, start: date, end: date) -> FloatArray:
        """The share on each day start <= d < end; `start` not before `as_of`."""
        check_covered(end, self.as_of, self.dates[-1])
        check_covered(start, self.as_of, self.dates[-1])
        nodes = [d.toordinal() for d in self.dates]
        return np.interp(np.arange(start.toordinal(), end.toordinal()), nodes, self.shares)

    def share(self, day: date) -> float:
        check_covered(day, self.as_of, self.dates[-1])
        return float(np.interp(day.toordinal(), [d.toordinal() for d in self.dates], self.shares))
