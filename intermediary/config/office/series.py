"""Structuring on the officers' desk: series and drafts, the form of one with what a worker found of it, documents.

Nothing is decided here: every button stores a wish that a worker carries out. Only the bytes of a document are stored
at once; they bind nobody until terms name their hash.
"""

import hashlib
from pathlib import PurePath
from typing import Any
from uuid import UUID

from django import forms
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST, require_safe

from bonds.models import Document, Series, SeriesDraft
from bonds.portal import term_sheets
from intermediary import audit
from intermediary.config.office.pages import show
from intermediary.config.office.series_form import SeriesForm, body_of, initial_of
from intermediary.models import CommandRequest
from intermediary.portal.wishes import ask, soon

DOCUMENT_BYTES_MOST = 4 * 2**20  # a circular has a few hundred thousand; the database refuses more as well
MEDIA_TYPES = {".pdf": ("application/pdf", b"%PDF-"), ".txt": ("text/plain", b"")}


class DocumentForm(forms.Form):
    """A document of a pack: PDF or plain text, since a browser must show it to an investor without running it."""

    title = forms.CharField(max_length=120)
    file = forms.FileField(label="File (PDF or text, at most 4 MB)")

    def clean_file(self) -> Any:
        """Refuses what is too large, another kind, or not what its name says."""
        file = self.cleaned_data["file"]
        known = MEDIA_TYPES.get(PurePath(file.name).suffix.lower())
        if known is None:
            raise forms.ValidationError("A document is a PDF or a plain text.")
        if file.size > DOCUMENT_BYTES_MOST:
            raise forms.ValidationError("A document has at most 4 MB.")
        if not file.read(len(known[1])) == known[1]:
            raise forms.ValidationError("These bytes are not what the name says.")
        file.seek(0)
        return file


class ProposalForm(forms.Form):
    """Why these terms, bound to the hash on the page."""

    seen_hash = forms.CharField(min_length=64, max_length=64, widget=forms.HiddenInput)
    reason = forms.CharField(min_length=8, max_length=1000, widget=forms.Textarea(attrs={"rows": 2}))


@require_safe
def series(request: HttpRequest) -> HttpResponse:
    """Every series and what is drafted."""
    return _overview(request, DocumentForm(label_suffix=""))


def new(request: HttpRequest) -> HttpResponse:
    """A form of its own for a series that has no draft yet."""
    return _compose(request, None)


def draft(request: HttpRequest, draft_id: UUID) -> HttpResponse:
    """A draft as it was sent, with its problems beside the fields and its figures."""
    return _compose(request, get_object_or_404(SeriesDraft.objects.select_related("saved_by"), id=draft_id))


@require_POST
def propose(request: HttpRequest, draft_id: UUID) -> HttpResponse:
    """Ask for the second pair of eyes."""
    found = get_object_or_404(SeriesDraft, id=draft_id)
    form = ProposalForm(request.POST, label_suffix="")
    if not form.is_valid():
        return _page(request, found, SeriesForm(initial=initial_of(found.code, found.body)), proposing=form)
    body = {"draft_id": str(found.id), **form.cleaned_data}
    return redirect("admin:request", ask(request, "propose_series", None, body).id)


@require_POST
def drop(request: HttpRequest, draft_id: UUID) -> HttpResponse:
    """Give a draft up."""
    get_object_or_404(SeriesDraft, id=draft_id)
    return redirect("admin:request", ask(request, "drop_series_draft", None, {"draft_id": str(draft_id)}).id)


@require_safe
def term_sheet(request: HttpRequest, series_id: UUID) -> HttpResponse:
    """What investors will see, or see, of a series; before it is published, officers alone."""
    found = get_object_or_404(Series, id=series_id)
    if "pdf" in request.GET:
        return term_sheets.pdf_response(found)
    return show(request, "term_sheet", f"Term sheet {found.code}", **term_sheets.context_of(found))


@require_POST
def upload(request: HttpRequest) -> HttpResponse:
    """Store a document under the hash of its bytes; the same bytes again are the same document."""
    form = DocumentForm(request.POST, request.FILES, label_suffix="")
    if not form.is_valid():
        return _overview(request, form, status=422)
    assert isinstance(request.user, User), "an officers' page"
    file = form.cleaned_data["file"]
    content = file.read()
    digest = hashlib.sha256(content).hexdigest()
    try:
        with transaction.atomic():
            made = Document.objects.create(
                title=form.cleaned_data["title"],
                filename=PurePath(file.name).name[:120],
                media_type=MEDIA_TYPES[PurePath(file.name).suffix.lower()][0],
                content=content,
                sha256=digest,
                uploaded_by=request.user,
            )
            audit.record(
                actor=request.user.get_username(), action="document_stored", subject=made.id, title=made.title,
                sha256=digest,
            )  # fmt: skip
    except IntegrityError:
        if not Document.objects.filter(sha256=digest).exists():
            raise
    return redirect("admin:series")


def _overview(request: HttpRequest, document_form: DocumentForm, status: int = 200) -> HttpResponse:
    return show(
        request,
        "series",
        "Series of notes",
        status=status,
        drafts=SeriesDraft.objects.exclude(state__in=["STRUCTURED", "DROPPED"]).select_related("saved_by", "proposal"),
        series=[(one, list(one.tranches.order_by("-seniority"))) for one in Series.objects.order_by("-id")],
        documents=Document.objects.defer("content").select_related("uploaded_by").order_by("-id")[:30],
        document_form=document_form,
    )


def _compose(request: HttpRequest, found: SeriesDraft | None) -> HttpResponse:
    open_ = found is None or found.state == SeriesDraft.State.DRAFT
    if request.method == "POST" and open_:
        form = SeriesForm(request.POST)
        if form.is_valid():
            body = {"code": form.cleaned_data["code"], "draft": body_of(form.cleaned_data)}
            wish = soon(ask(request, "save_series_draft", None, body))
            if wish.state == CommandRequest.State.DONE and wish.outcome:
                return redirect("admin:series_draft", wish.outcome["draft_id"])
            return redirect("admin:request", wish.id)
    else:
        form = SeriesForm(initial=initial_of(found.code, found.body) if found else None)
    return _page(request, found, form)


def _page(
    request: HttpRequest, found: SeriesDraft | None, form: SeriesForm, proposing: ProposalForm | None = None
) -> HttpResponse:
    refused = form.is_bound or proposing is not None
    problems: dict[str, list[dict[str, Any]]] = {}
    for one in found.problems if found and not form.is_bound else []:
        problems.setdefault(one["about"], []).append(one)
    return show(
        request,
        "series_draft",
        f"Draft {found.code}" if found else "A new series",
        status=422 if refused else 200,
        draft=found,
        form=form,
        problems=problems,
        beside=[(field, problems.get(field.name, [])) for field in form.plain],
        figures=found.figures if found else {},
        document_form=DocumentForm(label_suffix=""),
        proposing=proposing or (ProposalForm(initial={"seen_hash": found.terms_hash}) if found else None),
    )
