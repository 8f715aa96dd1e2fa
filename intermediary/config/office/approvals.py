"""Approvals: what waits for a second person, with the difference it makes and the hash it is bound to (D11)."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST

from intermediary import queries
from intermediary.config.office.pages import show
from intermediary.config.office.series_terms import terms_differences
from intermediary.models import CreditLine, Membership, Proposal
from intermediary.portal.wishes import ask

Kind = Proposal.Kind
APPROVE = {
    Kind.CREDIT_LINE: "approve_line",
    Kind.DEFAULT_NOTICE: "give_notice",
    Kind.LOSS_DETERMINATION: "approve_determination",
    Kind.WRITE_OFF: "approve_write_off",
    Kind.CHAIN_CALL: "approve_chain_call",
    Kind.CHAIN_ACT: "approve_chain_act",
    Kind.LIFT_FENCE: "approve_lift_fence",
    Kind.SERIES: "approve_series",
    Kind.OFFERING: "approve_offering",
    Kind.SERIES_REDEMPTION: "approve_redemption",
    Kind.ELIGIBILITY: "approve_eligibility",
    Kind.PRICING_RULES: "approve_pricing_rules",
    Kind.RELATIONSHIP: "approve_relationship",
}
REJECT = {Kind.CREDIT_LINE: "reject_line", Kind.ELIGIBILITY: "reject_eligibility", Kind.SERIES: "reject_series"}
LINE_FIGURES = (
    ("threshold_base_units", "Unsecured threshold"),
    ("first_loss_base_units", "First loss retention"),
    ("tail_base_units", "Tail bond"),
    ("senior_base_units", "Senior retention"),
)
DECIDED_SHOWN = 30  # a week of a busy desk; older ones are in the table of proposals


class DecisionForm(forms.Form):
    """A decision with its reason, bound to the hash that the page showed."""

    seen_hash = forms.CharField(min_length=64, max_length=64, widget=forms.HiddenInput)
    reason = forms.CharField(
        min_length=8,
        max_length=1000,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": "Give a reason: every decision stands in the audit trail with one."},
    )
    decision = forms.ChoiceField(choices=[("approve", "Approve"), ("reject", "Reject")])


@dataclass(frozen=True)
class Difference:
    """One figure of a line, now and as proposed; settlement base units."""

    label: str
    now: int
    proposed: int

    @property
    def change(self) -> int:
        """Positive: more."""
        return self.proposed - self.now


def inbox(request: HttpRequest) -> HttpResponse:
    """What waits, the nearest expiry first, and what was decided lately."""
    everything = Proposal.objects.select_related("cell", "maker", "checker")
    return show(
        request,
        "approvals",
        "Approvals",
        waiting=[(one, why_not(request, one)) for one in everything.filter(state="PROPOSED").order_by("expires_at")],
        decided=everything.exclude(state="PROPOSED").order_by("-decided_at", "-id")[:DECIDED_SHOWN],
    )


def proposal(request: HttpRequest, proposal_id: UUID, form: DecisionForm | None = None) -> HttpResponse:
    """One proposal: what it changes, the numbers behind it, and the decision."""
    found = get_object_or_404(Proposal.objects.select_related("cell__party", "maker", "checker"), id=proposal_id)
    body = json.loads(found.body)
    line = CreditLine.objects.filter(cell=found.cell, state=CreditLine.State.ACTIVE).first()
    return show(
        request,
        "proposal",
        f"{found.get_kind_display()} for {found.cell.code}",
        status=422 if form else 200,
        proposal=found,
        body=body,
        line=line if found.kind == Kind.CREDIT_LINE else None,
        differences=differences(body, line) if found.kind == Kind.CREDIT_LINE else [],
        admission=body.get("admission"),
        terms_differences=terms_differences(body) if found.kind == Kind.SERIES else [],
        expires_at=_moment(body.get("expires_at")),
        why_not=why_not(request, found),
        form=form or DecisionForm(initial={"seen_hash": found.hash}),
    )


@require_POST
def decide(request: HttpRequest, proposal_id: UUID) -> HttpResponse:
    """Store the decision as a request; the worker carries it out under the same rules."""
    found = get_object_or_404(Proposal.objects.select_related("cell"), id=proposal_id)
    form = DecisionForm(request.POST)
    if not form.is_valid():
        return proposal(request, proposal_id, form)
    body = {
        "proposal_id": str(found.id),
        "seen_hash": form.cleaned_data["seen_hash"],
        "reason": form.cleaned_data["reason"],
    }
    approving = form.cleaned_data["decision"] == "approve"
    command = APPROVE[Kind(found.kind)] if approving else _rejection(found)
    return redirect("admin:request", ask(request, command, found.cell, body).id)


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _rejection(found: Proposal) -> str:
    return REJECT.get(Kind(found.kind), "reject_proposal")


def why_not(request: HttpRequest, found: Proposal) -> str:
    """Why this officer cannot decide it; empty when they can. The database says the same once more."""
    if found.state != Proposal.State.PROPOSED:
        return f"It is {found.get_state_display().lower()} already."
    if found.maker_id == request.user.pk:
        return "You proposed it. A second person must decide: maker and checker are never the same."
    if Membership.objects.filter(party=found.cell.party, user__username=request.user.get_username()).exists():
        return "You act for this client. Someone who does not must decide."
    if found.expires_at <= queries.platform_clock().now:
        return "Its time to decide is over. It lapses; propose it again."
    return ""


def differences(body: dict[str, Any], line: CreditLine | None) -> list[Difference]:
    """The proposed figures against the line in force; a line that does not exist counts as zero."""
    return [
        Difference(label, getattr(line, name) if line else 0, int(body.get(name, 0))) for name, label in LINE_FIGURES
    ]
