"""The register of eligible holders on chain, brought to what two officers approved.

Safe to repeat and to cut off anywhere: what the register says is read at the last final block, and a grant counts as
entered only when it stands there. Between a transaction and its finality nothing is sent again; one that is lost is
missing at the next look and sent anew, and setting the same date twice changes nothing. Where this process does not
hold the structurer's key it only looks: whoever holds it enters the grant, and it is seen here.
"""

import os
import time
from contextlib import closing

from django.conf import settings
from django.db import transaction

from bonds.models import EligibleWallet
from bonds.offering import eligibility
from intermediary import approvals
from intermediary.errors import Refusal
from settlement import chains
from settlement import series as on_chain
from settlement.bindings import read, topic
from settlement.chain import LOG_BLOCKS, Chain, default_chain
from settlement.deployment import address_of
from settlement.transactor import Mine

ROUNDS_MAX = 200  # a chain with a block a second and finality two blocks behind needs a dozen
ROUND_S = 0.2


def step(chain: Chain, mine: Mine | None = None) -> int:
    """Enter what waits and record what is final; how many grants are not final yet."""
    waiting = eligibility.to_enter()
    if not waiting:
        return 0
    register = address_of("Eligibility")
    _, final = chain.head_and_final()
    left = []
    for grant in waiting:
        _refuse_other_wallet(grant)
        account, until = grant.wallet.address, int(grant.valid_until.timestamp())
        if read(chain, register, "Eligibility", "validUntil", account, block=final) != until:
            left.append(grant)
            continue
        with transaction.atomic(durable=True):
            eligibility.entered(grant_id=grant.id, transaction_hash=_entered_by(chain, register, account, final))
    if holds_the_key():  # only now: each call may make a block, and nodes forget what a register said at older ones
        for grant in left:
            account, until = grant.wallet.address, int(grant.valid_until.timestamp())
            if read(chain, register, "Eligibility", "validUntil", account) != until:
                on_chain.set_eligible(chain=chain, accounts=[account], until=grant.valid_until, mine=mine)
    return len(left)


def step_if_any() -> int:
    """A step on the first chain that is configured, where any grant waits for one: looked for every few seconds."""
    if not eligibility.to_enter():
        return 0
    with chains.on(""), closing(default_chain()) as chain:
        return step(chain)


def enter_all(chain: Chain, mine: Mine | None) -> None:
    """Enter everything that waits and stay until it is final; `mine` makes blocks where nobody else does."""
    for _ in range(ROUNDS_MAX):
        if not step(chain, mine):
            return
        mine(chain) if mine else time.sleep(ROUND_S)
    raise Refusal("register_not_final", "The register of holders did not become final in time.")


def holds_the_key() -> bool:
    """Whether this process may write the register itself."""
    named = ("SETTLEMENT_STRUCTURER_SIGNER", "SETTLEMENT_STRUCTURER_KEYSTORE")
    return settings.MODE in ("demo", "test") or any(os.environ.get(name) for name in named)


def _refuse_other_wallet(grant: EligibleWallet) -> None:
    approved = approvals.body_of(grant.proposal)["wallet"]
    if approved != grant.wallet.address:
        raise Refusal("wallet_differs", "The wallet is not the one that was approved.", approved=approved)


def _entered_by(chain: Chain, register: str, account: str, final: int) -> str:
    """The last transaction that set the account's date; empty where it lies further back than nodes are asked for."""
    padded = "0x" + account[2:].lower().rjust(64, "0")
    logs = chain.call(
        "eth_getLogs",
        {
            "address": register,
            "topics": [topic("Eligibility", "EligibilitySet"), padded],
            "fromBlock": hex(max(0, final - LOG_BLOCKS + 1)),
            "toBlock": hex(final),
        },
    )
    return str(logs[-1]["transactionHash"]) if logs else ""
