"""The page on which a holder says that what its notes repay is meant for the next series, and sees what came of it."""

from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from bonds.portal import rolled, standing
from bonds.portal.forms import RollForm
from intermediary.portal import wishes

ASKED = ("elect_roll", "withdraw_roll")


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def rolls(request: HttpRequest) -> HttpResponse:
    """What can be rolled, the form, and the elections with their bids. `?holding=` chooses the notes."""
    assert isinstance(request.user, User)
    rollable, classes = rolled.rollable_of(request.user), rolled.open_classes()
    chosen = {"holding": request.GET.get("holding", "")}
    form = RollForm([one.held for one in rollable], classes, request.POST or None, initial=chosen)
    if form.is_bound and form.is_valid():
        wishes.ask(request, "elect_roll", None, form.body())
        return redirect("investor:rolls")
    asked = standing.asked_by(request.user, *ASKED)
    context = {
        "rollable": rollable,
        "classes": classes,
        "form": form,
        "elections": rolled.elections_of(request.user),
        "wish": wishes.soon(asked) if asked else None,
    }
    return render(request, "investors/rolls.html", context, status=422 if form.is_bound else 200)


@require_POST
@login_required
def withdraw(request: HttpRequest, election_id: UUID) -> HttpResponse:
    """Ask for an election to be taken back."""
    wishes.ask(request, "withdraw_roll", None, {"election": str(election_id)})
    return redirect("investor:rolls")
