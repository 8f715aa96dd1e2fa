"""The whole round in one process: approve, post, mine, watch, until the chain has caught up with the ledger.

Tests and the replay's barrier use it; live, the same steps run in processes of their own, with keys of their own.
"""

import time
from collections.abc import Callable

from django.db.models.functions import Now

from intermediary.errors import Refusal
from intermediary.models import ChainInstruction
from settlement import approver, chains, demo_chain, poster, watcher
from settlement.chain import Chain, default_chain
from settlement.models import ChainLog, HeldCall
from settlement.signer import signer_for
from settlement.transactor import Mine

State = ChainInstruction.State
POLL_SECONDS = 0.2  # where another process mines a block a second
BLOCKS_A_ROUND = 3  # the demonstration chain calls a block final two blocks later: what a round sends is final with it


def unfinished() -> int:
    """Instructions neither final nor failed, and final events not yet booked. A call that the chain will only take
    later (a cure or challenge period runs), or that waits for people, does not count: nothing can be done now."""
    waiting = HeldCall.objects.filter(instruction__is_open=True, instruction__state=State.DRAFT).values("instruction")
    instructions = ChainInstruction.objects.filter(is_open=True).exclude(id__in=waiting)
    here = instructions.filter(target__asset__chain__in=chains.asset_chains())
    unapplied = ChainLog.objects.filter(block__chain=chains.here(), block__canonical=True, applied=False)
    return here.count() + unapplied.count()


def _nothing_to_do(chain: Chain) -> bool:
    """Whether the ledger waits for nothing, not even for time, and the chain holds nothing that was not booked."""
    read = watcher.tip()
    if read is None or read.number != chain.head() or demo_chain.has_work(chain):
        return False
    return not (ChainInstruction.objects.filter(is_open=True).exists() or unfinished())


def settle_all(
    *,
    max_rounds: int = 40,
    mine: Mine | None = demo_chain.mine,
    chain: Chain | None = None,
    after_block: Callable[[], object] = lambda: None,
) -> int:
    """Run rounds until nothing is unfinished and everything sent before the call is final; how many it took. Where
    there is nothing to do, one block lets books and chain be compared once more.

    Refuses `not_settled` after `max_rounds`. Each round mines by `mine` the block that takes what was sent and the
    empty ones that make it final, or waits for the miner's, and calls `after_block` when what is newly final has been
    booked and reconciled.
    """
    chain = chain or default_chain()
    if mine is not None and _nothing_to_do(chain):
        mine(chain)
        watcher.step(chain)
        after_block()
        return 1
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
            for _ in range(BLOCKS_A_ROUND):
                mine(chain)
        progress = watcher.step(chain)
        after_block()
        if progress.finalized >= due and not unfinished():
            return number
    raise Refusal("not_settled", f"The chain has not caught up after {max_rounds} rounds.", unfinished=unfinished())
