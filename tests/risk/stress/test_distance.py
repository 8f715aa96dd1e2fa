"""Reverse stress: the first crossing of each level, against closed forms and against a search by brute force."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from intermediary.call_forecast import fall_to_call, forecasts
from intermediary.models import MarginState
from risk.margin.addons import close_out_cost
from risk.margin.measures import losses_in_double
from risk.margin.positions import Positions
from risk.margin.revaluation import profit_matrix
from risk.margin.shocks import VOL_RATIO_MAX, ShockSet, answered_shocks
from risk.market.parameters import load_parameters
from risk.stress.distance import (
    DEEPEST,
    HIGHEST,
    LEVELS,
    SCANNED,
    AxisDistance,
    Crossing,
    Means,
    ReverseStress,
    Side,
    scan_moves,
)
from tests.risk.builders import INDEX, INSTRUMENTS, MARKS, book, matrices

RESPONSE = load_parameters().vol_response
BTC = float(MARKS["BTC"])
UNIT = 10**6
SOME = Means(
    exposure=0.0, independent=0.0, unsecured=0.0, held_now=0.0, smallest_call=0.0, layers=(0.0, 0.0, 0.0),
    counted=np.ones(len(INSTRUMENTS)),
)  # fmt: skip


@pytest.fixture(scope="module")
def reverse() -> ReverseStress:
    return ReverseStress(matrices(), RESPONSE)


def found(
    reverse: ReverseStress, held: Mapping[str, float], margin: Mapping[str, float], means: Means = SOME
) -> dict[tuple[str, Side], AxisDistance]:
    return {(one.coin, one.side): one for one in reverse.distances(book(held), book(margin), [means])[0]}


def move(reverse: ReverseStress, held: Mapping[str, float], margin: Mapping[str, float], means: Means, level: str, *,
         coin: str = "", side: Side = "down") -> float:  # fmt: skip
    crossing = found(reverse, held, margin, means)[coin, side].crossings[level]  # type: ignore[index]
    assert crossing is not None
    return crossing.move


def test_a_long_contract_is_called_where_its_loss_is_the_room(reverse: ReverseStress) -> None:
    """100 coins, 2 million of room: 2 / 9.5 of the price."""
    means = replace(SOME, independent=1e6, held_now=2.5e6, unsecured=0.5e6, smallest_call=50_000)
    held = {"BTC-PERP": 100.0}
    assert move(reverse, held, {}, means, "requirement") == pytest.approx(-2e6 / (100 * BTC), abs=1e-6)
    assert move(reverse, held, {}, means, "call") == pytest.approx(-2.05e6 / (100 * BTC), abs=1e-6)
    assert found(reverse, held, {}, means)["", "up"].crossings["call"] is None


def test_a_short_contract_looks_upwards(reverse: ReverseStress) -> None:
    means = replace(SOME, held_now=20e6)
    assert move(reverse, {"BTC-PERP": -100}, {}, means, "call", side="up") == pytest.approx(
        20e6 / (100 * BTC), abs=3e-6
    )
    assert found(reverse, {"BTC-PERP": -100}, {}, means)["", "down"].crossings["call"] is None


def test_layers_are_exhausted_one_after_the_other(reverse: ReverseStress) -> None:
    means = replace(SOME, layers=(1e6, 2e6, 0.5e6))
    one = found(reverse, {"BTC-PERP": 100}, {"USDC": 1e6}, means)["", "down"].crossings
    moves = [one[level].move for level in ("margin", "first_loss", "tail", "senior")]  # type: ignore[union-attr]
    assert moves == sorted(moves, reverse=True)
    for at, beyond in zip(moves, (0.0, 1e6, 3e6, 3.5e6), strict=True):
        cost = close_out_cost(
            matrices().liquidity, np.array([100 * BTC * (1 + at)]), matrices().adv_usd[3], matrices().daily_vol[3]
        )
        assert -at * 100 * BTC + float(cost[0]) - 1e6 == pytest.approx(beyond, abs=10)


def test_margin_in_the_coin_falls_with_it(reverse: ReverseStress) -> None:
    """What is held loses its haircut share less: 30 long, 10 coins held at 80%."""
    counted = np.ones(len(INSTRUMENTS))
    counted[INDEX["BTC"]] = 0.8
    means = replace(SOME, held_now=10 * BTC * 0.8, counted=counted)
    at = move(reverse, {"BTC-PERP": 30}, {"BTC": 10}, means, "requirement")
    assert at == pytest.approx(-8 / 38, abs=1e-6)


def test_the_page_of_a_client_expects_its_call_where_the_reverse_stress_finds_it(reverse: ReverseStress) -> None:
    counted = np.ones(len(INSTRUMENTS))
    counted[INDEX["BTC"]] = 0.8
    coins = 10 * BTC * 0.8
    means = replace(SOME, exposure=2e4, independent=1e5, unsecured=5e4, held_now=coins + 3e5, counted=counted)
    at = move(reverse, {"BTC-PERP": 30}, {"BTC": 10}, means, "call")
    state = MarginState(
        exposure_base_units=20_000 * UNIT,
        independent_amount_base_units=100_000 * UNIT,
        threshold_base_units=50_000 * UNIT,
        held_base_units=round((coins + 3e5) * UNIT),
        breakdown={"forecast_loss": {f"-{fall}%": 30 * BTC * fall / 100 for fall in (5, 10, 20, 40)}},
    )
    assert fall_to_call(state, None, round(coins * UNIT)) == pytest.approx(-100 * at, abs=1e-4)
    assert [row.call_base_units > 0 for row in forecasts(state, None, round(coins * UNIT))] == [
        fall > -100 * at for fall in (5, 10, 20, 40)
    ]


def test_a_forecast_moves_volatility_as_a_distance_does(reverse: ReverseStress) -> None:
    """Calls sold against coins: at the fall of each forecast they have lost what was forecast."""
    held = {"BTC-CALL": -100.0, "BTC-PERP": 60.0}
    still = profit_matrix(matrices().table, ShockSet.of_prices(tuple(MARKS), np.full((1, len(MARKS)), 0.8)))
    for column, fall in enumerate((0.05, 0.10, 0.20)):
        lost = float(losses_in_double(book(held), matrices().forecast)[0, column])
        at = move(reverse, held, {}, replace(SOME, held_now=lost), "requirement")
        assert at == pytest.approx(-fall, abs=1e-6)
    assert lost > float(losses_in_double(book(held), still)[0, 0]), "options sold cost more where volatility rises"


def test_one_coin_alone_moves_only_what_is_in_it(reverse: ReverseStress) -> None:
    means = replace(SOME, held_now=1e6)
    held = {"BTC-PERP": 100, "ETH-PERP": -2_000}
    assert move(reverse, held, {}, means, "call", coin="BTC") == pytest.approx(-1e6 / (100 * BTC), abs=1e-6)
    assert move(reverse, held, {}, means, "call", coin="ETH", side="up") == pytest.approx(
        1e6 / (2_000 * 4016), abs=2e-6
    )
    assert move(reverse, held, {}, means, "call") == pytest.approx(-1e6 / (100 * BTC - 2_000 * 4016), abs=1e-6)
    assert set(found(reverse, held, {}, means)) == {
        (coin, side) for coin in ("", "BTC", "ETH") for side in ("down", "up")
    }


def test_a_distance_is_told_in_daily_sigmas_of_what_moves(reverse: ReverseStress) -> None:
    vols = dict(zip(MARKS, matrices().daily_vol.tolist(), strict=True))
    both = found(reverse, {"BTC-PERP": 100}, {}, replace(SOME, held_now=1e6))
    for coin in ("", "BTC"):
        crossing = both[coin, "down"].crossings["call"]
        assert crossing is not None
        assert crossing.sigmas == pytest.approx(-np.log1p(crossing.move) / vols["BTC"])


def test_what_is_passed_already_has_no_distance(reverse: ReverseStress) -> None:
    one = found(reverse, {"BTC-PERP": 10}, {}, replace(SOME, exposure=5e6, layers=(1e6, 9e6, 0.0)))["", "down"]
    assert one.crossings["call"] == one.crossings["margin"] == one.crossings["first_loss"] == Crossing(0.0, 0.0)
    assert one.crossings["tail"] is None  # ten coins lose a million at most


def test_an_empty_book_is_never_called(reverse: ReverseStress) -> None:
    one = found(reverse, {}, {"USDC": 1.0})
    assert set(one) == {("", "down"), ("", "up")}
    assert all(crossing is None for axis in one.values() for crossing in axis.crossings.values())


def brute_force(held: Mapping[str, float], means: Means, moves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shortage of margin at each move, by one revaluation of everything."""
    profit = profit_matrix(matrices().table, answered_shocks(tuple(MARKS), moves, matrices().daily_vol, RESPONSE))
    short: NDArray[np.float64] = losses_in_double(book(held), profit)[0] + means.independent - means.held_now
    return short


def test_the_first_crossing_is_reported_when_the_loss_turns_round(reverse: ReverseStress) -> None:
    """Half as many calls again as contracts sold: short on the way to the strike, whole again far above it."""
    held, means = {"BTC-CALL": 150.0, "BTC-PERP": -100.0}, replace(SOME, held_now=1e5)
    moves = np.expm1(np.linspace(0, np.log(4), 100_001))
    passed = brute_force(held, means, moves) > 0
    turns = np.flatnonzero(np.diff(passed))
    assert turns.size == 2
    assert not passed[-1]
    assert move(reverse, held, {}, means, "requirement", side="up") == pytest.approx(moves[turns[0] + 1], abs=3e-5)


@settings(max_examples=15, deadline=None)
@given(
    st.floats(-200, 200), st.floats(-200, 200), st.floats(-4_000, 4_000), st.floats(1e4, 1e7),
    st.sampled_from(["down", "up"]),
)  # fmt: skip
def test_beside_a_crossing_the_level_holds_and_is_passed(
    perps: float, calls: float, ether: float, held_now: float, side: Side
) -> None:
    """Whatever the book: a hair nearer it is not passed, and at the crossing it is."""
    held = {"BTC-PERP": perps, "BTC-CALL": calls, "ETH-PERP": ether}
    means = replace(SOME, held_now=held_now)
    crossing = found(ReverseStress(matrices(), RESPONSE), held, {}, means)["", side].crossings["requirement"]
    if crossing is None:
        assert brute_force(held, means, scan_moves(side)).max() <= 1e-6
        return
    nearer = crossing.move * (1 - 1e-9) - np.sign(crossing.move) * 2e-6
    short = np.maximum(brute_force(held, means, np.array([nearer, crossing.move])) + held_now, 0.0) - held_now
    assert short[0] <= 0.0 < short[1] + 1e-6


def test_the_market_answers_a_fall_with_dearer_options() -> None:
    shocks = answered_shocks(tuple(MARKS), np.array([0.0, -0.1, 0.1, -0.99]), matrices().daily_vol, RESPONSE)
    assert (shocks.vol_ratio[0] == 1.0).all()
    assert (shocks.vol_ratio[1] > shocks.vol_ratio[2]).all()
    assert shocks.vol_ratio.max() == VOL_RATIO_MAX
    sigmas = np.log(0.9) / matrices().daily_vol
    np.testing.assert_allclose(shocks.vol_ratio[1], np.exp(-RESPONSE.down * sigmas))


@pytest.mark.parametrize("side", ["down", "up"])
def test_the_scan_starts_where_the_market_is_and_covers_its_range(side: Side) -> None:
    moves = scan_moves(side)
    assert moves[0] == 0.0
    assert moves[-1] == pytest.approx(DEEPEST if side == "down" else HIGHEST)
    steps = np.diff(moves) if side == "down" else np.diff(np.log1p(moves))
    assert np.abs(steps).max() <= 0.0100001
    assert len(LEVELS) == 6


def test_many_are_measured_as_each_is_alone(reverse: ReverseStress) -> None:
    """To the last bit: long, short, options, some that do not net, margin in coins, nothing held, two scans."""
    helds: list[Mapping[str, float]] = [
        {"BTC-PERP": 100.0, "ETH-PERP": -2_000.0},
        {"BTC-CALL": 150.0, "BTC-PERP": -100.0},
        {},
        {"BTC-PERP": -30.0, "BTC-CALL": 40.0, "ETH-PERP": 500.0},
    ]
    margins: list[Mapping[str, float]] = [{"USDC": 1e6}, {"BTC": 10.0}, {}, {"BTC": 2.0, "USDC": 5e5}]
    means = [
        replace(
            SOME, exposure=1e4 * n, independent=5e4 * n, held_now=3e5 * n, smallest_call=1e4, layers=(1e6, 2e6, 5e5)
        )
        for n in range(SCANNED + 1)
    ]
    rows = [(book(helds[n % 4]), book(margins[n % 4])) for n in range(len(means))]
    gross = np.arange(len(means)) % 8 == 3
    held, margin = (joined([row[number] for row in rows]) for number in (0, 1))
    together = reverse.distances(replace(held, gross=gross), margin, means)
    assert len({str(one) for one in together}) > SCANNED / 2
    for number in [*range(9), SCANNED]:
        one = replace(rows[number][0], gross=gross[[number]])
        assert reverse.distances(one, rows[number][1], [means[number]]) == [together[number]]


def joined(parts: list[Positions]) -> Positions:
    indptr = np.cumsum([0, *(part.indices.size for part in parts)])
    return Positions(
        indptr, np.concatenate([part.indices for part in parts]), np.concatenate([part.quantity for part in parts])
    )
