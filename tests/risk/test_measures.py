"""The kernels of the bulk path: exact selection, and figures of a book that nothing but the book decides."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intermediary.errors import Refusal
from risk.margin.kernels import LANES, room, slices, worst_of_books, worst_of_losses
from risk.margin.measures import (
    DENSE_SHARE,
    TailMeasures,
    dense_losses,
    losses_in_double,
    shortfall,
    tail_measures,
)
from risk.margin.positions import Positions
from risk.margin.requirement import requirements
from risk.margin.tails import expected_shortfall, fit_pareto, worst_losses
from tests.risk.builders import INDEX, INSTRUMENTS, book, matrices, scenarios, snapshot

EVT_COUNT = 101


def nowhere(worst: np.ndarray) -> np.ndarray:
    """Room for the scenarios of worst losses."""
    return np.empty(worst.shape, dtype=np.int32)


def worst_by_kernel(rows: np.ndarray, count: int) -> np.ndarray:
    """(A, count) ascending, of losses (A, S); the scenarios said to be theirs are checked."""
    losses = room(rows.shape[0], -(-rows.shape[1] // LANES) * LANES)
    losses[:, : rows.shape[1]] = rows
    out = np.empty((rows.shape[0], count))
    where = nowhere(out)
    worst_of_losses(out, where, losses, rows.shape[1])
    for losses_of_book, worst, places in zip(rows.astype(np.float32), out, where, strict=True):
        if np.isnan(worst[0]):
            assert (places == -1).all()
        else:
            assert len(set(places)) == count
            assert (losses_of_book[places] == worst).all()
    return out


def mixed_books(seed: int, accounts: int) -> Positions:
    """Empty, sparse and dense books, every fifth hedged to within a ten-thousandth."""
    random = np.random.default_rng(seed)
    rows: list[list[tuple[int, float]]] = []
    for number in range(accounts):
        chosen = random.permutation(len(INSTRUMENTS))[: random.integers(0, len(INSTRUMENTS) + 1)]
        rows.append([(int(i), float(random.normal())) for i in np.sort(chosen)])
        if number % 5 == 0:
            rows[-1] = [(INDEX["BTC"], 1e4), (INDEX["BTC-PERP"], 1.0), (INDEX["BTC"], -9_999.0)]
    return Positions.from_rows(rows)


def gross_of(positions: Positions) -> np.ndarray:
    """(A,) notional as the requirement counts it."""
    return Positions(positions.indptr, positions.indices, np.abs(positions.quantity)).weighted(
        matrices().table.notional_usd
    )


def measured(positions: Positions) -> TailMeasures:
    """Under the standard ruleset."""
    return tail_measures(positions, matrices(), gross_of(positions))


def stacked(measures: TailMeasures) -> np.ndarray:
    """(3, A)."""
    return np.stack([measures.es_99, measures.evt_var_997, measures.es_995])


def test_an_instrument_without_a_price_under_a_scenario_holds_back_its_holders_alone() -> None:
    """The kernels compare, and nothing is larger than NaN: it would be overlooked, so it may not come so far."""
    drawn = scenarios()
    broken = drawn.shocks.price_ratio.copy()
    broken[7, 3] = np.nan
    spoiled = replace(drawn, shocks=replace(drawn.shocks, price_ratio=broken))
    built = type(matrices()).build(snapshot(), matrices().ruleset, spoiled, INSTRUMENTS)
    bad = {built.table.instruments[row].id for row in built.unpriced}
    coin = built.table.coins[3]
    assert bad == {item.id for item in INSTRUMENTS if item.underlying == coin and item.kind != "cash"} != set()
    rows = {item.id: row for row, item in enumerate(INSTRUMENTS)}
    other = next(row for row in rows.values() if row not in built.unpriced)
    alone = requirements(built, Positions.from_rows([[(other, 2.0)]]))
    assert alone.es_99 == requirements(matrices(), Positions.from_rows([[(other, 2.0)]])).es_99
    with pytest.raises(Refusal, match="has no price under every scenario"):
        requirements(built, Positions.from_rows([[(other, 2.0)], [(int(built.unpriced[0]), 1.0)]]))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_a_loss_that_single_precision_cannot_hold_is_no_number(value: float) -> None:
    rows = np.random.default_rng(1).standard_t(4, (3, 500))
    rows[1, 499] = value
    found = worst_by_kernel(rows, 20)
    assert np.isnan(found[1]).all()
    assert (found[[0, 2]] == worst_losses(rows[[0, 2]].astype(np.float32), 20)).all()


@given(
    st.integers(0, 10_000),
    st.integers(1, 700),
    st.sampled_from(["tails", "flat", "capped", "two values", "steps", "one outlier", "far from zero", "descending"]),
    st.floats(0.0, 1.0),
)
def test_the_worst_are_those_of_a_sort(seed: int, size: int, shape: str, share: float) -> None:
    random = np.random.default_rng(seed)
    losses = random.standard_t(2, (2, size)).astype(np.float32)
    if shape == "flat":
        losses[:] = np.float32(random.normal())
    elif shape == "capped":
        losses = np.minimum(losses, np.float32(0.3))
    elif shape == "two values":
        losses = np.where(losses > 0.1, np.float32(1e-3), np.float32(-1e7))
    elif shape == "steps":
        losses = np.round(losses)
    elif shape == "one outlier":
        losses[:, 0] = 1e12
    elif shape == "far from zero":
        losses += np.float32(1e7)
    elif shape == "descending":
        losses = -np.sort(-losses, axis=1)
    count = 1 + int(share * (size - 1))
    assert (worst_by_kernel(losses, count) == worst_losses(losses, count)).all()


@pytest.mark.parametrize("size", [37, 2_000])
def test_books_are_multiplied_and_searched_as_by_numpy(size: int) -> None:
    random = np.random.default_rng(3)
    profit = random.standard_t(4, (len(INSTRUMENTS), size))
    books = mixed_books(4, 300)
    out = np.empty((300, 20))
    worst_of_books(out, nowhere(out), books.indptr, books.indices, books.quantity, slices(profit), size)
    expected = worst_losses(losses_in_double(books, profit), 20)
    # The hedged books lose digits in single precision: 1e4 x 6e-8 x a profit of some tens.
    assert out == pytest.approx(expected, rel=1e-5, abs=0.05)
    ordinary = np.arange(300) % 5 != 0
    assert out[ordinary] == pytest.approx(expected[ordinary], rel=1e-5, abs=1e-4)


def test_the_measures_are_those_of_double_precision() -> None:
    positions = mixed_books(6, 400)
    worst = worst_losses(losses_in_double(positions, matrices().profit), EVT_COUNT)
    rules = matrices().ruleset
    expected = [
        worst[:, -20:].mean(axis=1),
        fit_pareto(worst, 2_000, rules.evt_shape_max).value_at_risk(rules.evt_quantile),
        worst[:, -10:].mean(axis=1),
    ]
    # A Pareto fit magnifies the last digits of its excesses, as the ratio of two small numbers.
    assert stacked(measured(positions)) == pytest.approx(np.maximum(expected, 0.0), rel=1e-5, abs=1e-9)


def test_shortfall_alone_is_the_shortfall_of_all_measures() -> None:
    positions = mixed_books(7, 200)
    found = shortfall(positions, matrices(), gross_of(positions), 0.99)
    assert (found == measured(positions).es_99).all()


@settings(max_examples=settings().max_examples // 5)  # each is twenty measurements
@given(st.integers(0, 1_000), st.integers(1, 40))
def test_figures_do_not_depend_on_the_blocks_or_on_the_order(seed: int, width: int) -> None:
    positions = mixed_books(seed, 60)
    whole = stacked(measured(positions))
    parts = [stacked(measured(positions.slice(start, start + width))) for start in range(0, 60, width)]
    assert (np.concatenate(parts, axis=1) == whole).all()
    order = np.random.default_rng(seed).permutation(60)
    assert (stacked(measured(positions.take(order))) == whole[:, order]).all()


def test_figures_do_not_depend_on_the_number_of_threads() -> None:
    """Kernels share nothing: two threads on halves find what one finds on the whole."""
    positions = mixed_books(9, 3_000)
    halves = [positions.slice(0, 1_500), positions.slice(1_500, 3_000)]
    with ThreadPoolExecutor(2) as pool:
        found = np.concatenate([stacked(part) for part in pool.map(measured, halves)], axis=1)
    assert (found == stacked(measured(positions))).all()


def test_a_dense_book_gets_what_it_would_get_as_a_sparse_one() -> None:
    random = np.random.default_rng(10)
    rows = [[(i, float(q)) for i, q in enumerate(random.normal(size=len(INSTRUMENTS)))] for _ in range(40)]
    positions = Positions.from_rows(rows)
    assert np.diff(positions.indptr).min() >= DENSE_SHARE * len(INSTRUMENTS)
    dense = dense_losses(positions, matrices())[:40, :2_000]
    sparse = np.empty((40, 20))
    compressed = (positions.indptr, positions.indices, positions.quantity)
    worst_of_books(sparse, nowhere(sparse), *compressed, matrices().profit_slices, 2_000)
    assert worst_losses(dense, 20) == pytest.approx(sparse, rel=1e-5)


def test_a_book_beyond_single_precision_is_measured_in_double() -> None:
    """1e36 coins: absurd, and the requirement is still in proportion instead of infinite."""
    huge, one = requirements(matrices(), book({"BTC-PERP": 1e36}, {"BTC-PERP": 1.0})), 1e36
    assert np.isfinite(huge.es_99).all()
    assert huge.es_99[0] == pytest.approx(one * huge.es_99[1], rel=1e-6)


@given(st.integers(0, 1_000), st.floats(1e-4, 1e-1))
def test_single_precision_does_not_show_in_a_hedged_book(seed: int, unhedged: float) -> None:
    """Spot against perpetual and future, hedged to all but a share: on either side of the border to double precision
    the error stays below 1e-5 of the requirement."""
    random = np.random.default_rng(seed)
    size = float(random.uniform(1.0, 1e4))
    row = [(INDEX["BTC"], size), (INDEX["BTC-FUT"], -size * (1.0 - unhedged))]
    positions = Positions.from_rows([row])
    exact = expected_shortfall(losses_in_double(positions, matrices().profit), 0.99)
    assert measured(positions).es_99 == pytest.approx(np.maximum(exact, 0.0), rel=1e-5)
