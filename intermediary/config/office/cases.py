"""The default room: a case from its lapsed call to the last recovery, on one page, and what an officer may ask for."""

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST

from intermediary.config.office.pages import show
from intermediary.models import (
    CallIncrement,
    ChainInstruction,
    DefaultCase,
    Layer,
    MarginCall,
    Position,
    Proposal,
    UncoveredShare,
)
from intermediary.portal.wishes import ask

State = DefaultCase.State
PATH = (
    State.NOTICE, State.ETD_SET, State.REPLACING, State.DETERMINED, State.ALLOCATED, State.RECOVERY, State.CLOSED,
)  # fmt: skip
INSTRUCTIONS_SHOWN = 40  # a case makes about twenty; more are in the table of instructions


class ReasonForm(forms.Form):
    """Why."""

    reason = forms.CharField(min_length=8, max_length=1000, widget=forms.Textarea(attrs={"rows": 2}))


@dataclass(frozen=True)
class Step:
    """One state on the way of a case; `at` is when it was reached."""

    label: str
    at: Any
    here: bool


@dataclass(frozen=True)
class Lapsed:
    """A call that was not met in time, and what is missing."""

    call: MarginCall
    unmet_base_units: int
    proposal: Proposal | None


def cases(request: HttpRequest) -> HttpResponse:
    """Calls that lapsed, live cases, cases that are over."""
    everything = list(DefaultCase.objects.select_related("cell__party").order_by("-id"))
    over = (State.CURED, State.CLOSED)
    return show(
        request,
        "cases",
        "Defaults",
        lapsed=lapsed_calls(),
        live=[case for case in everything if case.state not in over],
        over=[case for case in everything if case.state in over],
        form=ReasonForm(),
    )


def lapsed_calls() -> list[Lapsed]:
    """Lapsed calls without a default notice yet."""
    waiting = {
        json.loads(found.body).get("call_id"): found
        for found in Proposal.objects.filter(kind=Proposal.Kind.DEFAULT_NOTICE, state=Proposal.State.PROPOSED)
    }
    calls = MarginCall.objects.filter(state=MarginCall.State.LAPSED).select_related("cell__party")
    return [Lapsed(call, _unmet(call), waiting.get(str(call.id))) for call in calls.order_by("deliver_by")]


def _unmet(call: MarginCall) -> int:
    return sum(CallIncrement.objects.filter(call=call).values_list("unmet_base_units", flat=True))


def room(request: HttpRequest, case_id: UUID) -> HttpResponse:
    """One case whole."""
    case = get_object_or_404(
        DefaultCase.objects.select_related("cell__party", "call", "notice__maker", "notice__checker", "determination"),
        id=case_id,
    )
    events = list(case.events.all())
    layers = list(Layer.objects.filter(cell=case.cell).order_by("attach_base_units"))
    waiting = Proposal.objects.filter(cell=case.cell, state=Proposal.State.PROPOSED).exclude(kind="CREDIT_LINE")
    return show(
        request,
        "room",
        f"Default of {case.cell.code}",
        case=case,
        steps=_steps(case, {event.after: event.at for event in reversed(events)}),
        events=events,
        slices=case.slices.select_related("instrument"),
        remaining=Position.objects.filter(cell__closes_out=case.cell).exclude(quantity=0).select_related("instrument"),
        layers=layers,
        top=max([case.loss_base_units, *(layer.detach_base_units for layer in layers)]),
        receipts=case.receipts.all(),
        shares=UncoveredShare.objects.filter(case=case).select_related("cell", "lot__instrument"),
        waiting=waiting.select_related("maker").first(),
        bundle=json.loads(case.determination.body) if case.determination else None,
        may_determine=case.state == State.REPLACING,
        instructions=ChainInstruction.objects.filter(cell=case.cell, at__gte=case.noticed_at)
        .select_related("target__asset")
        .order_by("-id")[:INSTRUCTIONS_SHOWN],
        form=ReasonForm(),
    )


def _steps(case: DefaultCase, reached: dict[str, Any]) -> list[Step]:
    path = (State.NOTICE, State.CURED) if case.state == State.CURED else PATH
    first = {State.NOTICE: case.noticed_at, State.ETD_SET: case.etd_at}
    return [Step(State(step).label, first.get(step) or reached.get(step), case.state == step) for step in path]


@require_POST
def propose_notice(request: HttpRequest, call_id: UUID) -> HttpResponse:
    """Ask for a default notice on a lapsed call; another officer must approve it."""
    call = get_object_or_404(MarginCall.objects.select_related("cell"), id=call_id)
    form = ReasonForm(request.POST)
    if not form.is_valid():
        return show(
            request, "cases", "Defaults", status=422, lapsed=lapsed_calls(), live=[], over=[], form=form, failed=call.id
        )
    body = {"call_id": str(call.id), "reason": form.cleaned_data["reason"]}
    return redirect("admin:request", ask(request, "propose_notice", call.cell, body).id)


@require_POST
def propose_determination(request: HttpRequest, case_id: UUID) -> HttpResponse:
    """Ask for the loss to be determined; refused while anything of the close-out is open."""
    case = get_object_or_404(DefaultCase.objects.select_related("cell"), id=case_id)
    form = ReasonForm(request.POST)
    reason = form.cleaned_data["reason"] if form.is_valid() else "Every position is replaced and every token sold."
    body = {"case_id": str(case.id), "reason": reason}
    return redirect("admin:request", ask(request, "propose_determination", case.cell, body).id)
