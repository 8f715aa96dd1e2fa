"""The worlds of seeds 1 to 20 are covered as docs/backtest.md says: every count and rate that it gives of them."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from tests.risk.backtest.builders import hourly_columns, write
from tests.risk.backtest.test_walk import (
    BEYOND_BASE,
    DAYS,
    lines,
    outside_band,
    singles,
    true_probabilities,
    walked,
)

SERIES = 120  # of three coins, long and short, in twenty worlds
# line -> (series inside the two-sided 95% band of its level, true probability of a loss beyond it in the mean)
TOLD = {
    "VaR 99%": (115, 0.0108),
    "VaR 99.7%": (117, 0.0035),
    "ES 99%": (118, 0.0039),
    "base of the conditional model": (117, 0.0034),
}


@pytest.mark.deep  # a minute and a half
def test_twenty_known_worlds_are_covered_as_the_documents_say(tmp_path: Path) -> None:
    outside = dict.fromkeys(TOLD, 0)
    truth: dict[str, list[float]] = {line: [] for line in TOLD}
    margin_holds, beyond, windows = 0, 0, 0
    for seed in range(1, 21):
        found = walked(write(hourly_columns(DAYS, seed=seed), tmp_path))
        for line, (forecast, probability) in lines(found).items():
            outside[line] += len(outside_band(found, forecast, probability))
            truth[line] += true_probabilities(found, forecast, seed)
        for index, tested in singles(found).items():
            exceptions = int((found.loss[tested, index] > found.margin[tested, index]).sum())
            margin_holds += exceptions <= binom.interval(0.95, int(tested.sum()), BEYOND_BASE)[1]
            beyond, windows = beyond + exceptions, windows + int(tested.sum())
    assert {line: SERIES - count for line, count in outside.items()} == {line: told[0] for line, told in TOLD.items()}
    for line, (_, probability) in TOLD.items():
        assert np.mean(truth[line]) == pytest.approx(probability, abs=5e-5), line
    assert margin_holds == SERIES - 1
    assert beyond / windows == pytest.approx(0.0024, abs=5e-5)
