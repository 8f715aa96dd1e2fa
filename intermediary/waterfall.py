"""The order of loss inside one relationship, pure (D1, D4).

Total loss T = N + X. X is what the intermediary's own choices added; it falls on its equity, then UNCOVERED, never on
the layers. N = close-out deficit + admissible costs - X - recoveries runs through the layers from the first loss up;
what no layer takes is UNCOVERED. Every layer's loss is recomputed from N, so write-downs and write-ups are changes of
one function and their order never matters. All amounts are integers of settlement base units.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Generic, TypeVar

Key = TypeVar("Key")


@dataclass(frozen=True)
class LayerBand(Generic[Key]):
    """[attach, detach) of N; `key` is the caller's name for the layer."""

    key: Key
    attach_base_units: int
    detach_base_units: int


@dataclass(frozen=True)
class Allocation(Generic[Key]):
    """Loss of each layer, and what is left uncovered; they sum to N (C1)."""

    layer_losses: tuple[tuple[Key, int], ...]
    uncovered_base_units: int


def layer_loss(net_loss: int, attach: int, detach: int) -> int:
    """min(max(N - attach, 0), detach - attach)."""
    return min(max(net_loss - attach, 0), detach - attach)


def net_loss(*, close_out_deficit: int, costs: int, added_by_us: int, recoveries: int) -> int:
    """N, never below zero: a surplus belongs to the defaulter, not to the layers."""
    return max(0, close_out_deficit + costs - added_by_us - recoveries)


def allocate(loss: int, layers: Sequence[LayerBand[Key]]) -> Allocation[Key]:
    """Spread N over a stack of layers that lie end to end from zero. Raises ValueError on a gap or an overlap."""
    assert loss >= 0, "N is never negative"
    top = 0
    for layer in layers:
        if layer.attach_base_units != top or layer.detach_base_units <= top:
            raise ValueError(f"layer [{layer.attach_base_units}, {layer.detach_base_units}) does not begin at {top}")
        top = layer.detach_base_units
    losses = tuple((layer.key, layer_loss(loss, layer.attach_base_units, layer.detach_base_units)) for layer in layers)
    return Allocation(losses, max(0, loss - top))


def share_steadily(amount: int, weights: Sequence[int]) -> list[int]:
    """Split an integer in proportion to weights, exactly, so that nobody's share falls when the amount grows.

    Highest averages (d'Hondt), ties by position: each share is at least the exact one rounded down, and at most its
    weight while the amount is at most their sum. Claims that are shared out anew after a receipt can only fall, and
    the order of receipts does not matter; largest remainders and rounded running sums promise neither.
    Raises ValueError when there is something to share and nobody to bear it.
    """
    total = sum(weights)
    if amount and not total:
        raise ValueError("nobody to share with")
    shares = [amount * weight // total if amount else 0 for weight in weights]
    for _ in range(amount - sum(shares)):
        first = max(range(len(weights)), key=lambda i: (Fraction(weights[i], shares[i] + 1), -i))
        shares[first] += 1
    return shares


def share_pro_rata(amount: int, weights: Sequence[int]) -> list[int]:
    """Split an integer in proportion to non-negative weights, exactly, largest remainder first, ties by position.

    Raises ValueError when there is something to share and nobody to bear it.
    """
    total = sum(weights)
    if amount and not total:
        raise ValueError("nobody to share with")
    if not amount:
        return [0] * len(weights)
    shares = [amount * weight // total for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(amount * weights[i] % total), i))
    for i in by_remainder[: amount - sum(shares)]:
        shares[i] += 1
    return shares
