"""The border of floats and money: floats are exact ratios, and cross it with the stated rounding and no other."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intermediary.money import EXACT, amount_from_float, requirement_from_float, round_down, round_up

AMOUNTS = st.floats(-1e12, 1e12, allow_nan=False)


@given(AMOUNTS, st.sampled_from([1, 10, 10**10]))
def test_a_requirement_is_the_exact_value_of_its_float_rounded_up(value: float, unit: int) -> None:
    assert requirement_from_float(value, 6, unit) == round_up(Decimal(value).scaleb(6, EXACT), unit)


@given(AMOUNTS)
def test_an_amount_held_is_the_exact_value_of_its_float_rounded_down(value: float) -> None:
    assert amount_from_float(value, 8) == round_down(Decimal(value).scaleb(8, EXACT))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        requirement_from_float(value, 6)
    with pytest.raises(ValueError, match="finite"):
        amount_from_float(value, 6)
