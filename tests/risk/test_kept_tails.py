"""Tails that are looked up where they were a moment ago: the same figures, or none."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.margin.kept_tails import KeptBooks, KeptTails, Tails, search
from risk.margin.kernels import TOGETHER, slices
from risk.margin.lookup import ProfitLookup
from risk.margin.matrices import RiskMatrices
from risk.margin.measures import shortfall, tail_measures
from risk.margin.positions import Positions
from risk.margin.requirement import requirements
from risk.margin.ruleset import ruleset
from tests.risk.builders import INSTRUMENTS, matrices, scenarios, snapshot
from tests.risk.test_measures import gross_of, mixed_books, stacked

# Few enough of the instruments that none is dense.
BOOKS, HELD, ROWS, SCENARIOS, COUNT = 60, 9, 40, 400, 20
WALK: tuple[dict[str, str], ...] = (
    {"BTC": "95050"},
    {"BTC": "95050", "SOL": "206.3"},
    {"BTC": "94000"},
    {"BTC": "60000", "ETH": "2000"},
    {},
)


def market(profit: np.ndarray) -> RiskMatrices:
    """One in which only the profits (I, S) matter."""
    return replace(matrices(), profit=profit, profit_single=profit.astype(np.float32), profit_slices=slices(profit))


def sparse_books(seed: int) -> Positions:
    """Long and short, an instrument here and there twice."""
    random = np.random.default_rng(seed)
    return Positions(
        np.arange(BOOKS + 1) * HELD, random.integers(0, ROWS, BOOKS * HELD), random.normal(size=BOOKS * HELD)
    )


def looked_up(books: Positions, before: RiskMatrices, after: RiskMatrices) -> tuple[int, KeptTails]:
    """How many books had to be searched in the market after; everybody's worst are compared."""
    kept, left = KeptTails(), 0
    for world in (before, after):
        tails = kept.moving_to(books, world, COUNT)
        assert tails is not None
        left = int((~tails.take(np.arange(books.accounts)).looked_up(books, world, COUNT)[2]).sum())
        found, searched = tails.worst(books, world, COUNT), search(books, world, COUNT)
        assert np.array_equal(found[0], searched[0], equal_nan=True)
        assert np.array_equal(found[1], searched[1])
        kept.arrived(books, world, tails)
    return left, kept


@given(st.integers(0, 10_000), st.sampled_from([0.0, 1e-4, 1e-2, 0.3, 3.0]), st.integers(1, ROWS))
def test_what_is_looked_up_is_what_a_search_finds(seed: int, size: float, moved: int) -> None:
    """Whatever moves, by scenarios of its own, so that the tail may be another one altogether."""
    random = np.random.default_rng(seed)
    profit = random.standard_t(3, (ROWS, SCENARIOS))
    after = profit.copy()
    after[:moved] += size * random.standard_t(3, (moved, SCENARIOS))
    looked_up(sparse_books(seed), market(profit), market(after))


def test_a_little_move_leaves_nearly_nobody_to_be_searched() -> None:
    random = np.random.default_rng(1)
    profit = random.standard_t(3, (ROWS, SCENARIOS))
    after = profit.copy()
    after[3] *= 1.001
    left, _ = looked_up(sparse_books(1), market(profit), market(after))
    assert left <= BOOKS // 20
    after[3, :] = np.roll(after[3], 7)
    left, _ = looked_up(sparse_books(1), market(profit), market(after))
    holders = np.unique(sparse_books(1).owners()[sparse_books(1).indices == 3]).size
    assert 0 < left <= holders + BOOKS // 20, "whoever holds what turned over"


def test_ties_and_numbers_too_large_are_left_to_the_search() -> None:
    """A book that loses the same in many scenarios; profits whose squares single precision cannot add up."""
    random = np.random.default_rng(2)
    profit = np.minimum(random.standard_t(3, (ROWS, SCENARIOS)), 0.5)
    profit[5] = np.round(profit[5])
    single = Positions(np.arange(ROWS + 1), np.arange(ROWS), np.where(np.arange(ROWS) % 2, 1.0, -1.0))
    left, _ = looked_up(single, market(profit), market(profit * 1.0001))
    assert left >= ROWS // 2, "all who are short lose no more than so much"
    for large in (1e18, 1e30, 1e36):
        looked_up(sparse_books(3), market(profit * large), market(profit * large * 1.0001))


@pytest.mark.parametrize("seed", [1, 2])
def test_figures_are_the_same_along_a_walk_of_markets(seed: int) -> None:
    """Sparse, dense, hedged and empty books of options and coins, with margin beside them, market after market."""
    books, margin = mixed_books(seed, 80), mixed_books(seed + 10, 80)
    kept, alone = KeptBooks(), KeptTails()
    for marks in WALK:
        world = RiskMatrices.build(snapshot(marks), ruleset("standard"), scenarios(), INSTRUMENTS)
        again, anew = requirements(world, books, margin, kept), requirements(world, books, margin)
        for name in ("total", "es_99", "evt_var_997", "wrong_way", "es_995"):
            assert (getattr(again, name) == getattr(anew, name)).all(), name
        few = shortfall(books, world, gross_of(books), 0.99, alone)
        assert (few == shortfall(books, world, gross_of(books), 0.99)).all()
    assert all(known.tails is not None for known in (kept.alone, kept.held, alone))


def test_other_books_and_other_scenarios_know_nothing() -> None:
    books, world = sparse_books(4), market(np.random.default_rng(4).standard_t(3, (ROWS, SCENARIOS)))
    _, kept = looked_up(books, world, world)

    def knows(held: Positions, into: RiskMatrices, count: int = COUNT) -> bool:
        tails = replace(kept).moving_to(held, into, count)
        return tails is not None and bool((tails.where >= 0).all())

    assert knows(books, world)
    assert knows(books.take(np.arange(BOOKS)), world), "equal books are the same"
    assert not knows(replace(books, quantity=books.quantity * 2), world)
    assert not knows(books, replace(world, scenario_id="another day"))
    assert not knows(books, world, COUNT + TOGETHER)
    assert kept.moving_to(books, market(world.profit[:, :COUNT]), COUNT) is None, "there are no others to leave out"
    kept = looked_up(books, world, world)[1]
    kept.moving_to(books, world, COUNT)
    assert not knows(books, world), "whoever was interrupted on the way begins anew"


def test_some_of_the_books_take_their_tails_along() -> None:
    books, world = mixed_books(5, 50), matrices()
    kept, chosen = KeptTails(), np.array([40, 3, 7])
    tail_measures(books, world, gross_of(books), kept)
    some = kept.take(chosen)
    assert some.positions is not None
    assert some.tails is not None
    assert kept.tails is not None
    assert (some.tails.where == kept.tails.where[chosen]).all()
    found = tail_measures(some.positions, world, gross_of(some.positions), some)
    assert (stacked(found) == stacked(tail_measures(books, world, gross_of(books)))[:, chosen]).all()
    assert KeptTails().take(chosen).tails is None


def test_reach_is_the_most_that_any_scenario_adds() -> None:
    random = np.random.default_rng(6)
    before = random.normal(size=(5, 30)).astype(np.float32)
    after = before.copy()
    after[2] += random.normal(size=30).astype(np.float32)
    after[4] += np.float32(0.25)
    reach = ProfitLookup.of("day", after).reach_from(ProfitLookup.of("day", before))
    assert reach is not None
    change = after.astype(np.float64) - before
    assert (reach[:, 0] == np.where((change != 0.0).any(axis=1), change.max(axis=1), 0.0)).all()
    assert (reach[:, 1] == np.where((change != 0.0).any(axis=1), -change.min(axis=1), 0.0)).all()
    assert reach[:, 2] == pytest.approx(np.abs(before).max(axis=1) + np.abs(after).max(axis=1))
    assert ProfitLookup.of("another day", after).reach_from(ProfitLookup.of("day", before)) is None
    assert Tails.unknown(3, 8, 5).where.max() < 0
