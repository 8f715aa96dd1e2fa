"""What a requirement is made of: parts and reductions add up to it to the base unit, and nothing is hidden."""

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from intermediary.margin_parts import TONES, UNEXPLAINED, added_up, parts_of
from intermediary.money import requirement_from_float
from intermediary.templatetags.office import margin_bar

MILLION = 10**12
LINES = st.lists(st.floats(0.0, 1e9, allow_nan=False), min_size=1, max_size=len(TONES))


def state(lines: list[float], exposure: int, threshold: int) -> Any:
    amount = requirement_from_float(sum(lines), 6)
    return SimpleNamespace(
        exposure_base_units=exposure,
        independent_amount_base_units=amount,
        threshold_base_units=threshold,
        required_base_units=max(0, exposure + amount - threshold),
        breakdown={"lines": [list(one) for one in zip(TONES, lines, strict=False)]},
    )


@given(LINES, st.integers(-(10**15), 10**15), st.integers(0, 10**15))
def test_the_rows_add_up_to_the_requirement(lines: list[float], exposure: int, threshold: int) -> None:
    found = parts_of(state(lines, exposure, threshold))
    assert sum(part.amount_base_units for part, _ in found.rows) == found.required_base_units
    assert found.unused_base_units >= 0
    assert UNEXPLAINED not in {part.name for part, _ in found.rows}
    book = added_up([found, found])
    assert book is not None
    assert sum(part.amount_base_units for part, _ in book.rows) == 2 * found.required_base_units


def test_a_threshold_is_the_pale_end_of_the_bar() -> None:
    drawn = str(margin_bar(parts_of(state([6e6, 2e6], 2 * MILLION, 5 * MILLION))))
    assert drawn.count("<rect") == 4
    assert '<rect class="f-less" x="500.00"' in drawn
    assert "5,000,000 USDC required: Exposure not settled 2,000,000" in drawn


def test_a_difference_that_no_rounding_explains_is_shown() -> None:
    odd = state([1e6], 0, 0)
    odd.independent_amount_base_units = odd.required_base_units = 3 * MILLION
    (_, hidden) = (part for part, _ in parts_of(odd).rows)
    assert (hidden.name, hidden.amount_base_units) == (UNEXPLAINED, 2 * MILLION)


def test_nothing_asked_has_no_bar() -> None:
    assert "no value" in str(margin_bar(None))
    assert added_up([]) is None
