"""The market that requirements follow from: each mark and how sure it is, the dollar curve, the volatilities in use.

What is shown is the last official snapshot (`risk.market_queries`); nothing is computed here but what is drawn of it.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from django.http import HttpRequest, HttpResponse

from intermediary import queries
from intermediary.config import live_market
from intermediary.config.office.pages import show
from intermediary.errors import Refusal
from risk.market.quality import SourceSeen
from risk.market_queries import CoinMarket, Market, RatePoint, SurfaceView, official_market

TONES = ("accent", "ok", "wait", "bad", "layer-2", "ink")
SMILES_DRAWN = len(TONES)  # more lines in one drawing cannot be told apart
DIGITS = 3
PARTS = (
    ("marks", "Marks"),
    ("sources", "Sources"),
    ("curve", "Curve"),
    ("at-the-money", "At the money"),
    ("smiles", "Smiles"),
    ("fits", "Fits"),
)


def market(request: HttpRequest) -> HttpResponse:
    """The page."""
    now, refused, found = queries.platform_clock().now, None, None
    try:
        found = official_market(now)
    except Refusal as refusal:
        refused = refusal
    return show(
        request,
        "market",
        "Market",
        found=found,
        refused=refused,
        live=live_market.health(),
        now=now,
        **(_drawn(found) if found else {}),
    )


def _drawn(found: Market) -> dict[str, Any]:
    judged = any(one.quality for one in found.coins)
    seen = sources(found)
    return {
        "sources": seen,
        "left_out": sum(bool(one.left_out) for _, one, _ in seen),
        "rates_age_days": (found.as_of.date() - found.calibrated_to).days,
        "on_this_page": [part for part in PARTS if judged or part[0] != "sources"],
        "judged": judged,
        "least_sure": max((one for one in found.coins if one.quality), key=_uncertainty, default=None),
        "in_use": any(one.in_use for one in found.surfaces),
        "curve": curve_chart(found.curve),
        "at_the_money": at_the_money_chart(found.surfaces),
        "smiles": [(one, smile_chart(one)) for one in found.surfaces],
        "refused_expiries": [(one.coin, item) for one in found.surfaces if one.fit for item in one.fit["refused"]],
    }


def sources(found: Market) -> list[tuple[str, SourceSeen, Decimal | None]]:
    """Every source of every mark, those that were left out first, with how far it is from the mark in basis points."""
    rows = [
        (one.coin, seen, None if seen.price_usd is None else (seen.price_usd / one.of.mark - 1) * 10_000)
        for one in found.coins
        if one.quality
        for seen in one.quality.sources
    ]
    return sorted(rows, key=lambda row: (not row[1].left_out, row[0]))


def _uncertainty(one: CoinMarket) -> int:
    return one.quality.uncertainty_bps if one.quality else 0


def curve_chart(points: Sequence[RatePoint]) -> dict[str, Any]:
    """Zero rates at their nodes, and the forward rate of each stretch between them, percent a year."""
    starts = [0, *(one.days for one in points[:-1])]
    stretches = [
        [at, _percent(one.forward)] for start, one in zip(starts, points, strict=True) for at in (start, one.days)
    ]
    return _by_days(
        "% a year",
        [
            {
                "name": "Zero rate",
                "tone": "accent",
                "points": [[one.days, _percent(float(one.zero))] for one in points],
            },
            {"name": "Forward of the stretch", "tone": "wait", "dash": True, "points": stretches},
        ],
        [{"name": "Points", "tone": "accent", "points": [[one.days, _percent(float(one.zero))] for one in points]}],
    )


def at_the_money_chart(surfaces: Sequence[SurfaceView]) -> dict[str, Any]:
    """Volatility at the forward by days to expiry, one line a coin, a ring at each expiry that is quoted."""
    lines = [[[round(item.days, 2), _percent(item.atm_vol)] for item in one.slices] for one in surfaces]
    named = list(zip(surfaces, lines, TONES, strict=False))
    return _by_days(
        "% a year",
        [{"name": one.coin, "tone": tone, "points": points} for one, points, tone in named],
        [{"name": f"{one.coin} expiries", "tone": tone, "points": points} for one, points, tone in named],
    )


def smile_chart(surface: SurfaceView) -> dict[str, Any]:
    """Volatility by strike of some expiries from the nearest to the farthest."""
    count = len(surface.slices)
    drawn = sorted({round(step * (count - 1) / max(1, SMILES_DRAWN - 1)) for step in range(min(count, SMILES_DRAWN))})
    return {
        "kind": "lines",
        "unit": "% a year",
        "x": "value",
        "xName": "strike, USD",
        "tight": True,
        "series": [
            {
                "name": f"{surface.slices[place].expiry:%d %b %Y}",
                "tone": tone,
                "points": [[round(strike, 2), _percent(vol)] for strike, vol in surface.slices[place].points],
            }
            for place, tone in zip(drawn, TONES, strict=False)
        ],
    }


def _by_days(unit: str, series: list[dict[str, Any]], dots: list[dict[str, Any]]) -> dict[str, Any]:
    return {"kind": "lines", "unit": unit, "x": "value", "xName": "days", "series": series, "dots": dots}


def _percent(share: float) -> float:
    return round(100 * share, DIGITS)
