"""Public pages: what this is, the rules, the register of layers, the vocabulary, how the platform is doing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe
from markdown_it import MarkdownIt

from intermediary import queries
from intermediary.canonical import sha256_hex
from intermediary.models import ClockStop, Valuation
from intermediary.public.glossary import GLOSSARY

CHART_SPAN = timedelta(hours=36)  # a day and what led to it
STALE_AFTER_S = 4 * 3600  # the longest official valuation interval; older numbers are greyed


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """What this is in one screen, with the live register."""
    rows = queries.register()
    valuations = _recent()
    context = {
        "rows": rows,
        "scale": _scale(rows),
        "totals": _totals(rows),
        "valuation": valuations[-1] if valuations else None,
        "chart": price_chart(valuations),
        "stale_after": STALE_AFTER_S,
    }
    return render(request, "public/home.html", context)


@require_safe
def register(request: HttpRequest) -> HttpResponse:
    """Every relationship under its anonymous code, with its layers of loss."""
    rows = queries.register()
    measured = next((row.uncovered_risk for row in rows if row.uncovered_risk), None)
    context = {"rows": rows, "scale": _scale(rows), "totals": _totals(rows), "measured": measured}
    return render(request, "public/register.html", context)


@require_safe
def glossary(request: HttpRequest) -> HttpResponse:
    """The vocabulary."""
    return render(request, "public/glossary.html", {"entries": sorted(GLOSSARY.values(), key=lambda e: e.name.lower())})


@require_safe
def verify(request: HttpRequest) -> HttpResponse:
    """Where a margin statement is checked in the reader's own browser; the page itself knows nothing."""
    return render(request, "public/verify.html")


@require_safe
def rulebook(request: HttpRequest, on_chain: Callable[[], Sequence[Any]]) -> HttpResponse:
    """The published rules, their hash, and the hash that the contracts name."""
    path = Path(settings.BASE_DIR) / "docs" / "rulebook.md"
    text = path.read_text() if path.exists() else ""
    context = {
        "body": rendered(text),
        "hash": sha256_hex(text) if text else "",
        "published": list(on_chain()),
    }
    return render(request, "public/rulebook.html", context)


@require_safe
def status(
    request: HttpRequest,
    chain_facts: Callable[[], Sequence[Any]],
    contracts: Callable[[], Sequence[Any]],
    doubtful_marks: Callable[[str], Sequence[Any]],
    unmarked: Callable[[Any], Sequence[Any]],
    scenario_source: Callable[[], Any],
    live_market: Callable[[], Any],
) -> HttpResponse:
    """Market feed, platform clock, chains and reconciliation, as they stand."""
    valuation = queries.latest_valuation()
    context = {
        "valuation": valuation,
        "doubtful": doubtful_marks(valuation.snapshot_id) if valuation else (),
        "unmarked": unmarked(valuation) if valuation else (),
        "scenarios": scenario_source(),
        "chains": chain_facts(),
        "contracts": contracts(),
        "live": live_market(),
        "stops": ClockStop.objects.order_by("-id")[:10],
        "stale_after": STALE_AFTER_S,
    }
    return render(request, "public/status.html", context)


def not_found(_request: HttpRequest, exception: Exception) -> HttpResponse:
    """No such page, or not yours: one answer. Drawn without the request: its database role is gone by now."""
    return HttpResponse(render_to_string("404.html"), status=404)


def server_error(_request: HttpRequest) -> HttpResponse:
    """Our fault. Drawn without context or database: either may be what broke."""
    return HttpResponse(render_to_string("500.html"), status=500)


@dataclass(frozen=True)
class Totals:
    """Sums over the register; settlement base units."""

    cover_base_units: int
    borne_base_units: int
    uncovered_base_units: int
    defaulted: int


def _totals(rows: Sequence[queries.RegisterRow]) -> Totals:
    return Totals(
        cover_base_units=sum(row.cover_base_units for row in rows),
        borne_base_units=sum(row.borne_base_units for row in rows),
        uncovered_base_units=sum(row.uncovered_base_units for row in rows),
        defaulted=sum(row.defaulted_at is not None for row in rows),
    )


def _scale(rows: Sequence[queries.RegisterRow]) -> int:
    """One axis for all: the largest detachment point."""
    return max((layer.detach_base_units for row in rows for layer in row.layers), default=0)


def _recent() -> list[Valuation]:
    latest = queries.latest_valuation()
    return queries.valuations_since(latest.as_of - CHART_SPAN) if latest else []


def price_chart(valuations: Sequence[Valuation]) -> dict[str, Any] | None:
    """Every coin's price as a share of its first one in the span; bitcoin stands out. None below two points."""
    if len(valuations) < 2:
        return None
    first = {coin: float(price) for coin, price in valuations[0].prices.items()}
    coins = sorted(first, key=lambda coin: (coin != "BTC", coin != "ETH", coin))
    series = [
        {
            "name": coin,
            "tone": {"BTC": "accent", "ETH": "ink"}.get(coin, "quiet"),
            "quiet": coin not in ("BTC", "ETH"),
            "points": [
                [one.as_of.isoformat(), round(100 * float(one.prices[coin]) / first[coin], 3)]
                for one in valuations
                if coin in one.prices
            ],
        }
        for coin in coins
    ]
    return {"kind": "lines", "unit": "% of start", "series": series}


@lru_cache(maxsize=2)
def rendered(text: str) -> SafeString:
    """Markdown as HTML; raw HTML in the text is shown as text."""
    html: str = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    return SafeString(html)
