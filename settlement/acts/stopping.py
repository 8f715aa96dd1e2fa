"""Stopping an act: what is scheduled is taken back by a guardian, and no further step is made.

One person may stop what two have decided; nobody may begin it again but two. What was made already stays: a vault that
is open, a contract that stands. A call that is on its way may still be mined, and is waited for.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING
from uuid import UUID

from django.contrib.auth.models import User
from django.db import connection, transaction

from intermediary import access, audit, events
from intermediary.errors import BadInput, Refusal
from settlement.acts import scheduling
from settlement.acts.steps import Step, Wait
from settlement.calls import ContractCall
from settlement.chain import Chain
from settlement.deployment import address_of
from settlement.models import ChainAct, ChainSender, ChainTransaction
from settlement.signer import Signer

if TYPE_CHECKING:
    from settlement.models import ChainTransaction as Sent

GUARDIAN = "admin"  # of every role, as the access manager has it from its first day
CANCEL_GAS = 120_000  # of a call that writes one word and one event


def ask(*, officer: User, act_id: UUID, reason: str) -> ChainAct:
    """An officer stops an act. Refuses `act_is_over`."""
    assert connection.in_atomic_block, "a decision belongs to a transaction"
    access.require_officer(officer)
    if not reason.strip():
        raise BadInput("reason_missing", "Say why.")
    act = ChainAct.objects.select_for_update().filter(id=act_id).first()
    if act is None:
        raise access.not_found()
    if act.state != ChainAct.State.OPEN:
        raise Refusal("act_is_over", f"The act is {act.get_state_display().lower()} already.", state=act.state)
    _begin(act, officer.get_username(), reason)
    return act


def stop(act: ChainAct, *, actor: str, reason: str) -> None:
    """The same, by what the chain shows."""
    with transaction.atomic():
        locked = ChainAct.objects.select_for_update().get(id=act.id)
        if locked.state == ChainAct.State.OPEN:
            _begin(locked, actor, reason)


def _begin(act: ChainAct, actor: str, reason: str) -> None:
    ChainAct.objects.filter(id=act.id).update(state=ChainAct.State.STOPPING, said=f"stopped: {reason}"[:300])
    audit.record(actor=actor, action="chain_act.stop", subject=act.id, reason=reason, kind=act.kind, step=act.step)
    events.notify(events.OUTBOX_CHANNEL)


def advance(
    chain: Chain,
    act: ChainAct,
    step: Step | Wait | None,
    accounts: Mapping[str, ChainSender],
    signers: Mapping[str, Signer],
) -> str | None:
    """Take back what is scheduled, then end the act; the key with which something was sent."""
    if act.transactions.filter(state__in=(*ChainTransaction.UNFINISHED, ChainTransaction.State.INCLUDED)).exists():
        return None
    scheduled = _scheduled(chain, act, step) if isinstance(step, Step) and step.is_restricted else None
    if scheduled is None:
        _end(act)
        return None
    caller, number = scheduled
    key = next((one for one in (GUARDIAN, step.key) if one in accounts), None) if isinstance(step, Step) else None
    if key is None or not isinstance(step, Step):
        return None
    return key if _cancel(chain, act, step, caller, number, accounts[key], signers[key]) else None


def _scheduled(chain: Chain, act: ChainAct, step: Step) -> tuple[str, int] | None:
    """By which address, and for the how-manieth time, the step is scheduled now; None where it is not."""
    sent = act.transactions.filter(step__startswith=f"{step.label}: schedule", succeeded=True).order_by("-id")
    last: Sent | None = sent.first()
    if last is None:
        return None
    manager = address_of("AccessManager")
    stands = scheduling.standing(chain, manager, last.sender_id, step.to, step.calldata())
    return (last.sender_id, stands.number) if stands.ready_at is not None else None


def _cancel(
    chain: Chain, act: ChainAct, step: Step, caller: str, number: int, account: ChainSender, signer: Signer
) -> bool:
    from settlement import sender  # which reads acts

    call = ContractCall(address_of("AccessManager"), scheduling.cancel(caller, step.to, step.calldata()))
    made = sender.prepare(chain, account, signer, call, CANCEL_GAS, act=act, step=f"{step.label}: take back {number}")
    if made is not None:
        sender.send(chain, made)
    return made is not None


def _end(act: ChainAct) -> None:
    with transaction.atomic():
        stopping = ChainAct.objects.filter(id=act.id, state=ChainAct.State.STOPPING)
        if stopping.update(state=ChainAct.State.STOPPED, ready_at=None, step="", key=""):
            audit.record(actor="chain acts", action="chain_act.stopped", subject=act.id, kind=act.kind)
