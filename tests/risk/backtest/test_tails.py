"""Residuals of a right tail are exponential, of a wrong one rejected; losses beyond margin have their exact law."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom, binomtest, genpareto, kstest

from risk.backtest.beyond import accepted_counts, beyond_margin, count_law, probability_beyond, rate_interval
from risk.backtest.residuals import (
    anderson_darling,
    darling_critical,
    margin_tail_test,
    residuals,
    tail_test,
)
from risk.backtest.tail_null import tail_null
from risk.backtest.walk import Tails

Floats = NDArray[np.float64]
WINDOWS = 2_500


def tails_of(books: int = 1) -> Tails:
    """Another tail every day: what residuals must be free of."""
    random = np.random.default_rng(4)
    u, xi, beta = (
        random.uniform(low, high, (WINDOWS, books)) for low, high in ((0.02, 0.06), (0.0, 0.4), (0.01, 0.03))
    )
    return Tails(u, xi, beta, np.full(WINDOWS, 0.05))


def losses_of(tails: Tails, seed: int, scale: float = 1.0) -> Floats:
    """Beyond the threshold on one day in twenty, by its tail, its scale `scale` times as large."""
    random = np.random.default_rng(seed)
    uniform = random.random(tails.u.shape)
    beyond = genpareto.ppf(np.clip((uniform - 0.95) / 0.05, 0.0, 1.0), tails.xi, scale=tails.beta * scale)
    return np.where(uniform > 0.95, tails.u + beyond, 0.0)


def of_one(losses: Floats, tails: Tails) -> Floats:
    found = residuals(losses, tails)[:, 0]
    return found[np.isfinite(found)]


def test_residuals_of_a_right_tail_are_exponential_whatever_its_parameters() -> None:
    tails = tails_of()
    found = of_one(losses_of(tails, seed=1), tails)
    assert 90 < found.size < 160
    assert kstest(found, "expon").pvalue > 0.05
    test = tail_test(found, 125.0)
    assert not test["rejected"]
    assert test["mean_residual"] == pytest.approx(1.0, abs=0.25)
    assert [pair[0] for pair in test["quantiles"]] == sorted(pair[0] for pair in test["quantiles"])


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_a_tail_of_another_scale_is_rejected(scale: float) -> None:
    tails = tails_of()
    found = of_one(losses_of(tails, seed=1, scale=scale), tails)
    assert tail_test(found, 125.0)["rejected"]
    assert margin_tail_test(found, 125.0)["rejected"] == (scale > 1.0), "the margin's tail may be too heavy"


def test_the_statistic_and_its_critical_value_are_the_printed_ones() -> None:
    """2.492 is Stephens's 5% value where all parameters are known."""
    values = np.sort(np.random.default_rng(2).exponential(1.0, 80))
    uniform = -np.expm1(-values)
    i = np.arange(1, 81)
    written_out = -80.0 - np.mean((2 * i - 1) * (np.log(uniform) + np.log1p(-uniform[::-1])))
    assert float(anderson_darling(values)) == pytest.approx(written_out, rel=1e-12)
    assert darling_critical() == pytest.approx(2.492, abs=0.06)


def test_the_test_has_its_size() -> None:
    random = np.random.default_rng(6)
    rejected = [tail_test(random.exponential(1.0, 60), 60.0)["rejected"] for _ in range(400)]
    assert np.mean(rejected) == pytest.approx(0.05, abs=0.03)


def test_the_chance_and_size_of_a_loss_beyond_margin_are_those_of_the_tail() -> None:
    tails = tails_of()
    margin = tails.u + 1.5 * tails.beta
    probability, excess = probability_beyond(tails, margin)
    frozen = genpareto(tails.xi[0, 0], loc=tails.u[0, 0], scale=tails.beta[0, 0])
    assert probability[0, 0] == pytest.approx(0.05 * frozen.sf(margin[0, 0]))
    assert excess[0, 0] == pytest.approx(0.05 * frozen.expect(lambda x: x - margin[0, 0], lb=margin[0, 0]), rel=1e-6)
    below, _ = probability_beyond(tails, tails.u - 0.01)
    assert below == pytest.approx(np.full_like(below, 0.05))


def test_the_law_of_equal_chances_is_binomial() -> None:
    law = count_law(np.full(1_000, 0.003))
    assert law == pytest.approx(binom.pmf(np.arange(law.size), 1_000, 0.003), abs=1e-12)
    low, high = accepted_counts(law)
    assert (low, high) == tuple(int(x) for x in binom.interval(0.95, 1_000, 0.003))


def test_the_interval_of_a_rate_is_clopper_and_pearsons() -> None:
    for count in (0, 3, 1_000):
        exact = binomtest(count, 1_000).proportion_ci(0.95, method="exact")
        assert rate_interval(count, 1_000) == pytest.approx((exact.low, exact.high), abs=1e-12)


def test_too_many_and_too_few_losses_beyond_margin_are_both_rejected() -> None:
    chance, margin = np.full(2_000, 0.005), np.ones(2_000)
    for count, rejected in ((0, True), (10, False), (30, True)):
        losses = np.where(np.arange(2_000) < count, 1.5, 0.0)
        found = beyond_margin(losses, margin, chance, chance * 0.4)
        assert found["rejected"] is rejected
        assert found["observed"] == count
        assert found["expected"] == pytest.approx(10.0)
        assert found["expected_mean_size"] == pytest.approx(0.4)
        assert found["mean_size"] == (0.5 if count else 0.0)


def test_books_that_are_one_are_rejected_together() -> None:
    """Forty copies of one book: in some worlds all are rejected, so the limit is the number of all."""
    random = np.random.default_rng(8)
    one = np.tile(random.standard_normal((600, 1)), (1, 40))
    chance = np.full((600, 40), 0.003)
    together = tail_null(one, chance, 1).limits()
    apart = tail_null(random.standard_normal((600, 40)), chance, 1).limits()
    assert together[0] > 2 * apart[0]
    assert apart[0] <= binom.ppf(0.999, 40, 0.05)
