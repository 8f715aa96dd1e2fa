"""Classes inside a relationship's tail: end to end, to the denomination, and exactly the tail."""

from dataclasses import replace
from uuid import UUID

import pytest

from bonds.offering import stages
from bonds.offering.layers import ClassPart, refuse_off_tail, refuse_uneven, slice_in
from bonds.offering.terms import SliceTerms
from intermediary.cover import Tail
from intermediary.errors import BadInput, Refusal
from tests.bonds import world
from tests.bonds.world import MILLION, USD
from tests.intermediary.builders import assets

CELL, SLICE = UUID(int=1), UUID(int=2)
TAIL = Tail(3 * MILLION // 2, 15 * MILLION // 2, SLICE, None)
TWO = (ClassPart("B", 0, 3_333), ClassPart("A", 3_333, 10_000))


def cut(*parts: ClassPart, retained_bps: int = 0, denomination: int = 1_000 * USD) -> SliceTerms:
    return slice_in(
        TAIL, cell_id=CELL, relationship="R1", parts=parts, denomination=denomination, retained_bps=retained_bps
    )


def test_classes_fill_the_tail_and_edges_fall_on_denominations() -> None:
    item = cut(*TWO)
    assert (item.attach_base_units, item.detach_base_units) == (TAIL.attach_base_units, TAIL.detach_base_units)
    assert item.widths_base_units == (1_999_000 * USD, 4_001_000 * USD)
    assert item.principals_base_units == item.widths_base_units


def test_a_retained_slice_is_taken_off_every_class() -> None:
    assert cut(*TWO, retained_bps=500).principals_base_units == (1_899_000 * USD, 3_800_000 * USD)


@pytest.mark.parametrize(
    ("parts", "code", "numbers"),
    [
        ((TWO[0], replace(TWO[1], from_bps=3_000)), "layers_overlap", {"overlap": 333}),
        ((TWO[0], replace(TWO[1], from_bps=3_400)), "layers_gap", {"gap": 67}),
        ((replace(TWO[0], from_bps=100), TWO[1]), "layers_gap", {"gap": 100}),
        ((TWO[0], replace(TWO[1], to_bps=9_999)), "layers_gap", {"gap": 1}),
        ((replace(TWO[0], to_bps=0), TWO[1]), "layer_empty", {"to_bps": 0}),
        ((TWO[0], replace(TWO[1], to_bps=10_001)), "layer_empty", {"to_bps": 10_001}),
    ],
)
def test_overlaps_and_gaps_are_refused_with_their_size(
    parts: tuple[ClassPart, ...], code: str, numbers: dict[str, int]
) -> None:
    with pytest.raises(BadInput) as refused:
        refuse_uneven(parts)
    assert refused.value.code == code
    assert numbers.items() <= refused.value.data.items()


def test_a_class_thinner_than_a_denomination_is_refused() -> None:
    with pytest.raises(BadInput, match="layer_too_thin"):
        cut(ClassPart("B", 0, 100), ClassPart("A", 100, 10_000), denomination=100_000 * USD)


@pytest.mark.parametrize(
    ("attach", "width", "code"),
    [
        (TAIL.attach_base_units, 6 * MILLION + 1, "slice_exceeds_need"),
        (TAIL.attach_base_units - 1, 6 * MILLION, "layers_overlap"),
        (TAIL.attach_base_units + 1, 6 * MILLION - 1, "layers_gap"),
        (TAIL.attach_base_units, 6 * MILLION - 1, "layers_gap"),
    ],
)
def test_a_slice_unlike_the_tail_is_refused(attach: int, width: int, code: str) -> None:
    with pytest.raises(Refusal) as refused:
        refuse_off_tail(SliceTerms(CELL, "R1", attach, (width,), (width,)), SLICE, TAIL)
    assert refused.value.code == code
    assert refused.value.data["tail_detach_base_units"] == TAIL.detach_base_units


def test_a_slice_needs_a_tail_that_names_it() -> None:
    item = cut(*TWO)
    refuse_off_tail(item, SLICE, TAIL)
    with pytest.raises(Refusal, match="tail_of_another_slice"):
        refuse_off_tail(item, UUID(int=3), TAIL)
    with pytest.raises(Refusal, match="no_tail_to_carry"):
        refuse_off_tail(item, SLICE, None)


@pytest.mark.django_db
def test_nothing_is_structured_over_a_tail_that_is_too_small() -> None:
    assets()
    terms = world.series_terms([world.covered_cell("R1", tail_base_units=5 * MILLION)])
    with pytest.raises(Refusal, match="slice_exceeds_need"):
        stages.structure(actor="desk", terms=terms)
