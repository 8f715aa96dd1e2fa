"""Two nodes that tell logs as they please, now one and now the other: what both show is booked meanwhile, and when both
are honest again everything is booked once, nothing waits, and nothing that was made up is left."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from settlement import approver, poster
from settlement.chain import Chain, ChainRefused
from settlement.cycle import settle_all
from settlement.models import ChainLog, ReconciliationBreak
from settlement.signer import demo_signer
from tests.settlement.test_crashes import CHAIN_ID, signers
from tests.settlement.test_strays import strange
from tests.settlement.test_witnessed import Log, finalize
from tests.settlement.world import MILLION, Client, assert_reconciled, debit, deposit, funded_client, held

pytestmark = pytest.mark.world(build=funded_client)
ROUNDS = 12
Lie = Callable[[random.Random, list[Log]], list[Log]]


def one_is_left_out(rng: random.Random, logs: list[Log]) -> list[Log]:
    return [one for one in logs if one is not logs[rng.randrange(len(logs))]]


def one_says_more(rng: random.Random, logs: list[Log]) -> list[Log]:
    chosen = rng.randrange(len(logs))
    return [_larger(rng, one) if place == chosen else one for place, one in enumerate(logs)]


def one_is_made_up(rng: random.Random, logs: list[Log]) -> list[Log]:
    like = rng.choice(logs)
    return [*logs, _larger(rng, like) | {"logIndex": hex(int(like["logIndex"], 16) + rng.choice((1, 2, 50)))}]


def none_is_shown(rng: random.Random, logs: list[Log]) -> list[Log]:
    return []


def nothing_is_said(rng: random.Random, logs: list[Log]) -> list[Log]:
    raise ChainRefused("chain_refused", "limit exceeded")


LIES: tuple[Lie, ...] = (one_is_left_out, one_says_more, one_is_made_up, none_is_shown)


def _larger(rng: random.Random, log: Log) -> Log:
    """By an amount that no two lies share: what both nodes say alike counts as true."""
    words = log["data"][2:]
    return log | {"data": f"0x{int(words[:64] or '0', 16) + rng.randrange(1, MILLION):064x}{words[64:]}"}


class Moody(Chain):
    """A node that lies by `lie`, and each time anew."""

    lie: Lie | None = None
    rng: random.Random

    def answers(self, calls: Any) -> list[dict[str, Any]]:
        found = super().answers(calls)
        for (method, _), answer in zip(calls, found, strict=True):
            if method == "eth_getLogs" and self.lie is not None and answer["result"]:
                answer["result"] = self.lie(self.rng, answer["result"])
        return found


def moody(chain: Chain, rng: random.Random) -> Moody:
    made = Moody(chain.url)
    made.rng = rng
    return made


@pytest.mark.parametrize("seed", [1, 2, *(pytest.param(seed, marks=pytest.mark.deep) for seed in range(3, 33))])
def test_when_both_are_honest_again_everything_is_booked_once(chain: Chain, who: Client, seed: int) -> None:
    rng = random.Random(seed)
    nodes = [moody(chain, rng), moody(chain, rng)]
    own, strangers = 5 * MILLION, 0
    for _ in range(ROUNDS):
        nodes[1].lie = rng.choice((None, None, nothing_is_said, *LIES))
        # Silence of a witness holds up nothing new: what the first one says then is booked.
        nodes[0].lie = None if nodes[1].lie is nothing_is_said else rng.choice((None, None, *LIES))
        what = rng.choice(("deposit", "deposit", "debit", "stranger", "nothing"))
        if what == "deposit":
            deposit(chain, who, MILLION)
            own += MILLION
        elif what == "debit" and held(who) >= MILLION:
            debit(who, MILLION)
            own -= MILLION
        elif what == "stranger":
            strange(chain, who.targets["RETENTION"].address, 7)
            strangers += 7
        poster.step(chain, signers())
        approver.step(demo_signer("approver"), CHAIN_ID)
        poster.step(chain, signers())
        finalize(*nodes)
        assert held(who) <= own, f"seed {seed}"
    for node in nodes:
        node.lie = None
    for _ in range(2):
        finalize(*nodes)
    settle_all()
    finalize(*nodes)
    assert held(who) == own, f"seed {seed}"
    assert sum(stray.amount_base_units for stray in who.targets["RETENTION"].strays.all()) == strangers
    assert not ChainLog.objects.filter(refusal__startswith=ChainLog.DISPUTED).exists()
    assert not ReconciliationBreak.objects.filter(resolved_block=None).exists(), f"seed {seed}"
    assert_reconciled()
