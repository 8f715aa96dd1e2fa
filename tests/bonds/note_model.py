"""A note and its holders as plain integers, written from the terms and not from the contract: what both must equal.

Cash is shared out over a running index of cash per unit, in units of 10^-36; what does not divide is carried to the
next sharing. A holder's account is settled, rounded down, whenever its units change or it takes its cash.
"""

from collections import defaultdict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from bonds.loss.tranches import SliceState

SCALE = 10**36
BPS = 10_000
Holder = TypeVar("Holder", bound=Hashable)


def break_of(state: SliceState) -> int:
    """B8: outstanding + net written down + redeemed - original; zero, or the books are broken."""
    ended = state.net_written_down_base_units + state.redeemed_base_units
    return state.outstanding_base_units + ended - state.slice.principal_base_units


def borne(net_loss: int, attach: int, width: int, retained_bps: int = 0) -> int:
    """What the notes of one class bear of a relationship's N: the loss of their layer [attach, attach + width) less the
    intermediary's share of it, rounded down."""
    return min(max(net_loss - attach, 0), width) * (BPS - retained_bps) // BPS


def principal_of_each(units: Mapping[Holder, int], principal: int) -> dict[Holder, int]:
    """What each holder has of a class' principal, rounded down as the note contract rounds it."""
    return {holder: principal * held // sum(units.values()) for holder, held in units.items()}


@dataclass
class Note:
    """One class: units by holder, and what each is owed."""

    units: dict[str, int]
    principal: int = 0
    written_down: int = 0
    redeemed: int = 0
    index: int = 0
    carried: int = 0
    settled_at: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    owed: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    taken: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    @property
    def supply(self) -> int:
        return sum(self.units.values())

    def share_out(self, amount: int, *, repays: bool = False) -> None:
        """A coupon, or with `repays` principal."""
        if repays:
            self.principal -= amount
            self.redeemed += amount
        whole = amount * SCALE + self.carried
        self.index += whole // self.supply
        self.carried = whole % self.supply

    def fall(self, loss: int) -> None:
        self.principal -= loss
        self.written_down += loss

    def rise(self, gain: int) -> None:
        self.principal += gain
        self.written_down -= gain

    def claimable(self, holder: str) -> int:
        earned = self.units.get(holder, 0) * (self.index - self.settled_at[holder]) // SCALE
        return self.owed[holder] + earned

    def take(self, holder: str) -> int:
        """Pay a holder all it can claim."""
        self._settle(holder)
        amount, self.owed[holder] = self.owed[holder], 0
        self.taken[holder] += amount
        return amount

    def transfer(self, sender: str, receiver: str, units: int) -> None:
        self._settle(sender)
        self._settle(receiver)
        self.units[sender] -= units
        self.units[receiver] = self.units.get(receiver, 0) + units

    def principal_of(self, holder: str) -> int:
        return self.units.get(holder, 0) * self.principal // self.supply

    def _settle(self, holder: str) -> None:
        self.owed[holder] = self.claimable(holder)
        self.settled_at[holder] = self.index
