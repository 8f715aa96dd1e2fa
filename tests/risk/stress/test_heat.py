"""The stress map: each cell is what the admission arithmetic gives there, and nothing nets between relationships."""

import numpy as np
import pytest

from risk.margin.addons import close_out_cost
from risk.stress.heat import MOVES, VOL_RATIOS, stress_map
from tests.risk.builders import MARKS, book, matrices

BTC = float(MARKS["BTC"])
NOTHING = np.zeros(1)


def test_a_linear_book_is_the_same_at_every_volatility() -> None:
    found = stress_map(matrices(), book({"BTC-PERP": 100}), book({"USDC": 1e6}), NOTHING, np.array([2e6]))
    assert found.net.shape == (1, len(VOL_RATIOS), len(MOVES))
    assert np.ptp(found.net, axis=1).max() == 0.0
    for column, move in enumerate(MOVES):
        cost = close_out_cost(
            matrices().liquidity, np.array([100 * BTC * (1 + move)]), matrices().adv_usd[3], matrices().daily_vol[3]
        )
        net = max(0.0, -move * 100 * BTC + float(cost[0]) - 1e6)
        assert found.net[0, 0, column] == pytest.approx(net)
        assert found.beyond[0, 0, column] == pytest.approx(max(0.0, net - 2e6))


def test_short_options_lose_more_where_volatility_is_higher() -> None:
    found = stress_map(matrices(), book({"BTC-CALL": -300}), book({}), np.array([5e6]), NOTHING)
    change = np.diff(found.net[0], axis=0)
    assert (change >= 0.0).all()
    assert (change[:, MOVES.index(0.0)] > 1e5).all()


def test_relationships_do_not_net() -> None:
    """Opposite books: one of them loses at each move, and the gain of the other does not pay for it."""
    both = stress_map(matrices(), book({"BTC-PERP": 100}, {"BTC-PERP": -100}), book({}, {}), np.zeros(2), np.zeros(2))
    for row in range(2):
        alone = stress_map(matrices(), book({"BTC-PERP": 100 - 200 * row}), book({}), NOTHING, NOTHING)
        np.testing.assert_allclose(both.net[row], alone.net[0])
    assert (both.beyond.sum(axis=0) > 0.0).all()


def test_margin_in_the_coin_falls_with_it() -> None:
    cash = stress_map(matrices(), book({"BTC-PERP": 100}), book({"USDC": 10 * BTC}), NOTHING, NOTHING)
    coin = stress_map(matrices(), book({"BTC-PERP": 100}), book({"BTC": 10}), NOTHING, NOTHING)
    down = MOVES.index(-0.4)
    assert coin.net[0, 2, down] - cash.net[0, 2, down] == pytest.approx(0.4 * 10 * BTC)
