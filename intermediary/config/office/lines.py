"""Credit lines: what is in force for each relationship, and the form to propose another."""

from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect

from bonds.offering.terms import slice_id_of
from intermediary import queries
from intermediary.config.office.approvals import LINE_FIGURES
from intermediary.config.office.pages import show
from intermediary.models import Cell, CreditLine, Layer, Proposal
from intermediary.money import from_base_units, to_base_units
from intermediary.portal.wishes import ask

DECIMALS = 6  # of the settlement token
NEW_LINE_DAYS = 90  # the proposed tenor of a first line: a quarter, until its review


class AmountField(forms.CharField):
    """Whole settlement tokens as a person writes them (`1,500,000.50`); cleaned to base units."""

    def clean(self, value: Any) -> int:
        """Refuses what is not an amount, is negative, or has more decimals than the token."""
        text = str(super().clean(value)).replace(",", "").replace(" ", "").strip()
        try:
            amount = to_base_units(Decimal(text), DECIMALS)
        except (InvalidOperation, ValueError):
            raise forms.ValidationError("Write an amount in USDC with at most six decimals, like 1,500,000.") from None
        if amount < 0:
            raise forms.ValidationError("An amount cannot be negative.")
        return amount


class LineForm(forms.Form):
    """A proposed line."""

    threshold_base_units = AmountField(label="Unsecured threshold", help_text="Exposure that needs no margin.")
    first_loss_base_units = AmountField(label="First loss retention", help_text="Our own money, the first to pay.")
    tail_base_units = AmountField(label="Tail bond", help_text="Principal of its slice; 0 without a bond.")
    senior_base_units = AmountField(label="Senior retention", help_text="Our own money above the bond.")
    series = forms.RegexField(
        r"^[A-Z0-9-]{3,20}$",
        label="Series",
        required=False,
        help_text="Code of the series whose slice carries the tail, also of one that is still to be structured.",
    )
    slice_id = forms.UUIDField(
        label="Bond slice",
        required=False,
        help_text="The slice that carries the tail layer, where no series is named; needed when the tail is not 0.",
    )
    awaits_cover = forms.BooleanField(
        label="Takes force with the offering",
        required=False,
        help_text="Approved now, in force when its slice is issued and paid; lapses if the offering is pulled.",
    )
    expires_at = forms.DateTimeField(
        label="Expires at (UTC)",
        help_text="Before its cover does.",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )
    reason = forms.CharField(label="Reason", min_length=8, max_length=1000, widget=forms.Textarea(attrs={"rows": 3}))

    def clean(self) -> dict[str, Any]:
        """A tail has its slice, and only a tail waits for its cover."""
        found = super().clean() or {}
        tail = found.get("tail_base_units")
        if tail and not found.get("slice_id") and not found.get("series"):
            self.add_error("series", "Name the series that carries the tail.")
        if not tail and found.get("awaits_cover"):
            self.add_error("awaits_cover", "A line without a tail has no cover to wait for.")
        return found


def lines(request: HttpRequest) -> HttpResponse:
    """Every relationship with its line, and what is proposed for it."""
    active = {line.cell_id: line for line in CreditLine.objects.filter(state=CreditLine.State.ACTIVE)}
    waiting = {
        proposal.cell_id: proposal
        for proposal in Proposal.objects.filter(kind=Proposal.Kind.CREDIT_LINE, state=Proposal.State.PROPOSED)
    }
    layers: dict[UUID, list[Layer]] = {}
    for layer in Layer.objects.order_by("cell_id", "attach_base_units"):
        layers.setdefault(layer.cell_id, []).append(layer)
    covered = {line.cell_id: line for line in CreditLine.objects.filter(state=CreditLine.State.AWAITING)}
    cells = Cell.objects.filter(kind=Cell.Kind.CLIENT).select_related("party").order_by("code")
    rows = [
        (cell, active.get(cell.id), layers.get(cell.id, []), waiting.get(cell.id), covered.get(cell.id))
        for cell in cells
    ]
    return show(request, "lines", "Credit lines", rows=rows)


def propose(request: HttpRequest, code: str) -> HttpResponse:
    """The form for one relationship; a sent form becomes a request that the risk worker judges."""
    cell = get_object_or_404(Cell.objects.select_related("party"), code=code, kind=Cell.Kind.CLIENT)
    form = LineForm(request.POST) if request.method == "POST" else LineForm(initial=_present(cell))
    if request.method == "POST" and form.is_valid():
        return redirect("admin:request", ask(request, "propose_line", cell, _body(cell, form.cleaned_data)).id)
    return show(
        request,
        "propose",
        f"Propose a line for {cell.code}",
        status=422 if form.is_bound else 200,
        cell=cell,
        form=form,
        line=CreditLine.objects.filter(cell=cell, state=CreditLine.State.ACTIVE).first(),
    )


def _present(cell: Cell) -> dict[str, Any]:
    """The line in force as the form's start, so that a proposal is a change of it."""
    line = CreditLine.objects.filter(cell=cell, state=CreditLine.State.ACTIVE).first()
    tail = Layer.objects.filter(cell=cell, kind=Layer.Kind.TAIL).first()
    amounts = {name: _whole(getattr(line, name) if line else 0) for name, _ in LINE_FIGURES}
    expires_at = line.expires_at if line else queries.platform_clock().now + timedelta(days=NEW_LINE_DAYS)
    return amounts | {"slice_id": tail.slice_id if tail else None, "expires_at": expires_at}


def _whole(amount_base_units: int) -> str:
    return f"{from_base_units(amount_base_units, DECIMALS):,f}".rstrip("0").rstrip(".")


def _body(cell: Cell, cleaned: dict[str, Any]) -> dict[str, Any]:
    """The request's body: amounts in base units, times in ISO form."""
    slice_id = slice_id_of(cleaned["series"], cell.id) if cleaned["series"] else cleaned["slice_id"]
    return {name: cleaned[name] for name, _ in LINE_FIGURES} | {
        "slice_id": str(slice_id) if slice_id else "",
        "expires_at": cleaned["expires_at"].isoformat(),
        "awaits_cover": cleaned["awaits_cover"],
        "reason": cleaned["reason"],
    }
