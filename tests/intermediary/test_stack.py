"""The stack against its binding loss: parts pay in order, and nothing is taken twice or lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intermediary.stack import Stack, stack_of
from intermediary.templatetags.office import reach, stack_bar

MILLION = 10**12
AMOUNTS = st.integers(0, 10**15)


def stack(loss: int, margin: int, first: int, tail: int, senior: int) -> Stack:
    found = stack_of(
        {
            "exposure": 0, "position_loss": loss, "close_out_cost": 0, "margin_value": margin, "first_loss": first,
            "tail": tail, "senior_retention": senior, "scenario_title": "Crash",
        }
    )  # fmt: skip
    assert found is not None
    return found


@given(st.integers(-(10**15), 10**16), AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS)
def test_parts_pay_in_order_and_add_up_to_the_loss(loss: int, margin: int, first: int, tail: int, senior: int) -> None:
    found = stack(loss, margin, first, tail, senior)
    assert sum(part.taken_base_units for part in found.parts) + found.beyond_base_units == max(0, loss)
    for lower, upper in zip(found.parts, found.parts[1:], strict=False):
        assert lower.left_base_units == 0 or upper.taken_base_units == 0
    assert found.beyond_base_units == 0 or all(part.left_base_units == 0 for part in found.parts)


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (-5, "takes nothing"),
        (4, "stays inside the margin and takes 40% of it"),
        (11, "reaches the first loss and takes 50% of it"),
        (15, "reaches the tail bond and takes 75% of it"),
        (20, "exceeds everything by 1,000,000 USDC"),
    ],
)
def test_where_a_loss_reaches_is_said_and_drawn(loss: int, words: str) -> None:
    found = stack(loss * MILLION, 10 * MILLION, 2 * MILLION, 4 * MILLION, 3 * MILLION)
    assert reach(found) == words
    drawn = str(stack_bar(found))
    assert words in drawn
    assert ("f-bad" in drawn) == (loss == 20)


def test_a_verdict_without_numbers_has_no_stack() -> None:
    assert stack_of({"passed": True}) is None
    assert "no value" in str(stack_bar(None))
