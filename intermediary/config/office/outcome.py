"""What became of a request: being worked on, done, or refused with its numbers."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse

from intermediary.config import offering_requests, redemption_requests
from intermediary.config.office.pages import show
from intermediary.models import CommandRequest

TITLES = {
    "propose_line": "Propose a credit line",
    "approve_line": "Approve a credit line",
    "reject_line": "Reject a credit line",
    "propose_notice": "Propose a default notice",
    "give_notice": "Give a default notice",
    "propose_determination": "Propose a loss determination",
    "approve_determination": "Approve a loss determination",
    "propose_write_off": "Propose a write-off",
    "approve_write_off": "Approve a write-off",
    "reject_proposal": "Reject a proposal",
    "propose_eligibility": "Propose that a wallet may hold notes",
    "propose_eligibility_end": "Propose that a wallet's eligibility ends",
    "approve_eligibility": "Approve the eligibility of a wallet",
    "reject_eligibility": "Reject the eligibility of a wallet",
    "receive_recovery": "Book a recovery",
    "deliver_again": "Deliver an event again",
    "own_stress": "A scenario of your own",
    "officer_what_if": "What-if for a relationship",
    "suspend_deposit": "Put a deposit into suspense",
    "propose_chain_call": "Propose what becomes of a call",
    "approve_chain_call": "Decide what becomes of a call",
    "propose_relationship": "Propose a relationship",
    "approve_relationship": "Open a relationship",
    "propose_chain_act": "Propose an act on chain",
    "approve_chain_act": "Begin an act on chain",
    "stop_chain_act": "Stop an act on chain",
    "propose_lift_fence": "Propose to lift a fence",
    "approve_lift_fence": "Lift a fence",
    "save_series_draft": "Save a draft of a series",
    "drop_series_draft": "Drop a draft of a series",
    "propose_series": "Propose a series",
    "approve_series": "Structure a series",
    "reject_series": "Turn a series down",
    "approve_pricing_rules": "Put a pricing ruleset in force",
    **offering_requests.TITLES,
    **redemption_requests.TITLES,
}


def outcome(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """An officer's own request, renewed until it is decided."""
    wish = get_object_or_404(CommandRequest.objects.select_related("cell", "user"), id=request_id, user=request.user)
    told = wish.outcome or {}
    return show(
        request,
        "outcome",
        TITLES.get(wish.command, wish.command),
        wish=wish,
        told=told,
        next_page=_next_page(wish, told),
    )


def _next_page(wish: CommandRequest, told: dict[str, str]) -> str:
    """Where the result, or what was decided on, can be seen."""
    proposal = told.get("proposal_id") or wish.body.get("proposal_id")
    case = told.get("case_id") or wish.body.get("case_id")
    if wish.command in ("save_series_draft", "drop_series_draft"):
        return reverse("admin:series_draft", args=[told["draft_id"]]) if "draft_id" in told else reverse("admin:series")
    if case:
        return reverse("admin:default_room", args=[case])
    if wish.command in ("approve_offering", "approve_redemption") and "series_id" in told:
        return reverse("admin:offering", args=[told["series_id"]])
    if "act_id" in told:
        return reverse("admin:acts")
    if proposal:
        return reverse("admin:proposal", args=[proposal])
    return reverse("admin:approvals")
