"""Many accounts judged at once get the numbers that each gets alone, to the last base unit."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intermediary.money import amount_from_float, requirement_from_float
from risk.margin.admission import Resources, assess
from risk.margin.requirement import RequirementBatch
from risk.margin.verdicts import Layers, judge, units_down, units_up
from tests.risk.builders import book, required

MILLION = 10**12  # base units of a million dollars
ONES = st.one_of(
    st.floats(-1e11, 1e11),
    st.integers(-(2**40), 2**40).map(lambda units: units / 10**6),  # a hair beside whole base units
    st.integers(-(2**36), 2**36).map(float),
)


@given(st.lists(ONES, min_size=1, max_size=30))
def test_arrays_round_as_single_floats_do(dollars: list[float]) -> None:
    array = np.array(dollars)
    assert units_up(array).tolist() == [requirement_from_float(one, 6) for one in dollars]
    assert units_down(array).tolist() == [amount_from_float(one, 6) for one in dollars]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        units_up(np.array([1.0, bad]))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(OverflowError):
        units_up(np.array([2e12]))


def batch(name: str) -> RequirementBatch:
    held = book({"USDC": 2e6}, {"USDC": 1e6, "BTC": 3.0}, {}, {"USDC": 5e6}, {"USDC": 1e5})
    positions: tuple[dict[str, float], ...] = (
        {"BTC-PERP": 10.0},
        {"ETH-PERP": -900.0, "BTC-CALL": 4.0},
        {},
        {"SOL-PERP": 9_000.0, "DOGE-PERP": -1e6, "BTC-PUT": -20.0},
        {"BTC-PERP": 100.0},
    )
    return required(*positions, held=held, name=name)


@pytest.mark.parametrize("name", ["standard", "worked-example"])
def test_verdicts_are_those_of_each_account_alone(name: str) -> None:
    found = batch(name)
    alone = [
        Resources(exposure=exposure, first_loss=first, tail=tail, senior_retention=senior)
        for exposure, first, tail, senior in [
            (0, 0, 0, 0),
            (MILLION // 3, MILLION, 0, 2 * MILLION),
            (-7, 0, 0, 0),
            (-MILLION, 0, MILLION // 7, 0),
            (MILLION, MILLION, 2, 3),
        ]
    ]
    columns = [
        [getattr(item, name) for item in alone] for name in ("exposure", "first_loss", "tail", "senior_retention")
    ]
    together = judge(found, Layers(*(np.array(column, dtype=np.int64) for column in columns)))
    decisions = [assess(found.outcomes(account), resources) for account, resources in enumerate(alone)]
    assert [together.as_data(account) for account in range(5)] == [decision.as_data() for decision in decisions]
    assert {decision.passed for decision in decisions} == {True, False}
    assert found.scenarios[0][2] <= Decimal(1)


def test_a_layer_below_zero_is_refused() -> None:
    zeros = np.zeros(5, dtype=np.int64)
    with pytest.raises(ValueError, match="layer"):
        judge(batch("standard"), Layers(zeros, zeros - 1, zeros, zeros))
