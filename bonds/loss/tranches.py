"""Slices and tranches: how much principal a loss takes, and gives back, exactly.

A *slice* is principal that stands behind one layer `[attach, detach)` of one relationship's net cumulative loss N.
Slices are ring-fenced: each is a function of its own relationship's N alone. The classes of a series cut every slice
into layers, junior first, and a class is its parts of all slices.

The loss of a slice is always recomputed from N, so write-downs and write-ups are differences of a function of N:
exact, and the same in whatever order losses and recoveries arrive. Recoveries therefore refill the most senior layer
first without any rule saying so. Cash, notes and chain are not here: this file is pure and works in integer base
units of the settlement token.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from uuid import UUID

from intermediary.errors import Refusal
from intermediary.waterfall import layer_loss


@dataclass(frozen=True)
class Slice:
    """Terms of a slice. `principal` may be below the width of the layer: the intermediary retains the difference as
    a vertical slice and bears it pro rata."""

    relationship_id: UUID
    attach_base_units: int
    detach_base_units: int
    principal_base_units: int

    def __post_init__(self) -> None:
        if not 0 <= self.attach_base_units < self.detach_base_units:
            raise ValueError(f"a layer needs 0 <= attach < detach: {self}")
        if not 0 < self.principal_base_units <= self.width_base_units:
            raise ValueError(f"principal must be within the width of the layer: {self}")

    @property
    def width_base_units(self) -> int:
        return self.detach_base_units - self.attach_base_units


@dataclass(frozen=True)
class SliceState:
    """What has happened to a slice's principal so far. The totals only grow; `outstanding` is what is left.
    `ruled_off` is what an expert found not to be the holders' loss."""

    slice: Slice
    outstanding_base_units: int
    written_down_base_units: int = 0
    written_up_base_units: int = 0
    redeemed_base_units: int = 0
    ruled_off_base_units: int = 0

    def __post_init__(self) -> None:
        amounts = (self.outstanding_base_units, self.written_down_base_units, self.redeemed_base_units)
        if min(*amounts, self.ruled_off_base_units, self.written_up_base_units, self.net_written_down_base_units) < 0:
            raise ValueError(f"a slice cannot hold a negative amount: {self}")

    @classmethod
    def issued(cls, slice_: Slice) -> "SliceState":
        return cls(slice=slice_, outstanding_base_units=slice_.principal_base_units)

    @property
    def net_written_down_base_units(self) -> int:
        """Written down and not written up again: the recovery right that holders still have."""
        return self.written_down_base_units - self.written_up_base_units


@dataclass(frozen=True)
class PrincipalChange:
    """What a new N does to a slice: at most one of write-down and write-up is above zero.

    `unabsorbed` is the noteholders' share of the loss that finds no principal because it was redeemed before.
    """

    write_down_base_units: int
    write_up_base_units: int
    unabsorbed_base_units: int


def slice_loss_base_units(slice_: Slice, net_loss_base_units: int) -> int:
    """The noteholders' part of the layer's loss at net cumulative loss N >= 0, rounded down; the retained vertical
    slice bears the rest. All of the principal once N reaches detach."""
    if net_loss_base_units < 0:
        raise ValueError("a net cumulative loss below zero is a surplus of the client, not a loss of a layer")
    loss = layer_loss(net_loss_base_units, slice_.attach_base_units, slice_.detach_base_units)
    return loss * slice_.principal_base_units // slice_.width_base_units


def principal_change(state: SliceState, net_loss_base_units: int) -> PrincipalChange:
    """The change that brings a slice to the net cumulative loss N of its relationship, less what an expert ruled off.
    Repeating it changes nothing."""
    loss = max(slice_loss_base_units(state.slice, net_loss_base_units) - state.ruled_off_base_units, 0)
    absorbed = min(loss, state.slice.principal_base_units - state.redeemed_base_units)
    change = absorbed - state.net_written_down_base_units
    return PrincipalChange(
        write_down_base_units=max(change, 0),
        write_up_base_units=max(-change, 0),
        unabsorbed_base_units=loss - absorbed,
    )


def changes_of_slice(states: Sequence[SliceState], net_loss_base_units: int) -> list[PrincipalChange]:
    """The changes of the classes of one slice, junior first in and out. Their total follows N, and the escrow knows
    only the total: it writes junior notes down first and refills senior notes first. What an expert ruled off may have
    been another class's, so the total is shared here as the escrow shares it."""
    alone = [principal_change(state, net_loss_base_units) for state in states]
    left = sum(change.write_down_base_units - change.write_up_base_units for change in alone)
    down, up = max(left, 0), max(-left, 0)
    downs: list[int] = []
    ups: list[int] = []
    for state in states:
        downs.append(min(down, state.outstanding_base_units))
        down -= downs[-1]
    for state in reversed(states):
        ups.insert(0, min(up, state.net_written_down_base_units))
        up -= ups[0]
    return [
        PrincipalChange(fall, rise, change.unabsorbed_base_units)
        for fall, rise, change in zip(downs, ups, alone, strict=True)
    ]


def apply_change(state: SliceState, change: PrincipalChange) -> SliceState:
    """The state after a write-down or write-up. Refuses more than there is to write down or to give back."""
    down, up = change.write_down_base_units, change.write_up_base_units
    if down > state.outstanding_base_units:
        raise Refusal(
            "exceeds_outstanding",
            "A write-down cannot exceed the outstanding principal.",
            write_down_base_units=down,
            outstanding_base_units=state.outstanding_base_units,
        )
    if up > state.net_written_down_base_units:
        raise Refusal(
            "exceeds_written_down",
            "A write-up cannot exceed what was written down.",
            write_up_base_units=up,
            net_written_down_base_units=state.net_written_down_base_units,
        )
    return replace(
        state,
        outstanding_base_units=state.outstanding_base_units - down + up,
        written_down_base_units=state.written_down_base_units + down,
        written_up_base_units=state.written_up_base_units + up,
    )


def redeem(state: SliceState, amount_base_units: int) -> SliceState:
    """The state after principal is paid back to holders."""
    if not 0 <= amount_base_units <= state.outstanding_base_units:
        raise Refusal(
            "exceeds_outstanding",
            "A redemption must lie between zero and the outstanding principal.",
            amount_base_units=amount_base_units,
            outstanding_base_units=state.outstanding_base_units,
        )
    return replace(
        state,
        outstanding_base_units=state.outstanding_base_units - amount_base_units,
        redeemed_base_units=state.redeemed_base_units + amount_base_units,
    )


def reserved_base_units(state: SliceState, estimated_net_loss_base_units: int, buffer: Fraction) -> int:
    """Principal kept back at the scheduled maturity for events of the risk period whose loss is not determined.

    min(outstanding, max(0, loss of the slice at buffer x estimated N - net written down)), the buffered N rounded up;
    the rest of the outstanding principal is released. Reserved + released = outstanding.
    """
    buffered_loss = -(-estimated_net_loss_base_units * buffer.numerator // buffer.denominator)
    expected = slice_loss_base_units(state.slice, buffered_loss) - state.net_written_down_base_units
    return min(state.outstanding_base_units, max(0, expected))
