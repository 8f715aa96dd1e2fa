"""What final blocks mean for acts: their transactions are closed by receipt, and an act whose every step shows is done.

Most of what acts do leaves no log of a contract that is watched, so a receipt of the final block says whether it
succeeded, and a step counts only where the contract itself shows it at that block.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from intermediary import audit, events
from intermediary.errors import Refusal
from settlement import chains
from settlement.acts import driver, plans
from settlement.any_of import AnyOf
from settlement.chain import Chain, ChainRefused
from settlement.closed import back_to_sent
from settlement.models import ChainAct, ChainBlock, ChainTransaction

log = logging.getLogger(__name__)
State = ChainTransaction.State


def settle(chain: Chain, witnesses: Sequence[Chain] = ()) -> None:
    """Close what is final, and of which every node gives the same receipt. Harmless when repeated; what cannot be told
    now is asked again at the next final block."""
    if not _TO_SETTLE.exists():
        return
    for found in _included().order_by("recorded_at"):
        _close(chain, witnesses, found)
    for act in driver.open_acts():
        try:
            _finish(chain, act)
        except (Refusal, ChainRefused) as error:
            log.warning("act %s cannot be finished now: %s", act.id, error)


def _included() -> QuerySet[ChainTransaction]:
    return ChainTransaction.objects.filter(sender__chain=chains.here(), state=State.INCLUDED).exclude(step="")


_TO_SETTLE = AnyOf(_included, driver.open_acts)


def _close(chain: Chain, witnesses: Sequence[Chain], found: ChainTransaction) -> None:
    assert found.block_number is not None, "what is included is in a block"
    block = ChainBlock.objects.filter(canonical=True, number=found.block_number).first()
    if block is None or (block.hash == found.block_hash and not block.finalized):
        return
    (receipt,) = chain.receipts([found.transaction_hash])
    if block.hash != found.block_hash or receipt is None or receipt["blockHash"] != block.hash:
        back_to_sent(found)
        return
    if not _bear_out(witnesses, receipt):
        return
    succeeded = int(receipt["status"], 16) == 1
    state = State.FINAL if succeeded else State.REVERTED
    ChainTransaction.objects.filter(id=found.id, state=State.INCLUDED).update(state=state, succeeded=succeeded)


def _bear_out(witnesses: Sequence[Chain], receipt: Mapping[str, Any]) -> bool:
    """Whether every other node gives the same receipt; one that is silent is waited for."""
    for witness in witnesses:
        try:
            witness.id()
            (theirs,) = witness.receipts([receipt["transactionHash"]])
        except Refusal:
            return False
        if theirs is None or any(theirs[name] != receipt[name] for name in ("blockHash", "status")):
            log.warning("%s gives another receipt of %s", witness.name, receipt["transactionHash"])
            return False
    return True


def _finish(chain: Chain, act: ChainAct) -> None:
    """The act is done once every step is made by the latest block, nothing is on its way, and the final block shows it
    all, whatever was sent."""
    if act.transactions.filter(state__in=(*ChainTransaction.UNFINISHED, State.INCLUDED)).exists():
        return
    found = driver.look(chain, act)
    if found.step is not None:
        return
    if driver.look(chain, act, chain.head_and_final()[1], strictly=True).step is not None:
        return
    with transaction.atomic():
        locked = ChainAct.objects.select_for_update().get(id=act.id)
        if locked.state not in ChainAct.UNFINISHED:
            return
        told = plans.record(chain, act, found.made)
        done: dict[str, Any] = {"state": ChainAct.State.DONE, "step": "", "key": "", "said": "", "ready_at": None}
        ChainAct.objects.filter(id=act.id).update(
            **done, made=found.made, steps_done=found.done, steps_known=found.known
        )
        audit.record(actor="chain acts", action="chain_act.done", subject=act.id, kind=act.kind)
        events.emit(
            events.CHAIN_ACT_DONE, cell_id=act.proposal.cell_id, act_id=str(act.id), act_kind=act.kind, about=told
        )
