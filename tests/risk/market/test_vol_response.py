"""How volatility answers a move: a line on either side, and the rest as it was recorded."""

import numpy as np
import pytest

from risk.market.parameters import load_parameters
from risk.market.volatility import REST_POINTS, fit_vol_response, vol_change

RANDOM = np.random.default_rng(3)
MOVES = RANDOM.standard_t(4.0, 4_000)
RESTS = 0.03 * RANDOM.standard_t(3.0, MOVES.size)
CHANGES = 0.02 * np.maximum(-MOVES, 0.0) + 0.01 * np.maximum(MOVES, 0.0) + RESTS
DRAWN = RANDOM.standard_normal(100_000)


def test_the_fit_knows_both_sides_and_what_they_leave() -> None:
    found = fit_vol_response(MOVES, CHANGES)
    assert (found.down, found.up) == pytest.approx((0.02, 0.01), abs=2e-3)
    assert found.residual == pytest.approx(RESTS.std(), rel=0.01)
    assert len(found.rest) == REST_POINTS.size
    assert found.rest[0] < 2 * found.rest[10] < 0.0 < 2 * found.rest[-11] < found.rest[-1]


def test_recorded_rests_are_drawn_with_their_own_tails_and_normal_ones_with_their_deviation() -> None:
    response = fit_vol_response(MOVES, CHANGES)
    still = np.zeros(DRAWN.size)
    recorded, normal = (vol_change(still, response, DRAWN, kind) for kind in (True, False))
    for quantile in (0.01, 0.25, 0.5, 0.75, 0.99):
        assert np.quantile(recorded, quantile) == pytest.approx(np.quantile(RESTS, quantile), abs=3e-3)
    assert recorded.min() >= response.rest[0]
    assert recorded.max() <= response.rest[-1]
    assert np.array_equal(normal, response.residual * DRAWN)
    order = np.argsort(DRAWN)
    assert (np.diff(recorded[order]) >= 0.0).all()


def test_a_move_adds_its_answer_to_any_rest() -> None:
    response, moves = fit_vol_response(MOVES, CHANGES), np.array([-2.0, 0.0, 3.0])
    answers = np.array([2.0 * response.down, 0.0, 3.0 * response.up])
    for kind in (True, False):
        of_move, alone = (vol_change(at, response, DRAWN[:3], kind) for at in (moves, np.zeros(3)))
        assert of_move - alone == pytest.approx(answers)


def test_the_kept_rests_are_in_order_about_zero_and_as_wide_as_their_deviation_says() -> None:
    kept = load_parameters().vol_response
    rest = np.array(kept.rest)
    assert rest.size == REST_POINTS.size
    assert (np.diff(rest) > 0.0).all()
    even = np.interp((np.arange(100_000) + 0.5) / 100_000, REST_POINTS, rest)
    assert even.mean() == pytest.approx(0.0, abs=1e-3)
    assert even.std() == pytest.approx(kept.residual, rel=0.1)
