"""The term sheet of a series: a public page with sliders, and the same as a PDF. Reads the stored figures of one
valuation; nothing numeric is loaded, and the PDF library only by whoever asks for a PDF.

Officers see it before it is published: row-level security decides which series a request finds.
"""

import base64
import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.db.models.functions import Length
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from bonds.models import Series, SeriesDocument, TermSheet
from bonds.offering.terms import SeriesTerms, terms_from
from bonds.portal import queries
from bonds.portal.extension_examples import SliceExamples, examples_of
from intermediary.canonical import sha256_hex
from intermediary.errors import NotAllowed
from intermediary.queries import is_investor

USDC = 10**6
TONES = ("layer-2", "layer-3", "ok", "wait")  # of the classes, junior first


@dataclass(frozen=True)
class SheetView:
    """A series' terms with the figures of its last term sheet; `figures` None before the first."""

    series: Series
    terms: SeriesTerms
    figures: dict[str, Any] | None
    digest: str

    @property
    def as_of(self) -> datetime | None:
        """Of the valuation that the figures are of."""
        return datetime.fromisoformat(self.figures["as_of"]) if self.figures else None

    @property
    def classes(self) -> list[dict[str, Any]]:
        """Senior first, each with what stands below it in the tail."""
        return list(reversed(self.figures["classes"])) if self.figures else []

    @property
    def buffers(self) -> list[tuple[str, Decimal]]:
        """The extension schedule in words."""
        rows, before = [], 0
        for months, factor in self.terms.extension_buffers:
            words = f"months {before} to {months}" if months is not None else f"from month {before} on"
            rows.append((words, factor))
            before = months or before
        return rows

    @property
    def examples(self) -> list[SliceExamples]:
        """The same in figures, at example estimates of a loss."""
        return examples_of(self.terms)

    @property
    def extended(self) -> list[dict[str, Any]]:
        """Classes of which the sheet says how likely an extension is, and how much it would keep; senior first."""
        return [one for one in self.classes if one.get("extension")]

    @property
    def sliders(self) -> dict[str, Any] | None:
        """What the page's script interpolates in."""
        if not self.figures or not any(one["grid"] for one in self.figures["classes"]):
            return None
        classes = [{"symbol": one["symbol"], "grid": one["grid"]} for one in self.figures["classes"] if one["grid"]]
        return {"axes": self.figures["axes"], "classes": classes}

    @property
    def curves(self) -> list[tuple[str, dict[str, Any]]]:
        """The loss-exceedance curve of each relationship drawn, with the bands of the classes."""
        slices = {one["relationship"]: one for one in self.figures["slices"]} if self.figures else {}
        drawn = self.figures["curves"] if self.figures else []
        return [(one["relationship"], self._chart(one, slices[one["relationship"]])) for one in drawn]

    @property
    def scenarios(self) -> list[dict[str, Any]]:
        """Each published scenario with every class' loss in it, senior first, as amounts and shares of principal; and
        whether it is `whole`, measured for every covered relationship, or only says the least that would be lost."""
        if not self.figures:
            return []
        faces = [one["face_base_units"] for one in self.figures["classes"]]
        return [
            row
            | {
                "whole": row["measured"] == self.covered,
                "losses": [
                    (loss, Decimal(loss) / face)
                    for loss, face in reversed(list(zip(row["losses_base_units"], faces, strict=True)))
                ],
            }
            for row in self.figures["scenarios"]
        ]

    @property
    def losses(self) -> list[dict[str, Any]]:
        """Classes of which the sheet says what they may lose beyond the mean; senior first."""
        return [one for one in self.classes if one.get("loss")]

    @property
    def covered(self) -> int:
        """How many relationships the series covers."""
        return len(self.terms.slices)

    @property
    def reported(self) -> list[datetime]:
        """The valuations that the stress reports are of; empty where an older sheet does not say."""
        return [datetime.fromisoformat(text) for text in (self.figures or {}).get("reported", [])]

    def _chart(self, curve: dict[str, Any], item: dict[str, Any]) -> dict[str, Any]:
        edges = [edge / USDC for edge in item["edges_base_units"]]
        names = [one.name for one in self.terms.classes]
        bands = [
            {"from": low, "to": high, "label": name, "tone": TONES[index % len(TONES)]}
            for index, (low, high, name) in enumerate(zip(edges[:-1], edges[1:], names, strict=True))
        ]
        points = [[x, level if level > 0 else None] for x, level in curve["points"]]
        return {
            "kind": "lines",
            "unit": "%",
            "x": "value",
            "xName": "net loss beyond margin, USDC",
            "log": True,
            "bands": bands,
            "marks": [{"at": item["loss_now_base_units"] / USDC, "label": "now"}],
            "series": [{"name": "probability of a larger loss within a year", "tone": "accent", "points": points}],
        }


def view_of(series: Series) -> SheetView:
    """The last term sheet of a series."""
    row = TermSheet.objects.filter(series=series).select_related("valuation").order_by("-valuation__as_of").first()
    figures = row.body if row else None
    return SheetView(series, terms_from(series.terms), figures, digest_of(figures) if figures else "")


def digest_of(figures: dict[str, Any]) -> str:
    """SHA-256 of the figures as JSON with sorted keys: what a PDF says it was made from."""
    return sha256_hex(json.dumps(figures, sort_keys=True, separators=(",", ":")))


@require_safe
def term_sheet(request: HttpRequest, series_id: UUID) -> HttpResponse:
    """The page."""
    found = queries.series_for_reader(series_id)
    base = "investors/base.html" if is_investor(request.user) else "frames/public.html"
    return render(request, "investors/term_sheet.html", context_of(found) | {"base": base})


@require_safe
def pdf(request: HttpRequest, series_id: UUID) -> HttpResponse:
    """The same as a file, whose digest goes with it (RFC 9530)."""
    return pdf_response(queries.series_for_reader(series_id))


@require_safe
def document(request: HttpRequest, series_id: UUID, sha256: str) -> HttpResponse:
    """A document of the pack, byte by byte what its hash in the terms stands for."""
    found = queries.series_for_reader(series_id)
    entry = SeriesDocument.objects.filter(series=found, sha256=sha256).select_related("document").first()
    if entry is None or entry.document is None:
        raise NotAllowed("not_found", "There is no such object, or it is not yours.")
    return _file(bytes(entry.document.content), entry.document.media_type, entry.document.filename)


def context_of(series: Series) -> dict[str, Any]:
    """What the page and the officers' preview say."""
    return {
        "series": series,
        "sheet": view_of(series),
        "classes": queries.classes_of(series),
        "slices": queries.slices_of(series),
        "documents": documents_of(series),
    }


def documents_of(series: Series) -> QuerySet[SeriesDocument]:
    """The pack in the order of the terms, each with `size_bytes`, None of what is kept elsewhere; without the bytes."""
    rows = SeriesDocument.objects.filter(series=series).annotate(size_bytes=Length("document__content"))
    return rows.select_related("document").defer("document__content")


def pdf_response(series: Series) -> HttpResponse:
    """The PDF of the last term sheet."""
    from bonds.portal.sheet_pdf import sheet_pdf

    content = sheet_pdf(view_of(series))
    return _file(content, "application/pdf", f"{series.code}-term-sheet-{hashlib.sha256(content).hexdigest()[:12]}.pdf")


def _file(content: bytes, media_type: str, name: str) -> HttpResponse:
    response = HttpResponse(content, content_type=media_type)
    plain = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in name)
    response["Content-Disposition"] = f'attachment; filename="{plain}"'
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    response["Repr-Digest"] = f"sha-256=:{digest}:"
    response["X-Content-Type-Options"] = "nosniff"
    return response
