"""The smiles of one surface as one SVG without any library: quotes as bars from bid to ask, the fit as a line.

One panel an expiry, volatility against log-moneyness in at-the-money deviations, so that all expiries can be compared.
A quote whose bar the line misses is red.
"""

from collections.abc import Callable
from html import escape

import numpy as np
from numpy.typing import NDArray

from risk.market.surface_fit import Fitted, SurfaceFit

Floats = NDArray[np.float64]

COLUMNS, WIDTH, HEIGHT = 3, 320, 210
LEFT, RIGHT, TOP, BOTTOM = 40, 10, 34, 24
COLOURS = {"inside": "#9aa3ad", "missed": "#dc2626", "fit": "#2563eb", "grid": "#e5e7eb"}
POINTS = 80
GRID_LINES = 4


def smiles_plot(fit: SurfaceFit) -> str:
    """SVG text of all expiries of a surface."""
    rows = -(-len(fit.fitted) // COLUMNS)
    panels = "".join(
        f'<g transform="translate({index % COLUMNS * WIDTH},{24 + index // COLUMNS * HEIGHT})">{_panel(item)}</g>'
        for index, item in enumerate(fit.fitted)
    )
    inside = np.concatenate([item.inside() for item in fit.fitted])
    title = (
        f"{fit.surface.underlying} {fit.surface.as_of:%d %b %Y %H:%M} UTC: {int(inside.sum())} of {inside.size} quotes "
        "hold the fitted smile between bid and ask"
    )
    width, height = COLUMNS * WIDTH, 24 + rows * HEIGHT
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="10">'
        f'<rect width="{width}" height="{height}" fill="#fff"/>'
        f'<text x="{LEFT}" y="16" font-size="13">{escape(title)}</text>{panels}</svg>\n'
    )


def _panel(item: Fitted) -> str:
    quotes = item.quotes.quotes
    deviation = float(item.svi.total_variance(0.0)) ** 0.5
    k: Floats = np.linspace(quotes[0].k, quotes[-1].k, POINTS)
    vols: Floats = np.sqrt(item.svi.total_variance(k) / item.quotes.years)
    first, last = quotes[0].k, quotes[-1].k
    low = min(*(quote.bid_vol for quote in quotes), float(vols.min()))
    high = max(*(quote.ask_vol for quote in quotes), float(vols.max()))

    def x(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - first) / (last - first)

    def y(vol: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (vol - low) / (high - low)

    bars = "".join(
        f'<path d="M{x(quote.k):.1f} {y(quote.bid_vol):.1f}V{y(quote.ask_vol):.1f}" '
        f'stroke="{COLOURS["inside" if inside else "missed"]}" stroke-width="2"><title>{quote.strike:g} '
        f"{'call' if quote.is_call else 'put'}: {quote.bid_vol:.1%} to {quote.ask_vol:.1%}, "
        f"fitted {quote.mid_vol + error:.1%}</title></path>"
        for quote, inside, error in zip(quotes, item.inside(), item.errors(), strict=True)
    )
    line = " ".join(f"{x(float(at)):.1f},{y(float(vol)):.1f}" for at, vol in zip(k, vols, strict=True))
    days = item.quotes.years * 365.0
    title = f"{item.quotes.expiry:%d %b %Y}, {days:.0f} days, forward {item.quotes.forward:,.0f}"
    if item.enforced:
        title += f" (held: {', '.join(item.enforced)})"
    return (
        f'<text x="{LEFT}" y="22">{escape(title)}</text>{_levels(low, high, y)}{bars}'
        f'<polyline points="{line}" fill="none" stroke="{COLOURS["fit"]}" stroke-width="1.2"/>'
        f'<text x="{LEFT}" y="{HEIGHT - 8}">{first / deviation:+.1f}σ</text>'
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 8}" text-anchor="end">{last / deviation:+.1f}σ</text>'
        f'<text x="{x(0.0):.1f}" y="{HEIGHT - 8}" text-anchor="middle">forward</text>'
    )


def _levels(low: float, high: float, y: Callable[[float], float]) -> str:
    lines = []
    for step in range(GRID_LINES + 1):
        vol = low + (high - low) * step / GRID_LINES
        lines.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(vol):.1f}" y2="{y(vol):.1f}" stroke="{COLOURS["grid"]}"/>'
            f'<text x="{LEFT - 4}" y="{y(vol) + 3:.1f}" text-anchor="end">{vol:.0%}</text>'
        )
    return "".join(lines)
