"""Without a netting opinion every instrument is a book of its own, and what it gains makes up for nothing (M1)."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intermediary.ids import uuid7
from risk.figures import IF_NETTED, Assessment
from risk.margin.gross import position_losses
from risk.margin.measures import losses_in_double
from risk.margin.positions import Positions
from risk.margin.requirement import RequirementBatch, requirements
from risk.margin.ruleset import ruleset
from risk.market.parameters import load_parameters
from risk.stress.distance import LEVELS, Means, ReverseStress
from risk.stress.exposure import future_exposure
from risk.stress.heat import stress_map
from tests.risk.builders import INDEX, INSTRUMENTS, book, matrices, required, scenarios

quantities = st.floats(-500.0, 500.0).map(lambda value: round(value, 3))
books = st.dictionaries(st.sampled_from([item.id for item in INSTRUMENTS]), quantities, min_size=1, max_size=6)
ADDITIVE = ("es_99", "evt_var_997", "base", "wrong_way", "buffer")
HEDGED = {"BTC-PERP": 100.0, "BTC-FUT": -100.0, "ETH-PERP": -500.0}


def unnetted(*accounts: Mapping[str, float]) -> Positions:
    return replace(book(*accounts), gross=np.ones(len(accounts), dtype=np.bool_))


def gross(*accounts: Mapping[str, float], held: Positions | None = None) -> RequirementBatch:
    return requirements(matrices(), unnetted(*accounts), held)


def tolerance(*batches: RequirementBatch) -> float:
    return 1e-9 * sum(float(batch.gross_notional.sum()) for batch in batches) + 1e-9


def test_flags_of_other_accounts_are_rejected() -> None:
    with pytest.raises(ValueError, match="flags of 2 accounts"):
        requirements(matrices(), replace(book({"BTC": 1.0}), gross=np.ones(2, dtype=np.bool_)))


@settings(max_examples=40)
@given(books, books)
def test_margin_of_different_instruments_adds_up(one: dict[str, float], two: dict[str, float]) -> None:
    """Line by line, whatever hedges what. Only running down is dearer in one market than in two."""
    two = {name: quantity for name, quantity in two.items() if name not in one}
    apart, both = gross(one, two), gross(one | two)
    for name in ADDITIVE:
        sums = getattr(apart, name)
        assert getattr(both, name)[0] == pytest.approx(sums.sum(), abs=tolerance(apart)), name
    excess = [np.maximum(batch.jump - batch.base, 0.0) for batch in (apart, both)]
    assert excess[1][0] == pytest.approx(excess[0].sum(), abs=tolerance(apart))
    assert both.liquidity[0] >= apart.liquidity.sum() - tolerance(apart)
    if not {coin_of(name) for name in one} & {coin_of(name) for name in two}:
        assert both.total[0] == pytest.approx(apart.total.sum(), abs=tolerance(apart))


def coin_of(name: str) -> str:
    return INSTRUMENTS[INDEX[name]].underlying


@settings(max_examples=40)
@given(books)
def test_each_instrument_asks_what_it_asks_alone(account: dict[str, float]) -> None:
    alone = required(*({name: quantity} for name, quantity in account.items()))
    both = gross(account)
    for name in ADDITIVE:
        assert getattr(both, name)[0] == pytest.approx(getattr(alone, name).sum(), abs=tolerance(alone)), name
    assert both.stress_loss[0] == pytest.approx(np.maximum(alone.stress_loss, 0.0).sum(axis=0), abs=tolerance(alone))


@settings(max_examples=40)
@given(books)
def test_a_book_that_nets_never_loses_more(account: dict[str, float]) -> None:
    netted, apart = required(account), gross(account)
    slack = 1e-5 * float(netted.gross_notional[0]) + 1e-6  # single precision
    for name in ("es_99", "jump", "liquidity", "es_995"):
        assert getattr(apart, name)[0] >= getattr(netted, name)[0] - slack, name
    for name in ("stress_loss", "stress_cost", "forecast_loss"):
        assert (getattr(apart, name) >= getattr(netted, name) - tolerance(netted)).all(), name
    assert apart.total_if_netted[0] == netted.total[0]
    assert (apart.net_delta == netted.net_delta).all()


@settings(max_examples=40)
@given(st.sampled_from([item.id for item in INSTRUMENTS]), quantities)
def test_one_instrument_asks_the_same_either_way(name: str, quantity: float) -> None:
    netted, apart = required({name: quantity}), gross({name: quantity})
    assert apart.lines(0) == netted.lines(0)
    assert apart.total[0] == apart.total_if_netted[0]


def test_in_one_instrument_positions_net() -> None:
    row = [(INDEX["BTC-PERP"], 3.0), (INDEX["BTC-PERP"], -2.0)]
    twice = replace(Positions.from_rows([row]), gross=np.array([True]))
    assert requirements(matrices(), twice).lines(0) == required({"BTC-PERP": 1.0}).lines(0)


@settings(max_examples=40)
@given(books, books)
def test_the_lines_add_up_and_nobody_else_is_touched(mine: dict[str, float], other: dict[str, float]) -> None:
    margin = {"BTC": 1.0, "USDC": 1e6}
    together = replace(book(mine, other), gross=np.array([True, False]))
    batch = requirements(matrices(), together, book(margin, margin))
    alone, beside = gross(mine, held=book(margin)), required(other, held=book(margin))
    for account, single in enumerate((alone, beside)):
        assert batch.lines(account) == single.lines(0)
        assert batch.outcomes(account) == single.outcomes(0)
        assert (batch.scenario_losses(account) == single.scenario_losses(0)).all()
    assert sum(line.amount_usd for line in batch.lines(0)) == batch.total[0]
    stored = Assessment(uuid7(), batch, 0).breakdown()
    cents = [round(100 * amount) for _, amount in stored["lines"]]
    assert (sum(cents), min(cents) >= 0) == (round(100 * stored["total"]), True)
    assert stored[IF_NETTED] == pytest.approx(batch.total_if_netted[0], abs=0.01)
    assert IF_NETTED not in Assessment(uuid7(), batch, 1).breakdown()


def test_a_world_is_what_loses_in_it_and_what_margin_then_loses() -> None:
    held = book({"ETH-PERP": 0.0, "BTC": 5.0})
    batch = gross(HEDGED, held=held)
    rows = [losses_in_double(book({name: quantity}), matrices().profit)[0] for name, quantity in HEDGED.items()]
    expected = sum(np.maximum(row, 0.0) for row in rows) + losses_in_double(held, matrices().profit)[0]
    assert batch.scenario_losses(0) == pytest.approx(expected, rel=1e-12, abs=1e-6)
    assert batch.es_995[0] == pytest.approx(np.sort(expected)[-10:].mean(), rel=1e-12)
    assert batch.es_995[0] > required(HEDGED, held=held).es_995[0]


def test_a_hedge_that_may_not_hold_is_two_books() -> None:
    held = {"BTC-PERP": 100.0, "BTC-FUT": -100.0}
    netted, apart, long = required(held), gross(held), required({"BTC-PERP": 100.0})
    assert netted.total[0] < 0.1 * long.total[0]
    assert apart.total[0] > 1.5 * long.total[0]
    assert apart.liquidity[0] > 1.9 * long.liquidity[0], "either leg may have to be replaced"
    assert apart.net_delta[0] == pytest.approx(netted.net_delta[0]), "it is as long in its coin as ever"


@pytest.mark.parametrize(
    ("beside", "millions"),
    [
        ({}, (2.55, 2.55)),
        ({"BTC-FUT": -100.0}, (0.12, 4.63)),
        ({"ETH-PERP": -2_000.0}, (1.00, 4.30)),
        ({"ETH-PERP": 2_000.0}, (4.84, 4.87)),
    ],
)
def test_the_figures_of_decision_11(beside: dict[str, float], millions: tuple[float, float]) -> None:
    held = {"BTC-PERP": 100.0} | beside
    found = [float(batch.total[0]) / 1e6 for batch in (required(held), gross(held))]
    assert found == pytest.approx(millions, abs=0.005)


def test_nothing_is_asked_for_nothing() -> None:
    assert gross({}).total[0] == 0.0
    assert (gross({}, {"BTC": 1.0}).total > 0.0).tolist() == [False, True]


def test_stress_exposure_and_distance_leave_gains_out_as_well() -> None:
    apart, netted, cash = unnetted(HEDGED), book(HEDGED), book({"USDC": 2e6})
    nothing = np.zeros(1)
    maps = [stress_map(matrices(), positions, cash, nothing, nothing).net for positions in (apart, netted)]
    assert (maps[0] >= maps[1]).all()
    assert maps[0].sum() > 2 * maps[1].sum()
    shocks = scenarios().shocks
    fans = [future_exposure(matrices(), positions, nothing, shocks, [1.0]) for positions in (apart, netted)]
    assert (fans[0] > fans[1]).all()
    means = Means(
        exposure=0.0, independent=0.0, unsecured=0.0, held_now=2e6, smallest_call=0.0,
        layers=(1e5, 1e5, 1e5), counted=np.ones(len(INSTRUMENTS)),
    )  # fmt: skip
    reverse = ReverseStress(matrices(), load_parameters().vol_response)
    fall, netted_fall = (reverse.distances(positions, cash, [means])[0][0] for positions in (apart, netted))
    assert fall.crossings["margin"] is not None
    assert netted_fall.crossings["margin"] is None, "its short in ether pays for it"
    move = fall.crossings["margin"].move
    assert set(fall.crossings) == set(LEVELS)
    lost = position_losses(apart, _fallen(move))[0, 0]
    assert 0.97 * 2e6 < lost < 2e6, "the rest is the cost of closing out"


def _fallen(move: float) -> np.ndarray:
    """(I, 1) profit of linear contracts in a fall."""
    table = matrices().table
    return (table.delta_usd * move)[:, None]


def test_the_rule_needs_no_parameter() -> None:
    """It follows from the book, so both published rulesets have it."""
    for name in ("standard", "worked-example"):
        batch = requirements(matrices(name), unnetted(HEDGED))
        assert batch.total[0] > batch.total_if_netted[0], ruleset(name).name
