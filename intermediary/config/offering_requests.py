"""What officers ask of an offering, carried out by a risk worker: guidance needs the loss model."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from bonds.offering import proposals
from bonds.offering.plan import from_body
from intermediary import access, approvals
from intermediary.models import CommandRequest, Proposal


def _propose_announcement(request: CommandRequest) -> dict[str, Any]:
    body = request.body
    return _told(
        proposals.propose_announcement(
            maker=request.user,
            series_id=UUID(body["series_id"]),
            plan=from_body(body["plan"]),
            reason=body["reason"],
        )
    )


def _propose_guidance(request: CommandRequest) -> dict[str, Any]:
    from bonds.marking import valuation

    access.require_officer(request.user)
    series_id = UUID(request.body["series_id"])
    guidance = valuation.price_guidance(series_id)
    return _told(
        proposals.propose_guidance(
            maker=request.user, series_id=series_id, guidance_bps=guidance, reason=request.body["reason"]
        )
    )


def _propose_allocation(request: CommandRequest) -> dict[str, Any]:
    series_id, reason = UUID(request.body["series_id"]), request.body["reason"]
    return _told(proposals.propose_allocation(maker=request.user, series_id=series_id, reason=reason))


def _propose_pull(request: CommandRequest) -> dict[str, Any]:
    series_id, reason = UUID(request.body["series_id"]), request.body["reason"]
    return _told(proposals.propose_pull(maker=request.user, series_id=series_id, reason=reason))


def _approve_offering(request: CommandRequest) -> dict[str, Any]:
    body = request.body
    _refuse_pull_of_sold_out(UUID(body["proposal_id"]))
    offering = proposals.approve(
        checker=request.user,
        proposal_id=UUID(body["proposal_id"]),
        seen_hash=body["seen_hash"],
        reason=body["reason"],
    )
    return {"series_id": str(offering.series_id), "state": offering.state}


def _refuse_pull_of_sold_out(proposal_id: UUID) -> None:
    """An escrow is closed by acts on chain, which may precede the booking of its payments."""
    from intermediary.config import note_sale

    proposal = Proposal.objects.filter(id=proposal_id, kind=proposals.KIND).first()
    if proposal is not None and proposals.act_of(proposal) == proposals.PULL:
        note_sale.refuse_sold_out(UUID(approvals.body_of(proposal)["series_id"]))


def _told(proposal: Proposal) -> dict[str, Any]:
    return {"proposal_id": str(proposal.id), "hash": proposal.hash}


COMMANDS: dict[str, Callable[[CommandRequest], dict[str, Any]]] = {
    "propose_announcement": _propose_announcement,
    "propose_guidance": _propose_guidance,
    "propose_allocation": _propose_allocation,
    "propose_pull": _propose_pull,
    "approve_offering": _approve_offering,
}
TITLES = {
    "propose_announcement": "Propose the announcement of an offering",
    "propose_guidance": "Propose the guidance of an offering",
    "propose_allocation": "Propose the allocation of a cleared book",
    "propose_pull": "Propose to pull an offering",
    "approve_offering": "Approve an act on an offering",
}
