"""What every page knows: which frame it is drawn in, the platform's clock, whose pages the reader may open."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from intermediary import queries


def face(request: HttpRequest) -> dict[str, Any]:
    """Context of all templates. `frame` is the whole page, or the bare content when a live page renews itself."""
    renewing = request.headers.get("HX-Request") == "true" and request.headers.get("HX-Boosted") != "true"
    return {
        "frame": "frames/content_only.html" if renewing else "frames/page.html",
        "platform": SimpleLazyObject(queries.platform_clock),
        "last_valuation": SimpleLazyObject(queries.latest_valuation),
        "my_cells": SimpleLazyObject(lambda: queries.cells_of(request.user)),
        "is_investor": SimpleLazyObject(lambda: queries.is_investor(request.user)),
        "demo": settings.MODE == "demo",
    }
