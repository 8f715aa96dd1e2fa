"""The whole round in one process: approve, post, mine, watch, until the chain has caught up with the ledger.

Tests and the replay's barrier use it; live, the same steps run in processes of their own, with keys of their own.
"""

import time
from collections.abc import Callable

from django.db.models.functions import Now

from intermediary.errors import Refusal
from intermediary.models import ChainInstruction
from settlement import approver, demo_chain, poster, watcher
from settlement.chain import Chain, default_chain
from settlement.models import ChainLog, HeldCall
from settlement.signer import signer_for
from settlement.transactor import Mine

State = ChainInstruction.State
POLL_SECONDS = 0.2  # where another process mines a block a second


def unfinished() -> int:
    """Instructions neither final nor failed, and final events not yet booked. A call that the chain will only take
    later (a cure or challenge period runs), or that waits for people, does not count: nothing can be done now."""
    waiting = HeldCall.objects.filter(instruction__state=State.DRAFT).values("instruction")
    open_states = [State.DRAFT, State.BATCHED, State.INCLUDED]
    instructions = ChainInstruction.objects.filter(state__in=open_states).exclude(id__in=waiting)
    return instructions.count() + ChainLog.objects.filter(block__canonical=True, applied=False).count()


def settle_all(
    *,
    max_rounds: int = 40,
    mine: Mine | None = demo_chain.mine,
    chain: Chain | None = None,
    after_block: Callable[[], object] = lambda: None,
) -> int:
    """Run rounds until nothing is unfinished and everything sent before the call is final; how many it took.

    Refuses `not_settled` after `max_rounds`. Each round mines one block by `mine`, or waits for the miner's, and calls
    `after_block` when what is newly final has been booked and reconciled.
    """
    chain = chain or default_chain()
    signers = {role: signer_for(role) for role in ("poster", "operator")}
    chain_id, due = int(chain.call("eth_chainId"), 16), chain.head() + 1
    HeldCall.objects.filter(given_up=False, instruction__state=State.DRAFT).update(next_try_at=Now())
    for number in range(1, max_rounds + 1):
        poster.step(chain, signers)
        if approver.step(signer_for("approver"), chain_id):
            poster.step(chain, signers)
        if mine is None:
            time.sleep(POLL_SECONDS)
        else:
            mine(chain)
        progress = watcher.step(chain)
        after_block()
        if progress.finalized >= due and not unfinished():
            return number
    raise Refusal("not_settled", f"The chain has not caught up after {max_rounds} rounds.", unfinished=unfinished())
