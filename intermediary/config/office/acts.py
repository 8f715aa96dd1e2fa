"""Acts on chain: what is under way, whose key is next and from when on it may act; what was done; the forms to propose
another; a fence that people must lift. Nothing is sent from here: two people decide, and the machine that holds the key
carries it out.
"""

from uuid import UUID

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST

from intermediary import queries
from intermediary.config import suspensions
from intermediary.config.office.act_forms import FORMS, ActForm
from intermediary.config.office.pages import show
from intermediary.models import Cell, Proposal
from intermediary.portal.wishes import ask
from settlement.models import ChainAct, Fence

SHOWN = 50  # finished ones; the audit trail has all


class StopForm(forms.Form):
    """Why an act is stopped, or a fence is to be lifted."""

    reason = forms.CharField(label="Reason", min_length=8, max_length=300)


def acts(request: HttpRequest) -> HttpResponse:
    """What is under way and what was, and what may be proposed."""
    found = ChainAct.objects.select_related("proposal__cell", "proposal__maker", "proposal__checker")
    waiting = Proposal.objects.filter(kind=Proposal.Kind.CHAIN_ACT, state=Proposal.State.PROPOSED)
    return show(
        request,
        "acts",
        "Acts on chain",
        open=found.filter(state__in=ChainAct.UNFINISHED).order_by("id"),
        finished=found.exclude(state__in=ChainAct.UNFINISHED)[:SHOWN],
        proposals=waiting.select_related("maker", "cell").order_by("id"),
        forms=[(name, form) for name, form in FORMS.items()],
        suspensions=suspensions.due(queries.platform_clock().now),
        fences=Fence.objects.filter(lifted_at=None).order_by("chain"),
    )


def propose(request: HttpRequest, kind: str) -> HttpResponse:
    """The form of one kind; a sent form becomes a request that a worker checks against the books."""
    if kind not in FORMS:
        raise Http404
    form: ActForm = FORMS[kind](request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        house = Cell.objects.filter(kind=Cell.Kind.HOUSE).first()
        return redirect("admin:request", ask(request, "propose_chain_act", house, form.body()).id)
    return show(request, "act", form.title, status=422 if form.is_bound else 200, form=form)


@require_POST
def stop(request: HttpRequest, act_id: UUID) -> HttpResponse:
    """Ask for an act to be stopped: one person may."""
    act = get_object_or_404(ChainAct.objects.select_related("proposal__cell"), id=act_id)
    form = StopForm(request.POST)
    if not form.is_valid():
        return redirect("admin:acts")
    body = {"act_id": str(act.id), "reason": form.cleaned_data["reason"]}
    return redirect("admin:request", ask(request, "stop_chain_act", act.proposal.cell, body).id)


@require_POST
def lift_fence(request: HttpRequest) -> HttpResponse:
    """Ask for a proposal that a fence be lifted, which a second officer decides on."""
    fence = get_object_or_404(Fence, id=request.POST.get("fence", ""), lifted_at=None)
    form = StopForm(request.POST)
    if not form.is_valid():
        return redirect("admin:acts")
    house = Cell.objects.filter(kind=Cell.Kind.HOUSE).first()
    body = {"fence_id": str(fence.id), "reason": form.cleaned_data["reason"]}
    return redirect("admin:request", ask(request, "propose_lift_fence", house, body).id)
