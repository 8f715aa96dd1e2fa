"""What-if for officers: what trades that are only considered would do to a relationship, before it asks for them.

The question, the code that answers it and the answer's page are the client's own (`intermediary.portal.what_if`); only
who may ask differs. Nothing is traded, the client sees nothing of it, and the request itself says who looked at whom.
"""

from typing import Any

from django import forms
from django.forms import BaseFormSet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse

from intermediary import onboarding
from intermediary.config.office.pages import show
from intermediary.models import Cell, CommandRequest
from intermediary.portal import wishes
from intermediary.portal.what_if import (
    LINES_MAX,
    ConsideredForm,
    answer_of,
    as_file,
    lines_of,
    longer,
    started,
    trades_of,
)

COMMAND = "officer_what_if"


class OfficersForm(ConsideredForm):
    """The same line, said of somebody else."""

    side = forms.ChoiceField(choices=[("BUY", "It buys"), ("SELL", "It sells")])


def what_if(request: HttpRequest, code: str) -> HttpResponse:
    """The form, and the answer to the question of `?request=`, also as a file (`&as=json`)."""
    cell = get_object_or_404(Cell.objects.select_related("party"), kind=Cell.Kind.CLIENT, code=code)
    wish = wishes.asked_before(request, COMMAND, cell)
    if wish is not None and "as" in request.GET:
        return as_file(wish, cell)
    if request.method != "POST":
        return _page(request, cell, started(wish, OfficersForm), wishes.soon(wish) if wish else None)
    more = "more" in request.POST
    bound = lines_of(0, OfficersForm)(longer(request.POST) if more else request.POST)
    trades = trades_of(bound) if bound.is_valid() else []
    if trades and not more:
        asked = wishes.ask(request, COMMAND, cell, {"trades": trades})
        return redirect(f"{reverse('admin:what_if', args=[cell.code])}?request={asked.id}#answer")
    return _page(request, cell, bound, None, nothing=bound.is_valid() and not more)


def _page(
    request: HttpRequest, cell: Cell, lines: "BaseFormSet[Any]", wish: CommandRequest | None, *, nothing: bool = False
) -> HttpResponse:
    answer = None
    if wish is not None and wish.state == CommandRequest.State.DONE and wish.outcome is not None:
        answer = answer_of(wish.outcome, onboarding.terms_of_cells([cell.id]).get(cell.id))
    told: dict[str, Any] = {
        "cell": cell,
        "lines": lines,
        "wish": wish,
        "answer": answer,
        "nothing": nothing,
        "most": LINES_MAX,
    }
    return show(request, "what_if", f"What-if for {cell.code}", **told)
