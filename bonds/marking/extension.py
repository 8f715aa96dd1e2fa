"""What a class goes through when a relationship behind it defaults, for a term sheet: extension, reserve, write-up.

The simulation is `bonds.loss.paths`; here the terms of a series become its times, and its figures a JSON value with
the assumptions that they rest on. Pure but for the types it reads.
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date, timedelta
from math import inf
from typing import Any

from bonds.loss.importance import CoveredLayer, Estimate
from bonds.loss.note_risk import Piece
from bonds.loss.paths import PathTerms, Resolution, path_figures
from bonds.offering.terms import SeriesTerms
from risk.market.curve import years_between

DRAWS = 5_000  # a sheet shows two digits; standard errors are some hundredths of a figure
ASSUMED = Resolution()


def path_terms(terms: SeriesTerms, as_of: date) -> PathTerms | None:
    """The terms in years from this day; None from the scheduled maturity on, when an extension is a fact."""
    if as_of >= terms.scheduled_maturity:
        return None
    determination = timedelta(days=terms.loss_determination_days)
    return PathTerms(
        scheduled=years_between(as_of, terms.scheduled_maturity),
        final=years_between(as_of, terms.final_maturity),
        determination=years_between(as_of, as_of + determination),
        long_stop=inf if terms.long_stop is None else years_between(as_of, terms.long_stop),
        buffers=tuple(
            (inf if months is None else months / 12, float(factor)) for months, factor in terms.extension_buffers
        ),
    )


def extension(terms: SeriesTerms, as_of: date, pieces: Sequence[Piece]) -> dict[str, Any] | None:
    """`PathFigures` of a class, each as {value, standard_error}, with `extension_years_if_reserved` and `assumed`; None
    once it has matured, or where none of its relationships performs."""
    times = path_terms(terms, as_of)
    layers = [
        CoveredLayer(piece.model, piece.attach, piece.detach, piece.principal)
        for piece in pieces
        if piece.model is not None
    ]
    if times is None or not layers:
        return None
    found = path_figures(layers, times, ASSUMED, draws=DRAWS)
    figures = {name: _shown(getattr(found, name)) for name in found.__dataclass_fields__}
    return figures | {
        "extension_years_if_reserved": found.extension_years_if_reserved,
        "assumed": asdict(ASSUMED) | {"determination_days_at_most": terms.loss_determination_days},
    }


def _shown(estimate: Estimate) -> dict[str, float]:
    return asdict(estimate)
