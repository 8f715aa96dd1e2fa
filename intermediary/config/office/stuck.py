"""What gets no further by itself: the live market, a recording that ended or lacks something, relationships that the
last market gave no requirement, calls that the chain or the approver will not take, deposits that the ledger cannot
book, events that no part of the platform could handle. A call needs two people; a deposit that is put into suspense
counts for nobody; an event is delivered again, since handlers repeat safely.
"""

import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST

from intermediary import approvals
from intermediary.config import live_market
from intermediary.config.office.pages import show
from intermediary.config.status import scenario_source
from intermediary.models import Asset, ChainInstruction, Delivery, Proposal
from intermediary.portal.wishes import ask
from risk.models import ScenarioSource
from risk.queries import held_back
from settlement import decisions, holding, refused
from settlement.models import BatchMovement, ChainLog

WORD_BEGINS = re.compile(r"(?<=[a-z])(?=[A-Z])")
CONTRACT = "Its contract refuses it"
BATCH = "It is signed, and the chain goes on refusing its batch"
APPROVER = "The approver refused to sign it"


class CallForm(forms.Form):
    """What to do with a call, and why. What the books stand on already cannot be left to fail."""

    act = forms.ChoiceField(label="Proposal", choices=[(decisions.AGAIN, "Try it again")])
    reason = forms.CharField(min_length=8, max_length=1000)

    def __init__(self, instruction: ChainInstruction, data: Any = None) -> None:
        super().__init__(data, auto_id=f"{instruction.id}-%s", label_suffix="")
        if instruction.kind not in decisions.NEVER_FAIL:
            self.fields["act"].choices += [(decisions.FAIL, "Let it fail")]  # type: ignore[attr-defined]


class DepositForm(forms.Form):
    """Why a deposit that cannot be booked does not count as margin."""

    reason = forms.CharField(min_length=8, max_length=150)

    def __init__(self, row: ChainLog, data: Any = None) -> None:
        super().__init__(data, auto_id=f"{row.id}-%s", label_suffix="")


@dataclass(frozen=True)
class StuckCall:
    """One instruction that waits for two people: where it got stuck, what was said last, and what was proposed."""

    instruction: ChainInstruction
    where: str
    said: str
    form: forms.Form
    proposal: Proposal | None

    @property
    def holds_up_others(self) -> bool:
        """Nothing else of this token's house settles before a signed batch has."""
        return self.where == BATCH


def count() -> int:
    """How much waits for somebody."""
    lost = Delivery.objects.filter(state=Delivery.State.FAILED).count()
    markets = (_market() is not None) + (_recording() is not None)
    return decisions.waiting().count() + refused.waiting().count() + lost + len(held_back()) + markets


def _market() -> live_market.Health | None:
    """How the live market is doing, while there is none or a part of its requirements is missing."""
    health = live_market.health()
    return health if health is not None and (health.stands_still or health.is_stuck) else None


def _recording() -> ScenarioSource | None:
    """Where the scenarios come from, while an officer has to do something about it."""
    found = scenario_source()
    return found if found is not None and found.wants_somebody else None


def stuck(request: HttpRequest) -> HttpResponse:
    """The page."""
    return _page(request)


@require_POST
def propose(request: HttpRequest, instruction_id: UUID) -> HttpResponse:
    """Ask for a proposal that a second officer decides on."""
    instruction = get_object_or_404(ChainInstruction.objects.select_related("cell"), id=instruction_id)
    form = CallForm(instruction, request.POST)
    if not form.is_valid():
        return _page(request, {instruction.id: form}, status=422)
    body = {"instruction_id": str(instruction.id), **form.cleaned_data}
    return redirect("admin:request", ask(request, "propose_chain_call", instruction.cell, body).id)


@require_POST
def again(request: HttpRequest, delivery_id: UUID) -> HttpResponse:
    """Ask for an event to be delivered again."""
    delivery = get_object_or_404(Delivery.objects.select_related("event__cell"), id=delivery_id)
    body = {"delivery_id": str(delivery.id)}
    return redirect("admin:request", ask(request, "deliver_again", delivery.event.cell, body).id)


@require_POST
def suspend(request: HttpRequest, log_id: UUID) -> HttpResponse:
    """Ask for a deposit that cannot be booked to be put into suspense."""
    row = get_object_or_404(ChainLog.objects.select_related("cell"), id=log_id)
    form = DepositForm(row, request.POST)
    if not form.is_valid():
        return _page(request, {row.id: form}, status=422)
    body = {"log_id": str(row.id), **form.cleaned_data}
    return redirect("admin:request", ask(request, "suspend_deposit", row.cell, body).id)


def _page(request: HttpRequest, filled_in: dict[UUID, forms.Form] | None = None, status: int = 200) -> HttpResponse:
    lost = Delivery.objects.filter(state=Delivery.State.FAILED).select_related("event__cell")
    return show(
        request,
        "stuck",
        "Stuck",
        status=status,
        calls=_calls(filled_in or {}),
        held_back=held_back(),
        live=_market(),
        scenarios=_recording(),
        deposits=_deposits(filled_in or {}),
        deliveries=[(one, _sentence(one.event.kind.replace("_", " "))) for one in lost.order_by("id")],
    )


def _deposits(filled_in: dict[UUID, forms.Form]) -> list[tuple[ChainLog, Asset | None, int, forms.Form]]:
    """Each with its token, amount and form."""
    tokens = {asset.token_address: asset for asset in Asset.objects.all()}
    return [
        (row, tokens.get(row.address), int(row.data, 16), filled_in.get(row.id) or DepositForm(row))
        for row in refused.waiting()
    ]


def _calls(filled_in: dict[UUID, forms.Form]) -> list[StuckCall]:
    waiting = decisions.waiting()
    batched = BatchMovement.objects.filter(batch__in=holding.stuck_batches()).values_list("instruction_id", flat=True)
    signed = set(batched)
    open_proposals = Proposal.objects.filter(kind=Proposal.Kind.CHAIN_CALL, state=Proposal.State.PROPOSED)
    proposed = {UUID(approvals.body_of(one)["instruction"]): one for one in open_proposals.select_related("maker")}
    return [
        StuckCall(
            instruction=one,
            where=CONTRACT if one.state == one.State.DRAFT else BATCH if one.id in signed else APPROVER,
            said=_in_words(decisions.why(one)),
            form=filled_in.get(one.id) or CallForm(one),
            proposal=proposed.get(one.id),
        )
        for one in waiting
    ]


def _in_words(said: str) -> str:
    """The name of a contract's error as words: `OverOutflowCap` is `Over outflow cap`; anything else as it was said."""
    return _sentence(WORD_BEGINS.sub(" ", said).lower()) if said.isalpha() else said


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]
