"""Wishes stored by a page, carried out here by a risk worker: the command's name decides which function runs.

The outcome, or the refusal with its numbers, is written back to the request and the page is told. A wish is claimed
with SKIP LOCKED and carried out in one transaction with its outcome, so it happens once.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction

from bonds.portal import requests as bond_requests
from intermediary import (
    access,
    approvals,
    calls,
    credit,
    defaults,
    determination,
    events,
    onboarding,
    opening,
    recovery,
    trading,
    withdrawals,
)
from intermediary.config import (
    chain_requests,
    deliveries,
    offering_requests,
    pricing_requests,
    redemption_requests,
    series_requests,
)
from intermediary.config.refusals import problem
from intermediary.errors import Refusal
from intermediary.models import Cell, CommandRequest, Proposal, Trade
from settlement import decisions, refused
from settlement.models import HouseReceipt

logger = logging.getLogger(__name__)
Command = Callable[[CommandRequest], dict[str, Any]]


def _submit_trade(request: CommandRequest) -> dict[str, Any]:
    body = request.body
    assert request.cell_id is not None
    trade = trading.submit_trade(
        user=request.user,
        cell_id=request.cell_id,
        side=body["side"],
        counterparty=body["counterparty"],
        instrument=body["instrument"],
        quantity=Decimal(body["quantity"]),
        price=Decimal(body["price"]),
    )
    return {"trade_id": str(trade.id), "state": trade.state}


def _affirm_trade(request: CommandRequest) -> dict[str, Any]:
    trade = trading.affirm_trade(user=request.user, trade_id=UUID(request.body["trade_id"]))
    trade = trading.novate(trade_id=trade.id)
    if trade.state == Trade.State.NOVATED:
        sides = [trade.buyer_id, trade.seller_id]
        # The trade stands and the wishes behind it go on when this fails: the next tick renews whom it did not.
        # A lambda, since Django tells of a robust failure by the function's name and a partial has none.
        transaction.on_commit(lambda: _renew(sides), robust=True)
    return {"trade_id": str(trade.id), "state": trade.state, "refusal": trade.refusal}


def _renew(cell_ids: list[UUID]) -> None:
    """Requirements of books that have just changed; here the numeric stack is loaded already."""
    from risk import engine

    engine.renew_requirements(cell_ids)


def _cancel_trade(request: CommandRequest) -> dict[str, Any]:
    trade = trading.cancel_trade(user=request.user, trade_id=UUID(request.body["trade_id"]))
    return {"trade_id": str(trade.id), "state": trade.state}


def _what_if(request: CommandRequest) -> dict[str, Any]:
    """Nothing changes; the answer is the outcome."""
    assert request.cell_id is not None
    return _weighed_up(access.cell_for(request.user, request.cell_id).id, request)


def _officer_what_if(request: CommandRequest) -> dict[str, Any]:
    """The same, of any client's relationship; the request is the record of who looked."""
    access.require_officer(request.user)
    assert request.cell_id is not None
    if not Cell.objects.filter(id=request.cell_id, kind=Cell.Kind.CLIENT).exists():
        raise access.not_found()
    return _weighed_up(request.cell_id, request)


def _weighed_up(cell_id: UUID, request: CommandRequest) -> dict[str, Any]:
    """Here the numeric stack is loaded already."""
    from bonds.marking.credit_charge import what_if
    from risk.what_if import Considered

    trades = [Considered(one["instrument"], Decimal(one["quantity"])) for one in request.body["trades"]]
    return what_if(cell_id, trades)


def _own_stress(request: CommandRequest) -> dict[str, Any]:
    """Nothing changes; the answer is the outcome."""
    from risk import own_stress

    access.require_officer(request.user)
    return own_stress.under(request.body["entered"], request.body["moves"])


def _withdraw(request: CommandRequest) -> dict[str, Any]:
    assert request.cell_id is not None
    made = withdrawals.request_withdrawal(
        user=request.user,
        cell_id=request.cell_id,
        asset=request.body["asset"],
        amount_base_units=int(request.body["amount_base_units"]),
    )
    return {"withdrawal_id": str(made.id), "state": made.state}


def _agree_call(request: CommandRequest) -> dict[str, Any]:
    calls.agree(user=request.user, call_id=UUID(request.body["call_id"]))
    return {}


def _pledge_call(request: CommandRequest) -> dict[str, Any]:
    calls.pledge(
        user=request.user,
        call_id=UUID(request.body["call_id"]),
        amount_base_units=int(request.body["amount_base_units"]),
    )
    return {}


def _prove_wallet(request: CommandRequest) -> dict[str, Any]:
    assert request.cell_id is not None
    party = access.cell_for(request.user, request.cell_id).party
    assert party is not None, "a client's relationship has a party"
    wallet = onboarding.prove_wallet(
        actor=request.user.get_username(),
        party=party,
        address=request.body["address"],
        signature=request.body["signature"],
    )
    return {"wallet": wallet.address}


def _propose_line(request: CommandRequest) -> dict[str, Any]:
    body = request.body
    assert request.cell_id is not None
    proposal = credit.propose_line(
        maker=request.user,
        cell_id=request.cell_id,
        threshold_base_units=int(body["threshold_base_units"]),
        first_loss_base_units=int(body["first_loss_base_units"]),
        tail_base_units=int(body["tail_base_units"]),
        senior_base_units=int(body["senior_base_units"]),
        slice_id=UUID(body["slice_id"]) if body.get("slice_id") else None,
        expires_at=datetime.fromisoformat(body["expires_at"]),
        reason=body["reason"],
        awaits_cover=bool(body.get("awaits_cover", False)),
    )
    return {"proposal_id": str(proposal.id), "hash": proposal.hash}


def _approve_line(request: CommandRequest) -> dict[str, Any]:
    line = credit.approve_line(**approvals.decision_of(request))
    return {"credit_line_id": str(line.id)}


def _reject_line(request: CommandRequest) -> dict[str, Any]:
    credit.reject_line(**approvals.decision_of(request))
    return {}


def _propose_notice(request: CommandRequest) -> dict[str, Any]:
    proposal = defaults.propose_notice(
        maker=request.user, call_id=UUID(request.body["call_id"]), reason=request.body["reason"]
    )
    return {"proposal_id": str(proposal.id), "hash": proposal.hash}


def _give_notice(request: CommandRequest) -> dict[str, Any]:
    return {"case_id": str(defaults.give_notice(**approvals.decision_of(request)).id)}


def _propose_determination(request: CommandRequest) -> dict[str, Any]:
    proposal = determination.propose_determination(
        maker=request.user, case_id=UUID(request.body["case_id"]), reason=request.body["reason"]
    )
    return {"proposal_id": str(proposal.id), "hash": proposal.hash}


def _approve_determination(request: CommandRequest) -> dict[str, Any]:
    return {"case_id": str(determination.approve_determination(**approvals.decision_of(request)).id)}


def _propose_write_off(request: CommandRequest) -> dict[str, Any]:
    proposal = recovery.propose_write_off(
        maker=request.user, case_id=UUID(request.body["case_id"]), reason=request.body["reason"]
    )
    return {"proposal_id": str(proposal.id), "hash": proposal.hash}


def _approve_write_off(request: CommandRequest) -> dict[str, Any]:
    return {"case_id": str(recovery.approve_write_off(**approvals.decision_of(request)).id)}


def _reject_proposal(request: CommandRequest) -> dict[str, Any]:
    decision = approvals.decision_of(request)
    access.require_officer(request.user)
    kind = Proposal.objects.values_list("kind", flat=True).get(id=decision["proposal_id"])
    return {"proposal_id": str(approvals.reject(**decision, kind=Proposal.Kind(kind)).id)}


def _receive_recovery(request: CommandRequest) -> dict[str, Any]:
    """What arrived is what the watcher saw arrive; the officer says only what it is for."""
    body = request.body
    seen = HouseReceipt.objects.filter(id=body["receipt_id"], asset__is_settlement=True).first()
    if seen is None:
        raise access.not_found()
    receipt = recovery.receive(
        officer=request.user,
        case_id=UUID(body["case_id"]),
        transaction_hash=seen.transaction_hash,
        log_index=seen.log_index,
        amount_base_units=seen.amount_base_units,
        source=body["source"],
    )
    return {"case_id": body["case_id"], "lowered_base_units": receipt.amount_base_units if receipt else 0}


def _deliver_again(request: CommandRequest) -> dict[str, Any]:
    made = deliveries.deliver_again(officer=request.user, delivery_id=UUID(request.body["delivery_id"]))
    return {"delivery_id": str(made.id)}


def _suspend_deposit(request: CommandRequest) -> dict[str, Any]:
    row = refused.put_in_suspense(
        officer=request.user, log_id=UUID(request.body["log_id"]), reason=request.body["reason"]
    )
    return {"log_id": str(row.id)}


def _propose_chain_call(request: CommandRequest) -> dict[str, Any]:
    proposal = decisions.propose(
        maker=request.user,
        instruction_id=UUID(request.body["instruction_id"]),
        act=request.body["act"],
        reason=request.body["reason"],
    )
    return {"proposal_id": str(proposal.id), "hash": proposal.hash}


def _approve_chain_call(request: CommandRequest) -> dict[str, Any]:
    return {"instruction_id": str(decisions.approve(**approvals.decision_of(request)).id)}


def _propose_relationship(request: CommandRequest) -> dict[str, Any]:
    proposal = opening.propose(maker=request.user, body=request.body["opening"], reason=request.body["reason"])
    return {"proposal_id": str(proposal.id), "hash": proposal.hash}


def _approve_relationship(request: CommandRequest) -> dict[str, Any]:
    return {"relationship": opening.approve(**approvals.decision_of(request)).code}


COMMANDS: dict[str, Command] = {
    "submit_trade": _submit_trade,
    "affirm_trade": _affirm_trade,
    "cancel_trade": _cancel_trade,
    "what_if": _what_if,
    "officer_what_if": _officer_what_if,
    "own_stress": _own_stress,
    "withdraw": _withdraw,
    "agree_call": _agree_call,
    "pledge_call": _pledge_call,
    "prove_wallet": _prove_wallet,
    "propose_line": _propose_line,
    "approve_line": _approve_line,
    "reject_line": _reject_line,
    "propose_notice": _propose_notice,
    "give_notice": _give_notice,
    "propose_determination": _propose_determination,
    "approve_determination": _approve_determination,
    "propose_write_off": _propose_write_off,
    "approve_write_off": _approve_write_off,
    "reject_proposal": _reject_proposal,
    "receive_recovery": _receive_recovery,
    "deliver_again": _deliver_again,
    "suspend_deposit": _suspend_deposit,
    "propose_chain_call": _propose_chain_call,
    "approve_chain_call": _approve_chain_call,
    "propose_relationship": _propose_relationship,
    "approve_relationship": _approve_relationship,
    **bond_requests.COMMANDS,
    **chain_requests.COMMANDS,
    **series_requests.COMMANDS,
    **pricing_requests.COMMANDS,
    **offering_requests.COMMANDS,
    **redemption_requests.COMMANDS,
}


def run_pending(limit: int = 100) -> int:
    """Carry out what waits, oldest first; returns how many were carried out."""
    done = 0
    while done < limit and _run_one():
        done += 1
    return done


def _run_one() -> bool:
    with transaction.atomic(durable=True):
        waiting = CommandRequest.objects.filter(state=CommandRequest.State.PENDING).order_by("id")
        request = waiting.select_for_update(skip_locked=True, of=("self",)).select_related("user").first()
        if request is None:
            return False
        state, outcome = _carry_out(request)
        CommandRequest.objects.filter(id=request.id).update(state=state, outcome=outcome)
        events.notify(events.PAGES_CHANNEL, f"request:{request.id}")
    return True


def _carry_out(request: CommandRequest) -> tuple[str, dict[str, Any]]:
    """The command in a savepoint: a refusal undoes it alone. A fault of ours is logged and told as one."""
    try:
        with transaction.atomic():
            return CommandRequest.State.DONE, COMMANDS[request.command](request)
    except Refusal as refusal:
        return CommandRequest.State.REFUSED, problem(refusal)
    except Exception:
        logger.exception("request %s (%s) failed", request.id, request.command)
        message = "Something went wrong on our side; nothing was changed. The desk has been told."
        return CommandRequest.State.REFUSED, {"code": "internal_error", "title": message, "status": 500}
