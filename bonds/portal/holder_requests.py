"""Wishes about who may hold notes, about sending them on and about rolling them forward, of investors and of the
officers who decide, carried out by a worker."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from bonds.offering import eligibility
from bonds.servicing import rolls, transfers
from intermediary import access, approvals, clock, onboarding
from intermediary.models import CommandRequest


def _apply(request: CommandRequest) -> dict[str, Any]:
    body = request.body
    made = eligibility.apply(
        user=request.user,
        address=body["address"],
        investor_class=body["investor_class"],
        documents=dict(body["documents"]),
    )
    return {"application": str(made.id)}


def _prove_wallet(request: CommandRequest) -> dict[str, Any]:
    wallet = onboarding.prove_wallet(
        actor=request.user.get_username(),
        party=access.party_for(request.user),
        address=request.body["address"],
        signature=request.body["signature"],
    )
    return {"wallet": wallet.address}


def _propose(request: CommandRequest) -> dict[str, Any]:
    proposal = eligibility.propose(
        maker=request.user,
        application_id=UUID(request.body["application"]),
        valid_until=datetime.fromisoformat(request.body["valid_until"]),
        reason=request.body["reason"],
    )
    return {"proposal_id": str(proposal.id), "hash": proposal.hash}


def _propose_end(request: CommandRequest) -> dict[str, Any]:
    proposal = eligibility.propose_end(
        maker=request.user, wallet_id=UUID(request.body["wallet"]), reason=request.body["reason"]
    )
    return {"proposal_id": str(proposal.id), "hash": proposal.hash}


def _approve(request: CommandRequest) -> dict[str, Any]:
    grant = eligibility.approve(**approvals.decision_of(request))
    return {"wallet": grant.wallet.address, "valid_until": grant.valid_until.isoformat()}


def _reject(request: CommandRequest) -> dict[str, Any]:
    return {"proposal_id": str(eligibility.reject(**approvals.decision_of(request)).id)}


def _review_transfer(request: CommandRequest) -> dict[str, Any]:
    """Nothing changes; that it passes is the outcome."""
    body = request.body
    transfers.refuse_transfer(
        party=access.party_for(request.user),
        tranche_id=UUID(body["tranche"]),
        address=body["wallet"],
        receiver=body["receiver"],
        units=int(body["units"]),
        now=clock.now(),
    )
    return {}


def _elect_roll(request: CommandRequest) -> dict[str, Any]:
    body = request.body
    made = rolls.elect(
        user=request.user,
        tranche_id=UUID(body["tranche"]),
        address=body["wallet"],
        into_id=UUID(body["into"]),
        minimum_spread_bps=int(body["minimum_spread_bps"]),
    )
    return {"election": str(made.id)}


def _withdraw_roll(request: CommandRequest) -> dict[str, Any]:
    return {"election": str(rolls.withdraw(user=request.user, election_id=UUID(request.body["election"])).id)}


COMMANDS: Mapping[str, Callable[[CommandRequest], dict[str, Any]]] = {
    "apply_eligibility": _apply,
    "prove_holder_wallet": _prove_wallet,
    "review_transfer": _review_transfer,
    "elect_roll": _elect_roll,
    "withdraw_roll": _withdraw_roll,
    "propose_eligibility": _propose,
    "propose_eligibility_end": _propose_end,
    "approve_eligibility": _approve,
    "reject_eligibility": _reject,
}
