"""How the classes of a series lie in each relationship's tail layer.

A class is said as a part of the tail, from..to in basis points of its width, the same in every slice; the tail's own
edges come from the relationship's credit line, which is what the admission test needs and no more. Edges fall on whole
denominations. Refused by name: classes that overlap or leave a gap, and a slice that is not the tail.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from uuid import UUID

from bonds.offering.terms import BPS, SliceTerms
from intermediary.cover import Tail
from intermediary.errors import BadInput, Refusal


@dataclass(frozen=True)
class ClassPart:
    """A class' part of every tail: [from_bps, to_bps) of its width, 0 the attachment, 10,000 the detachment."""

    name: str
    from_bps: int
    to_bps: int


def refuse_uneven(parts: Sequence[ClassPart]) -> None:
    """Classes lie end to end from the tail's attachment to its detachment, junior first."""
    edges = [("the attachment", 0, 0), *((part.name, part.from_bps, part.to_bps) for part in parts)]
    for part in parts:
        if not 0 <= part.from_bps < part.to_bps <= BPS:
            raise BadInput(
                "layer_empty",
                f"{part.name} is no part of the tail: from less to more, within 0 and 100%.",
                from_bps=part.from_bps,
                to_bps=part.to_bps,
            )
    for (below, _, top), (above, bottom, _) in pairwise([*edges, ("the detachment", BPS, BPS)]):
        if bottom < top:
            raise BadInput(
                "layers_overlap",
                f"{above} begins inside {below}.",
                begins_bps=bottom,
                ends_bps=top,
                overlap=top - bottom,
            )
        if bottom > top:
            raise BadInput(
                "layers_gap",
                f"Nothing lies between {below} and {above}.",
                ends_bps=top,
                begins_bps=bottom,
                gap=bottom - top,
            )


def slice_in(
    tail: Tail, *, cell_id: UUID, relationship: str, parts: Sequence[ClassPart], denomination: int, retained_bps: int
) -> SliceTerms:
    """The slice that carries this tail, with the principal of each class; the rest of each width is retained."""
    refuse_uneven(parts)
    width = tail.detach_base_units - tail.attach_base_units
    edges = [width * part.to_bps // BPS // denomination * denomination for part in parts[:-1]]
    widths = tuple(above - below for below, above in pairwise([0, *edges, width]))
    principals = tuple(each * (BPS - retained_bps) // BPS // denomination * denomination for each in widths)
    if not all(principals):
        raise BadInput(
            "layer_too_thin",
            f"A class has less than one denomination in the tail of {relationship}.",
            relationship=relationship,
            width_base_units=width,
            denomination_base_units=denomination,
        )
    return SliceTerms(cell_id, relationship, tail.attach_base_units, widths, principals)


def refuse_off_tail(item: SliceTerms, slice_id: UUID, tail: Tail | None) -> None:
    """A slice carries exactly the tail of its relationship's line: what the admission test needs, and no more."""
    if tail is None:
        raise Refusal(
            "no_tail_to_carry",
            "No credit line of this relationship has or awaits a tail layer.",
            relationship=item.relationship,
        )
    numbers = {
        "relationship": item.relationship,
        "attach_base_units": item.attach_base_units,
        "detach_base_units": item.detach_base_units,
        "tail_attach_base_units": tail.attach_base_units,
        "tail_detach_base_units": tail.detach_base_units,
    }
    if item.detach_base_units > tail.detach_base_units:
        raise Refusal(
            "slice_exceeds_need", "The slice is larger than the tail that the admission test needs.", **numbers
        )
    if item.attach_base_units < tail.attach_base_units:
        raise Refusal("layers_overlap", "The slice begins inside the first-loss retention.", **numbers)
    if item.attach_base_units > tail.attach_base_units or item.detach_base_units < tail.detach_base_units:
        raise Refusal("layers_gap", "The slice leaves a part of the tail to nobody.", **numbers)
    if tail.slice_id != slice_id:
        raise Refusal("tail_of_another_slice", "The credit line names another slice for this tail.", **numbers)
