"""Wishes of officers about acts on chain and about a fence, carried out by a worker: proposed, decided, stopped."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from intermediary import approvals
from intermediary.config import note_acts
from intermediary.config.operations import caps
from intermediary.models import Cell, CommandRequest
from settlement import chains, lifting
from settlement.acts import deciding, stopping
from settlement.acts.rows import ChainAct

Command = Callable[[CommandRequest], dict[str, Any]]


def _propose_act(request: CommandRequest) -> dict[str, Any]:
    body = request.body
    if body["kind"] == ChainAct.Kind.RELATIONSHIP:
        cell = Cell.objects.filter(code=body["asked"].get("relationship", "")).first()
        if cell is not None:
            caps.refuse_below(cell.id)
    with chains.on(body.get("chain", "")):
        asked = note_acts.asked_of_series(body["kind"], body["asked"])
        proposal = deciding.propose(
            maker=request.user, kind=ChainAct.Kind(body["kind"]), asked=asked, reason=body["reason"]
        )
    return {"proposal_id": str(proposal.id), "hash": proposal.hash}


def _approve_act(request: CommandRequest) -> dict[str, Any]:
    act = deciding.approve(**approvals.decision_of(request))
    return {"act_id": str(act.id)}


def _stop_act(request: CommandRequest) -> dict[str, Any]:
    act = stopping.ask(officer=request.user, act_id=UUID(request.body["act_id"]), reason=request.body["reason"])
    return {"act_id": str(act.id)}


def _propose_lift(request: CommandRequest) -> dict[str, Any]:
    body = request.body
    proposal = lifting.propose(maker=request.user, fence_id=UUID(body["fence_id"]), reason=body["reason"])
    return {"proposal_id": str(proposal.id), "hash": proposal.hash}


def _approve_lift(request: CommandRequest) -> dict[str, Any]:
    fence = lifting.approve(**approvals.decision_of(request))
    return {"fence_id": str(fence.id)}


COMMANDS: dict[str, Command] = {
    "propose_chain_act": _propose_act,
    "approve_chain_act": _approve_act,
    "stop_chain_act": _stop_act,
    "propose_lift_fence": _propose_lift,
    "approve_lift_fence": _approve_lift,
}
