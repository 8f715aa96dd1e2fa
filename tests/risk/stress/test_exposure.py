"""Future exposure against the scenarios themselves, and crowding against sums by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from risk.stress.exposure import DAYS, QUANTILES, crowding, future_exposure, over
from tests.risk.builders import MARKS, book, matrices, scenarios

BTC = float(MARKS["BTC"])
SHOCKS = scenarios().shocks


def test_one_day_of_a_linear_book_is_the_quantile_of_its_scenarios() -> None:
    found = future_exposure(matrices(), book({"BTC": 100}), np.array([1e5]), SHOCKS)
    column = SHOCKS.coins.index("BTC")
    owed = np.maximum(1e5 + 100 * BTC * (1 - SHOCKS.price_ratio[:, column]), 0.0)
    np.testing.assert_allclose(found[0, DAYS.index(1.0)], np.quantile(owed, QUANTILES))


def test_ten_days_are_the_root_of_ten_of_log_moves() -> None:
    ten = over(SHOCKS, 10.0, 1.0)
    np.testing.assert_allclose(np.log(ten.price_ratio), np.sqrt(10) * np.log(SHOCKS.price_ratio))
    np.testing.assert_allclose(np.log(ten.vol_ratio), np.sqrt(10) * np.log(SHOCKS.vol_ratio))
    np.testing.assert_array_equal(ten.premium, SHOCKS.premium)
    same = over(SHOCKS, 2.0, 2.0)
    np.testing.assert_array_equal(same.price_ratio, SHOCKS.price_ratio)


def test_more_time_and_a_higher_quantile_owe_more() -> None:
    books = book({"BTC-PERP": 100}, {"BTC-CALL": -50, "ETH-PERP": 900}, {"XRP-PERP": -1e6})
    found = future_exposure(matrices(), books, np.zeros(3), SHOCKS)
    assert found.shape == (3, len(DAYS), len(QUANTILES))
    assert (found >= 0.0).all()
    assert (np.diff(found[:, :, 1:], axis=1) > 0.0).all()
    assert (np.diff(found, axis=2) >= 0.0).all()


def test_options_sold_are_valued_anew_not_by_their_delta() -> None:
    """Ten days of short calls: far above the delta's share of ten days of the coin."""
    alone = future_exposure(matrices(), book({"BTC-CALL": -100}), np.zeros(1), SHOCKS)[0, -1, -1]
    row = next(i for i, item in enumerate(matrices().table.instruments) if item.id == "BTC-CALL")
    delta = float(matrices().table.delta_usd[row]) / BTC
    linear = future_exposure(matrices(), book({"BTC": -100 * delta}), np.zeros(1), SHOCKS)[0, -1, -1]
    assert alone > 1.3 * linear


@given(arrays(np.float64, (7, 3), elements=st.floats(-1e9, 1e9)))
def test_shares_are_shares_and_sides_are_the_whole(delta: np.ndarray) -> None:
    for one in crowding(("A", "B", "C"), delta):
        own = delta[:, "ABC".index(one.coin)]
        assert one.long + one.short == pytest.approx(np.abs(own).sum())
        assert one.long - one.short == pytest.approx(own.sum(), abs=1e-3)
        assert 0.0 <= one.one_sided <= 1.0
        assert 0.0 < one.largest_share <= 1.0 + 1e-12
        assert 1 <= len(one.largest) <= 5
        for share, side in ((one.first_long, own), (one.first_short, -own)):
            whole = np.maximum(side, 0.0).sum()
            assert share == (pytest.approx(side.max() / whole) if whole > 0.0 else 0.0)


def test_the_larger_side_is_whose_holders_are_told() -> None:
    delta = np.array([[10.0, 0.0], [-4.0, -8.0], [2.0, 0.0], [1.0, -1.0]])
    first, second = crowding(("BTC", "ETH"), delta)
    assert (first.coin, first.long, first.short, first.largest) == ("BTC", 13.0, 4.0, (0, 2, 3))
    assert (first.first_long, first.first_short) == (10 / 13, 1.0)
    assert first.one_sided == pytest.approx(9 / 17)
    assert (second.coin, second.one_sided, second.largest, second.largest_share) == ("ETH", 1.0, (1, 3), 1.0)
    assert crowding(("BTC",), np.zeros((3, 1))) == []
