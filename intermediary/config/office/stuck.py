"""What gets no further by itself: calls that the chain or the approver will not take, events that no part of the
platform could handle. A call needs two people; an event is delivered again, since handlers repeat safely.
"""

from uuid import UUID

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST

from intermediary.config.office.pages import show
from intermediary.models import ChainInstruction, Delivery
from intermediary.portal.wishes import ask
from settlement import decisions


class CallForm(forms.Form):
    """What to do with a call, and why."""

    act = forms.ChoiceField(choices=[(decisions.AGAIN, "Try it again"), (decisions.FAIL, "Let it fail")])
    reason = forms.CharField(min_length=8, max_length=1000)


def count() -> int:
    """How much waits for somebody."""
    return len(decisions.waiting()) + Delivery.objects.filter(state=Delivery.State.FAILED).count()


def stuck(request: HttpRequest) -> HttpResponse:
    """The page."""
    return _page(request, CallForm())


@require_POST
def propose(request: HttpRequest, instruction_id: UUID) -> HttpResponse:
    """Ask for a proposal that a second officer decides on."""
    instruction = get_object_or_404(ChainInstruction.objects.select_related("cell"), id=instruction_id)
    form = CallForm(request.POST)
    if not form.is_valid():
        return _page(request, form, status=422)
    body = {"instruction_id": str(instruction.id), **form.cleaned_data}
    return redirect("admin:request", ask(request, "propose_chain_call", instruction.cell, body).id)


@require_POST
def again(request: HttpRequest, delivery_id: UUID) -> HttpResponse:
    """Ask for an event to be delivered again."""
    delivery = get_object_or_404(Delivery.objects.select_related("event__cell"), id=delivery_id)
    body = {"delivery_id": str(delivery.id)}
    return redirect("admin:request", ask(request, "deliver_again", delivery.event.cell, body).id)


def _page(request: HttpRequest, form: CallForm, status: int = 200) -> HttpResponse:
    lost = Delivery.objects.filter(state=Delivery.State.FAILED).select_related("event__cell")
    return show(
        request,
        "stuck",
        "Stuck",
        status=status,
        form=form,
        calls=[(one, decisions.why(one)) for one in decisions.waiting()],
        deliveries=lost.order_by("id"),
    )
