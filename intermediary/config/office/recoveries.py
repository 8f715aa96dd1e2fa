"""The recovery desk: money that reached the house and is booked nowhere, claims still open, receipts so far."""

from typing import Any
from uuid import UUID

from django import forms
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST

from intermediary.config.office.pages import show
from intermediary.models import DefaultCase, JournalEntry, RecoveryReceipt
from intermediary.portal.wishes import ask
from settlement.models import HouseReceipt

OPEN = (DefaultCase.State.ALLOCATED, DefaultCase.State.RECOVERY)
RECEIPTS_SHOWN = 50  # the rest is in the table of receipts
UNBOOKED_SHOWN = 100  # a desk that is further behind works them off newest first


class ClaimField(forms.ModelChoiceField):  # type: ignore[type-arg]  # not generic at run time
    """A case by its relationship and the day of its notice."""

    def label_from_instance(self, obj: Any) -> str:
        """`R-108, noticed 10 Oct 2025`."""
        return f"{obj.cell.code}, noticed {obj.noticed_at:%-d %b %Y}"


class BookingForm(forms.Form):
    """Which case a receipt belongs to, and who paid."""

    case = ClaimField(
        DefaultCase.objects.filter(state__in=OPEN).select_related("cell").order_by("id"), empty_label=None
    )
    source = forms.CharField(min_length=3, max_length=120)


def unbooked() -> models.QuerySet[HouseReceipt]:
    """Receipts of the settlement token that no journal entry books."""
    booked = JournalEntry.objects.filter(id=models.OuterRef("entry_key"))
    found = HouseReceipt.objects.filter(~models.Exists(booked), asset__is_settlement=True)
    return found.select_related("asset").order_by("-id")[:UNBOOKED_SHOWN]


def recovery(request: HttpRequest) -> HttpResponse:
    """The desk's page."""
    return _page(request, BookingForm())


@require_POST
def book(request: HttpRequest, receipt_id: UUID) -> HttpResponse:
    """Ask for a receipt to be booked as a recovery of a case: it lowers N by exactly its amount."""
    receipt = get_object_or_404(HouseReceipt, id=receipt_id)
    form = BookingForm(request.POST)
    if not form.is_valid():
        return _page(request, form, status=422)
    case = form.cleaned_data["case"]
    body = {"case_id": str(case.id), "receipt_id": str(receipt.id), "source": form.cleaned_data["source"]}
    return redirect("admin:request", ask(request, "receive_recovery", case.cell, body).id)


def _page(request: HttpRequest, form: BookingForm, status: int = 200) -> HttpResponse:
    return show(
        request,
        "recovery",
        "Recovery",
        status=status,
        form=form,
        unbooked=unbooked(),
        claims=DefaultCase.objects.filter(state__in=OPEN).select_related("cell__party").order_by("id"),
        receipts=RecoveryReceipt.objects.select_related("cell", "case").order_by("-id")[:RECEIPTS_SHOWN],
    )
