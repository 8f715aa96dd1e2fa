"""The fence around a database that knows less than the chain: restored from an older backup, or one of two in use.

What it does not know of it would do again: a retention funded twice, a payment made twice. So before the poster sends
anything it asks whether the chain is ahead of the rows: of a house's batches, of a vault's movements, of a key's
nonces. If it is, a fence is put up, which stays whatever restarts, and nothing is packed or sent behind it. It comes
down when `settlement.rebuild` has read back what is missing and everything agrees. What arrives is booked meanwhile.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Max

from intermediary.models import ChainTarget
from settlement import chains
from settlement.chain import Chain
from settlement.models import Batch, BatchMovement, ChainSender, ChainTransaction, Fence
from settlement.views import read_words, view

Outcome = BatchMovement.Outcome


@dataclass(frozen=True)
class Ahead:
    """One count that the chain has gone on with."""

    what: str
    ours: int
    chain: int

    def __str__(self) -> str:
        return f"{self.what}: {self.ours} here, {self.chain} on chain"


def is_up() -> bool:
    """Whether nothing may be sent on this chain."""
    return Fence.objects.filter(chain=chains.here(), lifted_at=None).exists()


def check(chain: Chain) -> bool:
    """Put the fence up if the chain is ahead; whether it is up. For a process that is about to send, once at boot."""
    found = ahead(chain)
    if found and not is_up():
        reason = "; ".join(str(one) for one in found)[:500]
        with transaction.atomic():
            Fence.objects.bulk_create([Fence(reason=reason)], ignore_conflicts=True)  # two posters find the same
    return is_up()


def ahead(chain: Chain, block: int | str = "latest") -> list[Ahead]:
    """Everything that the chain counts further than we do."""
    chain.id()
    on_this_chain = ChainTarget.objects.filter(asset__chain__in=chains.asset_chains()).order_by("address")
    houses = list(on_this_chain.filter(kind=ChainTarget.Kind.HOUSE))
    vaults = list(on_this_chain.filter(kind=ChainTarget.Kind.VAULT))
    asked = [view(house.address, "House", "batchId") for house in houses]
    words = read_words(chain, asked + [view(vault.address, "MarginVault", "seq") for vault in vaults], block)
    counts = [word or 0 for word in words]
    found = [
        *_batches(houses, counts),
        *_movements(vaults, counts[len(houses) :]),
        *_nonces(chain, block),
    ]
    return [one for one in found if one.chain > one.ours]


def _batches(houses: Sequence[ChainTarget], counts: Sequence[int]) -> list[Ahead]:
    live = Batch.objects.exclude(state=Batch.State.REFUSED)
    ours = dict(live.values_list("house_id").annotate(last=Max("number")))
    return [
        Ahead(f"batches of house {house.address}", ours.get(house.id, 0), count)
        for house, count in zip(houses, counts, strict=False)
    ]


def _movements(vaults: Sequence[ChainTarget], counts: Sequence[int]) -> list[Ahead]:
    live = BatchMovement.objects.filter(outcome__in=[Outcome.PENDING, Outcome.SETTLED])
    ours = dict(live.values_list("vault_id").annotate(last=Max("contract_seq")))
    return [
        Ahead(f"movements of vault {vault.address}", ours.get(vault.id, 0), count)
        for vault, count in zip(vaults, counts, strict=True)
    ]


def _nonces(chain: Chain, block: int | str) -> list[Ahead]:
    """Of keys that have sent something from here: what a key did before, setting up, is nobody's loss."""
    last = dict(ChainTransaction.objects.values_list("sender_id").annotate(last=Max("nonce")))
    senders = [sender.address for sender in ChainSender.objects.filter(chain=chains.here()) if sender.address in last]
    where = hex(block) if isinstance(block, int) else block
    used = chain.batch([("eth_getTransactionCount", [address, where]) for address in senders])
    return [
        Ahead(f"nonces of {address}", last[address] + 1, int(count, 16))
        for address, count in zip(senders, used, strict=True)
    ]
