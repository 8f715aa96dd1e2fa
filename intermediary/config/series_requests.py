"""Wishes of officers who structure a series, carried out by a worker where the numeric stack is loaded already."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from bonds.offering import drafts
from intermediary import approvals
from intermediary.models import CommandRequest


def _save_draft(request: CommandRequest) -> dict[str, Any]:
    from bonds.offering import structuring

    draft = structuring.save_draft(maker=request.user, code=request.body["code"], body=request.body["draft"])
    return {"draft_id": str(draft.id), "problems": len(draft.problems), "terms_hash": draft.terms_hash}


def _drop_draft(request: CommandRequest) -> dict[str, Any]:
    return {"draft_id": str(drafts.drop_draft(maker=request.user, draft_id=UUID(request.body["draft_id"])).id)}


def _propose_series(request: CommandRequest) -> dict[str, Any]:
    from bonds.offering import structuring

    proposal = structuring.propose_series(
        maker=request.user,
        draft_id=UUID(request.body["draft_id"]),
        seen_hash=request.body["seen_hash"],
        reason=request.body["reason"],
    )
    return {"proposal_id": str(proposal.id), "hash": proposal.hash}


def _approve_series(request: CommandRequest) -> dict[str, Any]:
    from bonds.offering import structuring

    series = structuring.approve_series(**approvals.decision_of(request))
    return {"series_id": str(series.id), "terms_hash": series.terms_hash}


def _reject_series(request: CommandRequest) -> dict[str, Any]:
    return {"draft_id": str(drafts.reject_series(**approvals.decision_of(request)).id)}


COMMANDS: Mapping[str, Callable[[CommandRequest], dict[str, Any]]] = {
    "save_series_draft": _save_draft,
    "drop_series_draft": _drop_draft,
    "propose_series": _propose_series,
    "approve_series": _approve_series,
    "reject_series": _reject_series,
}
