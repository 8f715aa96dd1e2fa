"""Wrong-way margin: the tilt against its closed forms and whom it asks for more; the buffer; haircuts of the model."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from risk.margin.haircuts import model_haircuts
from risk.margin.measures import losses_in_double, tail_measures
from risk.margin.requirement import requirements
from risk.margin.ruleset import LossModelParameters, Ruleset, ruleset
from risk.margin.wrong_way import STEP, Tilts, market_distress, stressed_mean, tilted_weights
from tests.risk.builders import INSTRUMENTS, book, matrices, required, scenarios
from tests.risk.test_measures import gross_of, mixed_books

NORMAL = stats.norm.ppf((np.arange(5_000) + 0.5) / 5_000)


@given(st.floats(0.0, 0.8))
def test_a_tilted_normal_is_a_normal_around_the_stressed_mean(mean: float) -> None:
    """exp(theta x) moves a standard normal by theta and leaves its shape alone."""
    weights = tilted_weights(NORMAL, mean)
    assert weights.sum() == pytest.approx(1.0, abs=1e-12)
    assert weights @ NORMAL == pytest.approx(mean, abs=1e-9)
    assert weights @ (NORMAL - mean) ** 2 == pytest.approx(1.0, abs=0.01)


def test_no_other_weights_with_that_mean_are_closer_to_equal_ones() -> None:
    """Relative entropy grows in every direction that keeps the sum and the mean."""
    random = np.random.default_rng(4)
    x = market_distress(random.standard_normal((200, 1)))
    weights = tilted_weights(x, 0.6)
    basis, _ = np.linalg.qr(np.column_stack([np.ones(200), x]))
    least = weights @ np.log(weights * 200)
    for _ in range(20):
        step = random.standard_normal(200) * weights.min() * 0.1
        other = weights + step - basis @ (basis.T @ step)
        assert other @ np.log(other * 200) > least


@pytest.mark.parametrize("mean", [-0.1, 50.0])
def test_a_mean_out_of_reach_is_refused(mean: float) -> None:
    with pytest.raises(ValueError, match="no tilt"):
        tilted_weights(NORMAL, mean)


def test_distress_ranks_the_fall_of_the_market_and_nothing_else() -> None:
    moves = np.array([[-3.0, 1.0], [0.5, 0.5], [-0.2, -0.2], [9.0, -1.0]])
    assert np.argsort(-market_distress(moves)).tolist() == [0, 2, 1, 3]
    assert np.array_equal(market_distress(moves), market_distress(100 * moves[:, ::-1]))


def rules(**changes: object) -> Ruleset:
    """The standard ruleset with these parameters changed."""
    return replace(ruleset("standard"), **changes)  # type: ignore[arg-type]


def tilts(**changes: object) -> Tilts:
    """Of those rules, in the worlds of the day."""
    found = Tilts.of(scenarios().distress, rules(**changes))
    assert found is not None
    return found


def test_the_weights_are_those_of_usual_markets_and_of_two_worse_ones() -> None:
    found, distress = tilts(), scenarios().distress
    assert found.weights @ distress == pytest.approx([0.0, STEP, 2 * STEP], abs=1e-9)
    assert found.weights.sum(axis=1) == pytest.approx(1.0, abs=1e-12)
    assert STEP + found.last_step * STEP == pytest.approx(stressed_mean(ruleset("standard")))


def test_the_tail_never_rests_on_fewer_scenarios_than_the_floor_says() -> None:
    assert tilts().effective > 20.0
    for distress in (2.0, 8.0):
        capped = tilts(wrong_way_distress=distress)
        assert capped.effective >= 20.0
        assert (capped.weights[-1] == tilts().weights[-1]).all()
    assert tilts(wrong_way_distress=2.0, wrong_way_least_scenarios=5.0).effective < 20.0
    with pytest.raises(ValueError, match="fewer than"):
        tilts(wrong_way_least_scenarios=101.0)


def test_who_loses_when_the_market_falls_is_asked_for_more_and_who_gains_is_not() -> None:
    batch = required({"BTC-PERP": 10.0}, {"BTC-PERP": -10.0}, {"BTC-PERP": 10.0, "BTC": -9.0}, {})
    long, short, hedged, empty = batch.wrong_way
    assert long > 0.2 * batch.es_99[0]
    assert short == empty == 0.0
    assert 0.1 * long < hedged < 0.25 * long, "the tenth that is not hedged, and a premium that falls with the coin"
    assert required({"BTC-PERP": 10.0}, name="worked-example").wrong_way[0] == 0.0


@given(st.integers(0, 10_000))
def test_the_line_is_the_gain_of_exact_weights_whatever_the_book(seed: int) -> None:
    """Against a sort of all losses: sparse, dense, hedged and empty books, gainers and those that fear both sides."""
    found, held = tilts(), mixed_books(seed, 8)
    losses = losses_in_double(held, matrices().profit)
    shortfalls = [[_weighted_shortfall(row, weights, 0.05) for weights in found.weights] for row in losses]
    measured = tail_measures(held, matrices(), gross_of(held)).wrong_way
    assert measured == pytest.approx(found.gain(np.array(shortfalls)), rel=1e-4, abs=1e-6 * gross_of(held).max())


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.floats(0.01, 3.0), st.floats(1.0, 2.0), st.sampled_from(["distress", "rho"]))
def test_the_line_never_falls_as_its_parameters_rise(seed: int, value: float, factor: float, name: str) -> None:
    """In steps of any size, for any book: the stated distress, and how closely clients follow the market."""
    held = mixed_books(seed, 5)
    lines = []
    for one in (value, value * factor):
        changes: dict[str, object] = {"wrong_way_distress": one}
        if name == "rho":
            changes = {"loss_model": LossModelParameters(rho=one / 6.0)}
        built = replace(matrices(), tilts=tilts(**changes))
        lines.append(tail_measures(held, built, gross_of(held)).wrong_way)
    assert (lines[1] >= lines[0]).all()


def _weighted_shortfall(losses: np.ndarray, weights: np.ndarray, share: float) -> float:
    order = np.argsort(-losses)
    taken = np.minimum(weights[order], np.maximum(share - (np.cumsum(weights[order]) - weights[order]), 0.0))
    return float(taken @ losses[order] / share)


def test_the_buffer_is_used_up_as_markets_grow_wild_and_rebuilt_as_they_calm() -> None:
    """While volatility rises to a quarter above its floor the margin with its buffer stays what it was."""
    built = replace(matrices(), ruleset=replace(ruleset("standard"), buffer_share=0.25))
    held = book({"BTC-PERP": 10.0}, {"BTC": 1.0, "BTC-CALL": -2.0}, {"USDC": 1.0})
    left = []
    for rise in (1.0, 1.1, 1.25, 2.0, 1.0):
        batch = requirements(replace(built, daily_vol=built.vol_floor * rise), held)
        margin = np.maximum(batch.base, batch.jump)
        left.append(batch.buffer)
        # The scenarios here stand still; in a market that is wilder by `rise` they would be, too. Cash is never wild.
        assert (rise * (margin + batch.buffer))[:2] == pytest.approx(margin[:2] * max(rise, 1.25))
        assert batch.buffer[2] == pytest.approx(0.25 * margin[2])
    assert left[0] == pytest.approx(0.25 * margin)
    assert (left[0] == left[4]).all()
    assert (left[3][:2] == 0.0).all()
    assert (requirements(matrices(), held).buffer == 0.0).all()


def test_a_haircut_is_the_floor_or_the_shortfall_and_grows_with_what_is_held() -> None:
    built = matrices()
    (coin, cash), (more, _) = (model_haircuts(built, {"BTC": size, "USDC": size}) for size in (0.0, 1e10))
    row = [item.id for item in INSTRUMENTS].index("BTC")
    worst = np.sort(-np.log1p(built.profit[row] / built.table.mark[row]))[-20:].mean()
    assert coin.shortfall == pytest.approx(1 - np.exp(-worst))
    assert coin.bps == 2_500  # the floor of an asset that the ruleset does not name
    assert coin.concentration == 0.0
    assert replace(coin, floor=0.01).bps == int(np.ceil(coin.shortfall * 10_000))
    assert more.bps > coin.bps
    assert (cash.bps, cash.shortfall, cash.concentration) == (50, 0.0, 0.0)
    assert replace(coin, concentration=5.0).bps == 10_000
