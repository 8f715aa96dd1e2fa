"""What a term sheet's PDF draws and reads from the sliders' grid: every mark where its figure says."""

from itertools import product
from math import log10
from typing import Any

import pytest
from reportlab.graphics.shapes import PolyLine, Rect, String

from bonds.portal.sheet_drawing import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, curve_drawing
from bonds.portal.sheet_sensitivities import sensitivities

AXES: dict[str, Any] = {
    "pd": [0.5, 1.0, 2.0], "severity": [0.5, 1.0, 2.0], "rho": [0.05, 0.35, 0.7], "load": [0.0, 0.2, 0.4],
    "base": {"pd": 1.0, "severity": 1.0, "rho": 0.3500000004, "load": 0.2},
}  # fmt: skip


def chart(points: list[list[float | None]]) -> dict[str, Any]:
    return {
        "xName": "net loss", "bands": [{"from": 25.0, "to": 50.0, "label": "Class B", "tone": "layer-2"},
                                       {"from": 50.0, "to": 90.0, "label": "Class A", "tone": "layer-3"}],
        "marks": [{"at": 10.0, "label": "now"}], "series": [{"name": "probability", "points": points}],
    }  # fmt: skip


def test_a_curve_and_its_bands_lie_where_their_figures_say() -> None:
    drawn = curve_drawing(chart([[0.0, 10.0], [50.0, 1.0], [100.0, 0.1]]))
    assert drawn is not None
    junior, senior = (one for one in drawn.contents if isinstance(one, Rect))
    inside = WIDTH - LEFT - RIGHT
    assert (junior.x, junior.width) == pytest.approx((LEFT + inside / 4, inside / 4))
    assert (senior.x, senior.width) == pytest.approx((LEFT + inside / 2, inside * 0.4))
    (line,) = (one for one in drawn.contents if isinstance(one, PolyLine))
    tall = HEIGHT - BOTTOM - TOP
    assert line.points == pytest.approx(
        [LEFT, BOTTOM + tall, LEFT + inside / 2, BOTTOM + tall / 2, LEFT + inside, BOTTOM]
    )
    words = {one.text for one in drawn.contents if isinstance(one, String)}
    assert {"Class A", "Class B", "now", "10%", "1%", "0.1%", "100"} <= words


def test_a_curve_ends_where_nothing_is_probable_and_none_is_drawn_of_nothing() -> None:
    drawn = curve_drawing(chart([[0.0, 10.0], [50.0, 2e-4], [75.0, 1e-30], [100.0, None]]))
    assert drawn is not None
    (line,) = (one for one in drawn.contents if isinstance(one, PolyLine))
    assert len(line.points) == 4, "what is beyond six decades is left out"
    assert min(line.points[1::2]) >= BOTTOM
    assert "0.00001%" in {one.text for one in drawn.contents if isinstance(one, String)}
    assert line.points[3] == pytest.approx(BOTTOM + (HEIGHT - BOTTOM - TOP) * (log10(2e-4) + 5) / 6)
    assert curve_drawing(chart([[0.0, None], [100.0, None]])) is None


def test_sensitivities_are_the_nodes_of_the_sliders_and_move_one_assumption_each() -> None:
    nodes = list(product(AXES["pd"], AXES["severity"], AXES["rho"]))
    grid = {
        "el": [pd * severity * rho for pd, severity, rho in nodes],
        "spread": [pd + 10 * severity + 100 * rho + load for (pd, severity, rho) in nodes for load in AXES["load"]],
    }
    found = {one.words: one.figures[0] for one in sensitivities(AXES, [grid])}
    assert found["As today"] == pytest.approx((0.35, 1e4 * 46.2))
    assert found["Default intensity doubled"] == pytest.approx((0.70, 1e4 * 47.2))
    assert found["Severity of a loss halved"] == pytest.approx((0.175, 1e4 * 41.2))
    assert found["Correlation with distress 0.70"] == pytest.approx((0.70, 1e4 * 81.2))
    assert found["Market price of risk, lambda, nothing"] == pytest.approx((0.35, 1e4 * 46.0))
    assert found["Lambda doubled"] == pytest.approx((0.35, 1e4 * 46.4))
    assert len(found) == 9
