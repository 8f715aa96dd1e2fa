"""A change of figures is a new version of the ruleset: what some books are asked for under this version stands here.

Code, calibrated parameters and constants outside the ruleset are covered by its version only. When one of these figures
moves, whoever moved it raises the version, writes down what changed (docs/adr/), and puts the new figures here.
"""

import pytest

from risk.margin.ruleset import ruleset
from tests.risk.builders import required

VERSIONS = {"standard": 6, "worked-example": 4}
BOOKS = {
    "long": {"BTC-PERP": 100.0},
    "small coins short": {"ADA-PERP": -2e6, "SOL-PERP": -4_000.0},
    "hedged": {"BTC-PERP": 100.0, "BTC-FUT": -100.0},
    "options": {"BTC-CALL": -40.0, "BTC-PUT": -40.0},
}
# Dollars: the lines of the breakdown, then expected shortfall of the admission test and the worst stress loss.
FIGURES = {
    "long": (1373781, 47758.41, 573460.6, 0, 58750.17, 494830.5, 1616081, 4965075),
    "small coins short": (486090.6, 8906.063, 923883.4, 0, 27132.99, 0, 601977.2, 649141.3),
    "hedged": (95490.8, 5117.327, 0, 0, 52.29351, 22581.69, 110241, 338748.6),
    "options": (251446.9, 10587.63, 408185.7, 0, 714.1558, 58616.98, 310032.9, 1529805),
}


def test_the_figures_of_a_version_stay() -> None:
    assert {name: ruleset(name).version for name in VERSIONS} == VERSIONS, "put the figures of the new version here"
    found = required(*BOOKS.values())
    for account, name in enumerate(BOOKS):
        lines = [float(part[account]) for _, part in found.parts]
        figures = [*lines, float(found.es_995[account]), float(found.worst_stress_loss[account])]
        # Single precision and the processor's own sums move the seventh digit.
        assert figures == pytest.approx(FIGURES[name], rel=1e-5, abs=0.01), f"{name}: another figure, the same version"
