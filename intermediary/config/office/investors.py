"""Investors: who applied to hold notes, whose wallets may, until when; the forms that lay it before another."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST

from bonds.models import EligibilityApplication, EligibleWallet
from bonds.offering import eligibility
from intermediary import clock
from intermediary.config.office.pages import show
from intermediary.models import Proposal
from intermediary.portal.wishes import ask

USUAL_TERM = timedelta(days=365)  # documents are looked at once a year
GRANTS_SHOWN = 200  # the newest; a register of thousands has its table


class GrantForm(forms.Form):
    """Until when a wallet is to be eligible, and why."""

    valid_until = forms.DateField(label="Eligible until the end of (UTC)", widget=forms.DateInput({"type": "date"}))
    reason = forms.CharField(label="Reason", min_length=8, max_length=1000, widget=forms.Textarea(attrs={"rows": 2}))

    def clean_valid_until(self) -> datetime:
        """The last second of that day."""
        day = self.cleaned_data["valid_until"]
        return datetime(day.year, day.month, day.day, 23, 59, 59, tzinfo=UTC)


class EndForm(forms.Form):
    """Why a wallet's eligibility is to end now."""

    reason = forms.CharField(label="Reason", min_length=8, max_length=1000)


def investors(request: HttpRequest, status: int = 200, failed: forms.Form | None = None) -> HttpResponse:
    """What waits for the desk, whose eligibility ends, and every wallet that was ever let hold notes."""
    now = clock.now()
    applied = EligibilityApplication.objects.filter(state=EligibilityApplication.State.APPLIED)
    rows = EligibleWallet.objects.order_by("wallet_id", "-id").distinct("wallet_id").select_related("wallet", "party")
    grants = sorted(rows[:GRANTS_SHOWN], key=lambda grant: grant.valid_until)
    return show(
        request,
        "investors",
        "Investors",
        status=status,
        applications=applied.select_related("party", "wallet", "applied_by"),
        proposals=Proposal.objects.filter(kind=Proposal.Kind.ELIGIBILITY, state=Proposal.State.PROPOSED),
        grants=[(grant, grant.valid_until >= now) for grant in grants],
        expiring=eligibility.expiring(now),
        form=failed or GrantForm(initial={"valid_until": (now + USUAL_TERM).date()}),
        now=now,
    )


@require_POST
def propose(request: HttpRequest, application_id: UUID) -> HttpResponse:
    """Lay an application before a second officer."""
    application = get_object_or_404(EligibilityApplication, id=application_id)
    form = GrantForm(request.POST)
    if not form.is_valid():
        return investors(request, status=422, failed=form)
    body = {
        "application": str(application.id),
        "valid_until": form.cleaned_data["valid_until"].isoformat(),
        "reason": form.cleaned_data["reason"],
    }
    return redirect("admin:request", ask(request, "propose_eligibility", None, body).id)


@require_POST
def end(request: HttpRequest, wallet_id: UUID) -> HttpResponse:
    """Propose that a wallet's eligibility ends now."""
    form = EndForm(request.POST)
    if not form.is_valid():
        return investors(request, status=422, failed=form)
    body = {"wallet": str(wallet_id), "reason": form.cleaned_data["reason"]}
    return redirect("admin:request", ask(request, "propose_eligibility_end", None, body).id)
