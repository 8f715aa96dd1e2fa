"""Tests of exceptions reproduce the printed tables, and reject wrong models at their stated size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from risk.backtest.coverage import (
    conditional_coverage_null,
    conditional_coverage_p_value,
    conditional_coverage_ratio,
    kupiec_p_value,
    kupiec_ratio,
    kupiec_region,
    kupiec_region_asymptotic,
    traffic_light,
)

# Kupiec 1995, table of non-rejection regions at 95%: (probability, windows) -> strict bounds on the count.
KUPIEC_TABLE = {
    (0.01, 510): (1, 11),
    (0.01, 1000): (4, 17),
    (0.025, 255): (2, 12),
    (0.025, 510): (6, 21),
    (0.025, 1000): (15, 36),
    (0.05, 255): (6, 21),
    (0.05, 510): (16, 36),
    (0.05, 1000): (37, 65),
    (0.075, 255): (11, 28),
    (0.075, 510): (27, 51),
    (0.075, 1000): (59, 92),
    (0.1, 255): (16, 36),
    (0.1, 510): (38, 65),
    (0.1, 1000): (81, 120),
}
# Basel Committee 1996, table 2, T = 250 at 99%: cumulative probability in percent by exceptions, and zones.
BASEL_TABLE = {
    0: (8.11, "green"),
    1: (28.58, "green"),
    2: (54.32, "green"),
    3: (75.81, "green"),
    4: (89.22, "green"),
    5: (95.88, "yellow"),
    6: (98.63, "yellow"),
    7: (99.60, "yellow"),
    8: (99.89, "yellow"),
    9: (99.97, "yellow"),
    10: (99.99, "red"),
}


@pytest.mark.parametrize(("case", "bounds"), KUPIEC_TABLE.items())
def test_kupiecs_regions_are_the_printed_ones(case: tuple[float, int], bounds: tuple[int, int]) -> None:
    low, high = kupiec_region_asymptotic(case[1], case[0])
    assert (low - 1, high + 1) == bounds


def test_kupiecs_row_of_a_year_at_one_percent_has_no_lower_bound_and_ours_has() -> None:
    """Printed: N < 7, of 255 at 1%. By the formula no exception at all is rejected too: its ratio is -2 * 255 ln 0.99
    = 5.13, beyond 3.84. By the exact test it is not: a right forecast has none in 7.7% of years."""
    assert kupiec_region_asymptotic(255, 0.01) == (1, 7 - 1)
    assert kupiec_ratio(0, 255, 0.01) == pytest.approx(5.126, abs=0.001)
    assert kupiec_region(255, 0.01)[0] == 0
    assert binom.pmf(0, 255, 0.01) == pytest.approx(0.0771, abs=1e-4)
    assert kupiec_p_value(0, 255, 0.01) > 0.077


@pytest.mark.parametrize(("exceptions", "row"), BASEL_TABLE.items())
def test_the_traffic_light_is_basels_to_print(exceptions: int, row: tuple[float, str]) -> None:
    # The red zone prints 99.99 for 99.997.
    assert round(100 * binom.cdf(exceptions, 250, 0.01) - (0.005 if exceptions == 10 else 0.0), 2) == row[0]
    assert traffic_light(exceptions, 250, 0.01).zone == row[1]


@pytest.mark.parametrize(
    ("windows", "probability", "yellow", "red"), [(250, 0.01, 5, 10), (365, 0.01, 7, 13), (1095, 0.003, 6, 12)]
)
def test_zones_are_computed_for_the_sample(windows: int, probability: float, yellow: int, red: int) -> None:
    light = traffic_light(0, windows, probability)
    assert (light.yellow_from, light.red_from) == (yellow, red)


@settings(deadline=None, max_examples=30)  # machines are shared
@given(st.integers(250, 3_000), st.sampled_from([0.01, 0.003]))
def test_the_exact_test_never_exceeds_its_size(windows: int, probability: float) -> None:
    low, high = kupiec_region(windows, probability)
    inside = binom.cdf(high, windows, probability) - binom.cdf(low - 1, windows, probability)
    assert 0.95 <= inside <= 1.0
    assert low <= windows * probability <= high


def test_the_ratio_is_zero_at_the_promised_rate() -> None:
    assert kupiec_ratio(10, 1_000, 0.01) == pytest.approx(0.0, abs=1e-12)
    assert kupiec_p_value(10, 1_000, 0.01) == pytest.approx(1.0)


def test_clustered_exceptions_are_rejected_though_their_number_is_right() -> None:
    spread, clustered = np.zeros(1_000, dtype=bool), np.zeros(1_000, dtype=bool)
    spread[50::100] = True
    clustered[500:510] = True
    assert conditional_coverage_p_value(spread, 0.01) > 0.5
    assert conditional_coverage_p_value(clustered, 0.01) < 0.001


def test_conditional_coverage_is_coverage_plus_independence() -> None:
    """Against the formula written out with transitions counted by hand: 0 1 1 0 0 0 1 0, p = 0.25."""
    hits = np.array([0, 1, 1, 0, 0, 0, 1, 0], dtype=bool)
    n00, n01, n10, n11 = 2, 2, 2, 1
    independent = (n00 + n10) * np.log(4 / 7) + (n01 + n11) * np.log(3 / 7)
    dependent = n00 * np.log(0.5) + n01 * np.log(0.5) + n10 * np.log(2 / 3) + n11 * np.log(1 / 3)
    expected = float(kupiec_ratio(3, 8, 0.25)) + 2 * (dependent - independent)
    assert conditional_coverage_ratio(hits, 0.25) == pytest.approx(expected)


def test_a_simulated_test_has_its_size() -> None:
    random = np.random.default_rng(5)
    rejected = [conditional_coverage_p_value(random.random(1_500) < 0.01, 0.01) < 0.05 for _ in range(2_000)]
    assert np.mean(rejected) == pytest.approx(0.05, abs=0.015)
    assert conditional_coverage_null(1_500, 0.01).size == 20_000
