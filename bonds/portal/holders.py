"""The page on which an investor becomes a holder: its wallets, their eligibility, the application and its renewal."""

from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from bonds.portal import standing
from bonds.portal.forms import ApplicationForm
from intermediary import access, clock, onboarding
from intermediary.portal import wishes
from intermediary.portal.deposits import NO_ADDRESS, asks_a_wallet, wallet_of
from intermediary.portal.forms import ProofForm


@asks_a_wallet
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def eligibility(request: HttpRequest) -> HttpResponse:
    """Where each wallet stands, what is missing, and the form to apply or renew."""
    assert isinstance(request.user, User)
    party = access.party_for(request.user)
    held = standing.wallets_of(party, clock.now())
    form = ApplicationForm([one.wallet.address for one in held], request.POST or None)
    if form.is_bound and form.is_valid():
        wishes.ask(request, "apply_eligibility", None, form.body())
        return redirect("investor:eligibility")
    applications = standing.applications_of(party)
    context: dict[str, Any] = {
        "party": party,
        "wallets": held,
        "applications": applications,
        "open_application": next((one for one in applications if one.state == "APPLIED"), None),
        "asked": standing.asked_by(request.user, *standing.ASKED),
        "form": form,
        "proof": {
            "chainId": hex(settings.CHAIN_ID),
            "proved": [one.wallet.address for one in held],
            # The page puts the chosen address in place of this one.
            "message": onboarding.wallet_typed_data(party, NO_ADDRESS),
        },
    }
    status = 422 if form.is_bound else 200
    return render(request, "investors/eligibility.html", context | wallet_of(request), status=status)


@require_POST
@login_required
def prove_wallet(request: HttpRequest) -> HttpResponse:
    """Ask for an address to be recorded whose control the signature proves."""
    form = ProofForm(request.POST)
    if form.is_valid():
        wishes.ask(request, "prove_holder_wallet", None, form.cleaned_data)
    return redirect("investor:eligibility")
