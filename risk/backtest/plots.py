"""One picture of one book, as SVG without any library: losses, both forecasts, and every exception marked.

The picture is made for paper and for a page without scripts; interactive charts draw the series files.
"""

from collections.abc import Callable
from html import escape
from typing import Any

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 960, 320, 56, 12, 36, 28
COLOURS = {"loss": "#9aa3ad", "var_99": "#2563eb", "margin": "#0f766e", "exception": "#dc2626"}
GRID_LINES = 5


def exceptions_plot(series: dict[str, Any]) -> str:
    """SVG text of a series file (see `report.series_of`); losses as bars, VaR 99% and margin as lines, in percent of
    gross notional. Gains are left out: nobody is margined for them."""
    losses, margin, quantile = series["loss"], series["margin"], series["var_99"]
    count = len(losses)
    top = float(max(max(losses), max(margin))) * 1.05

    def x(row: int) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (row + 0.5) / count

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top

    bars = "".join(f"M{x(row):.1f} {y(0):.1f}V{y(loss):.1f}" for row, loss in enumerate(losses) if loss > 0)
    beyond = [(row, loss) for row, loss in enumerate(losses) if loss > quantile[row]]
    dots = "".join(
        f'<circle cx="{x(row):.1f}" cy="{y(loss):.1f}" r="{3.5 if loss > margin[row] else 2}" '
        f'fill="{COLOURS["exception"] if loss > margin[row] else "none"}" stroke="{COLOURS["exception"]}">'
        f"<title>{series['days'][row]}: loss {loss:.2%}, VaR 99% {quantile[row]:.2%}, margin {margin[row]:.2%}</title>"
        "</circle>"
        for row, loss in beyond
    )
    over_margin = sum(loss > margin[row] for row, loss in beyond)
    title = (
        f"{series['book']}: {len(beyond)} of {count} losses beyond VaR 99% (ring), {over_margin} beyond margin (dot)"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        f'font-size="11"><rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
        f'<text x="{LEFT}" y="20" font-size="13">{escape(title)}</text>'
        f"{_grid(top, y)}{_years(series['days'], x)}"
        f'<path d="{bars}" stroke="{COLOURS["loss"]}" stroke-width="0.7"/>'
        f"{_line(quantile, x, y, COLOURS['var_99'])}{_line(margin, x, y, COLOURS['margin'])}{dots}</svg>\n"
    )


def _line(values: list[float], x: Callable[[int], float], y: Callable[[float], float], colour: str) -> str:
    points = " ".join(f"{x(row):.1f},{y(value):.1f}" for row, value in enumerate(values))
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1"/>'


def _grid(top: float, y: Callable[[float], float]) -> str:
    lines = []
    for step in range(GRID_LINES + 1):
        value = top * step / GRID_LINES
        lines.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#e5e7eb"/>'
            f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.0%}</text>'
        )
    return "".join(lines)


def _years(days: list[str], x: Callable[[int], float]) -> str:
    """The first window of each year, named."""
    marks, before = [], days[0][:4]
    for row, day in enumerate(days):
        if day[:4] != before:
            before = day[:4]
            marks.append(f'<text x="{x(row):.1f}" y="{HEIGHT - 8}" text-anchor="middle">{before}</text>')
    return "".join(marks)


SIDE, MARGIN = 320, 44  # of the square in which quantiles are drawn


def tail_plot(book: str, tail: dict[str, Any]) -> str:
    """SVG text: quantiles of a book's tail residuals against the exponential law's (`residuals.tail_test`). On the
    diagonal the tail is right, above it real losses go further than it says."""
    pairs = tail["quantiles"]
    top = 1.1 * float(max([1.0, *(value for pair in pairs for value in pair)]))

    def at(value: float) -> float:
        return (SIDE - 2 * MARGIN) * value / top

    points = "".join(
        f'<circle cx="{MARGIN + at(model):.1f}" cy="{SIDE - MARGIN - at(seen):.1f}" r="3" fill="{COLOURS["var_99"]}">'
        f"<title>model {model:.2f}, seen {seen:.2f}</title></circle>"
        for model, seen in pairs
    )
    verdict = "rejected" if tail["rejected"] else "not rejected"
    found = f"{tail['exceedances']} losses beyond the threshold, p = {tail['p']:.3f}, {verdict}"
    end = SIDE - MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIDE} {SIDE}" font-family="sans-serif" font-size="9">'
        f'<rect width="{SIDE}" height="{SIDE}" fill="#fff"/><text x="8" y="14">{escape(book)}</text>'
        f'<text x="8" y="28">{escape(found)}</text>'
        f'<path d="M{MARGIN} {MARGIN}V{end}H{end}" fill="none" stroke="{COLOURS["loss"]}"/>'
        f'<path d="M{MARGIN} {end}L{end} {MARGIN}" stroke="{COLOURS["margin"]}"/>{points}'
        f'<text x="{MARGIN - 4}" y="{end + 12}" text-anchor="end">0</text>'
        f'<text x="{end}" y="{end + 12}" text-anchor="end">{top:.1f}</text>'
        f'<text x="{MARGIN - 4}" y="{MARGIN + 4}" text-anchor="end">{top:.1f}</text>'
        f'<text x="{SIDE // 2}" y="{SIDE - 14}" text-anchor="middle">quantile of the model</text>'
        f'<text x="16" y="{SIDE // 2}" text-anchor="middle" transform="rotate(-90 16 {SIDE // 2})">quantile seen</text>'
        "</svg>\n"
    )
