"""The extension schedule in figures: what would be kept back of each class at example estimates of a loss.

At the scheduled maturity a slice keeps, of a default that was noticed inside the risk period and whose loss is not
determined, what the terms' factor times the estimated net loss N would take of it; the rest is repaid. The factor falls
with the months since the notice, and at the final maturity nothing is kept any more. The examples put N in the middle
of each class and at the end of the last; the arithmetic is the one that servicing keeps principal back by
(`bonds.loss.tranches.reserved_base_units`). Pure.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from bonds.loss.tranches import Slice, SliceState, reserved_base_units
from bonds.offering.terms import SeriesTerms, SliceTerms


@dataclass(frozen=True)
class KeptOfClass:
    """What is kept of one class, base units, at each step of the schedule."""

    symbol: str
    principal: int
    kept: tuple[int, ...]


@dataclass(frozen=True)
class Example:
    """One estimate of N and what it keeps of every class, senior first."""

    estimate: int
    classes: tuple[KeptOfClass, ...]


@dataclass(frozen=True)
class SliceExamples:
    """Of the covered relationships whose slices are alike."""

    relationships: tuple[str, ...]
    examples: tuple[Example, ...]


def examples_of(terms: SeriesTerms) -> list[SliceExamples]:
    """In the order of the slices, each layer once: equal slices keep equal amounts."""
    alike: dict[tuple[int, tuple[int, ...], tuple[int, ...]], list[SliceTerms]] = defaultdict(list)
    for item in terms.slices:
        alike[item.attach_base_units, item.widths_base_units, item.principals_base_units].append(item)
    return [
        SliceExamples(tuple(item.relationship for item in items), tuple(_examples(terms, items[0])))
        for items in alike.values()
    ]


def _examples(terms: SeriesTerms, item: SliceTerms) -> Iterable[Example]:
    edges = [item.attach_base_units]
    for width in item.widths_base_units:
        edges.append(edges[-1] + width)
    states = [
        SliceState.issued(Slice(item.cell_id, low, high, principal))
        for (low, high), principal in zip(pairwise(edges), item.principals_base_units, strict=True)
    ]
    factors = [Fraction(factor) for _, factor in terms.extension_buffers]
    for estimate in [*((low + high) // 2 for low, high in pairwise(edges)), edges[-1]]:
        kept = [
            KeptOfClass(
                named.symbol,
                state.slice.principal_base_units,
                tuple(reserved_base_units(state, estimate, factor) for factor in factors),
            )
            for named, state in zip(terms.classes, states, strict=True)
        ]
        yield Example(estimate, tuple(reversed(kept)))
