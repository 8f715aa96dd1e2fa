"""How well the volatility surfaces fitted: kept when one is fitted live, read by the hash of the surface.

The calibrated surfaces carry theirs in the file of their figures. Nothing is decided by a fit; what could be traded
against or missed its quotes was refused when it was made. Loads no numeric library: feed and pages use it.
"""

import json
from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

from risk.market.parameters import SURFACES_FILE, load_surfaces
from risk.market.surface import VolSurface
from risk.models import SurfaceFit


def keep(surface: VolSurface, fit: Mapping[str, Any]) -> None:
    """Remember the fit of a surface; the same surface is the same row."""
    SurfaceFit.objects.get_or_create(
        id=surface.id,
        defaults={"underlying": surface.underlying, "as_of": surface.as_of, "body": dict(fit)},
    )


def fits_of(surfaces: Collection[VolSurface]) -> dict[str, Mapping[str, Any]]:
    """By the surface's id what is known of its fit; a surface of which nothing is known is left out."""
    wanted = {surface.id for surface in surfaces}
    found = dict(SurfaceFit.objects.filter(id__in=wanted).values_list("id", "body")) if wanted else {}
    return {key: fit for key, fit in _calibrated().items() if key in wanted} | found


@cache
def _calibrated() -> dict[str, Mapping[str, Any]]:
    bodies = json.loads(SURFACES_FILE.read_text())["underlyings"]
    return {one.surface.id: bodies[coin]["fit"] for coin, one in load_surfaces().items() if "fit" in bodies[coin]}
