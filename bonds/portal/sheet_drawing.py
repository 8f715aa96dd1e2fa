"""The loss-exceedance curve of one relationship, drawn for the PDF of a term sheet: the same points as on the page.

Across lies net loss beyond margin in USDC, up the probability of a larger one within a year in percent, by powers of
ten. The bands behind the line are the classes; the broken line is the loss at the marks. Loads ReportLab.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from math import ceil, floor, log10
from typing import Any

from reportlab.graphics.shapes import Drawing, Line, PolyLine, Rect, String
from reportlab.lib import colors

WIDTH, HEIGHT = 480.0, 170.0  # points
LEFT, RIGHT, BOTTOM, TOP = 44.0, 8.0, 26.0, 14.0
DECADES_MOST = 6  # below a millionth of the largest probability a curve says nothing that a reader could use
TONES = {"layer-2": "#d5e0fb", "layer-3": "#cdd4df", "ok": "#cfe8dc", "wait": "#f3e0c4"}  # the page's, for paper
INK, QUIET = colors.HexColor("#1f4fc4"), colors.HexColor("#555555")
TICKS = 4


def curve_drawing(chart: Mapping[str, Any]) -> Drawing | None:
    """`chart` as `SheetView.curves` has it; None of a book that cannot lose."""
    points = [(float(x), level) for x, level in chart["series"][0]["points"]]
    levels = [level for _, level in points if level is not None]
    if not levels:
        return None
    end, high = max(x for x, _ in points), ceil(log10(max(levels)))
    low = min(max(floor(log10(min(levels))), high - DECADES_MOST), high - 1)

    def across(x: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * min(x, end) / end

    def up(level: float) -> float:
        return BOTTOM + (HEIGHT - BOTTOM - TOP) * (log10(level) - low) / (high - low)

    drawing = Drawing(WIDTH, HEIGHT)
    for band in chart["bands"]:
        left, right = across(band["from"]), across(band["to"])
        fill = colors.HexColor(TONES[band["tone"]])
        drawing.add(Rect(left, BOTTOM, right - left, HEIGHT - BOTTOM - TOP, fillColor=fill, strokeColor=None))
        drawing.add(_text((left + right) / 2, HEIGHT - TOP + 3, band["label"], "middle"))
    for power in range(low, high + 1):
        y = up(10.0**power)
        drawing.add(Line(LEFT, y, WIDTH - RIGHT, y, strokeColor=colors.HexColor("#cccccc"), strokeWidth=0.4))
        drawing.add(_text(LEFT - 4, y - 2.5, f"{10.0**power:.{max(0, -power)}f}%", "end"))
    for tick in range(TICKS + 1):
        anchor = "end" if tick == TICKS else "middle"
        drawing.add(_text(across(end * tick / TICKS), BOTTOM - 10, f"{end * tick / TICKS:,.0f}", anchor))
    drawing.add(_text(WIDTH - RIGHT, 4, f"{chart['xName']}; up: {chart['series'][0]['name']}", "end"))
    for mark in chart["marks"]:
        x = across(mark["at"])
        drawing.add(Line(x, BOTTOM, x, HEIGHT - TOP, strokeColor=QUIET, strokeWidth=0.8, strokeDashArray=[3, 2]))
        drawing.add(_text(x + 2, BOTTOM + 3, mark["label"], "start"))
    for part in _unbroken(points, 10.0**low):
        flat = [value for x, level in part for value in (across(x), up(level))]
        drawing.add(PolyLine(flat, strokeColor=INK, strokeWidth=1.2))
    return drawing


def _unbroken(points: Sequence[tuple[float, float | None]], least: float) -> list[list[tuple[float, float]]]:
    """Runs of at least two points that lie on the drawing."""
    runs = groupby(points, key=lambda point: point[1] is not None and point[1] >= least)
    found = [[(x, level) for x, level in run if level is not None] for shown, run in runs if shown]
    return [run for run in found if len(run) > 1]


def _text(x: float, y: float, words: str, anchor: str) -> String:
    return String(x, y, words, fontName="Helvetica", fontSize=6.5, fillColor=QUIET, textAnchor=anchor)
