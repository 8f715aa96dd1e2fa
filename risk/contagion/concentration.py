"""Concentration: how much hangs on one venue, one custodian, one stablecoin.

Shares of a whole, their Herfindahl-Hirschman index (sum of squared shares: 1 over the number of equal parts, 1 when all
is one) and the largest.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from risk.contagion.network import Holding


@dataclass(frozen=True)
class Concentration:
    """Amounts by name, the largest first (equal ones by name)."""

    amounts: tuple[tuple[str, Fraction], ...]

    @property
    def total(self) -> Fraction:
        """The whole."""
        return sum((amount for _, amount in self.amounts), Fraction(0))

    @property
    def shares(self) -> tuple[tuple[str, Fraction], ...]:
        """Share of each name in the whole; empty when there is nothing."""
        return tuple((name, amount / self.total) for name, amount in self.amounts) if self.total else ()

    @property
    def hhi(self) -> Fraction:
        """Sum of squared shares, from 1/n to 1; 0 when there is nothing."""
        return sum((share * share for _, share in self.shares), Fraction(0))

    @property
    def largest(self) -> str:
        """Name of the largest, empty when there is nothing."""
        return self.amounts[0][0] if self.total else ""


def concentration(holdings: Iterable[Holding], by: Literal["asset", "place", "owner"]) -> Concentration:
    """Holdings by what they are, where they lie or whose they are. Those without that name are left out."""
    totals: dict[str, Fraction] = defaultdict(Fraction)
    for holding in holdings:
        if getattr(holding, by):
            totals[getattr(holding, by)] += Fraction(holding.amount)
    return Concentration(tuple(sorted(totals.items(), key=lambda one: (-one[1], one[0]))))
