"""The fence around a database that knows less than the chain: restored from an older backup, or one of two in use.

What it does not know of it would do again: a retention funded twice, a payment made twice. So before the poster sends
anything it asks whether the chain is ahead of the rows: of a house's batches, of a vault's movements, of a key's
nonces. If it is, a fence is put up, which stays whatever restarts, and nothing is packed or sent behind it but beats,
without which every vault would be free after a week. It comes down when `settlement.rebuild` has read back what is
missing and everything agrees; the poster then asks again. What arrives is booked meanwhile.

What no node knows of yet cannot be asked for. When such a transaction is mined later under a nonce that we have given
out, the sender sees it (`settlement.sender`): the call we make ourselves is taken as ours, any other puts up the fence.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Max

from intermediary.models import ChainTarget
from settlement import chains
from settlement.chain import Chain, block_name
from settlement.models import Batch, BatchMovement, ChainSender, ChainTransaction, Fence
from settlement.views import read_words, view

Outcome = BatchMovement.Outcome
# Keys that sign for nothing but this platform, so that a nonce without a row was used by another database. The others
# also sign deployments, whose nonces have no rows; a step of theirs that does not show on its contract is looked for
# on chain before it is sent (`settlement.acts.recalled`).
ROLES = ("poster", "operator")


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


def check(chain: Chain, keys: Collection[str] = ()) -> bool:
    """Put the fence up if the chain is ahead; whether it is up. For a process that is about to send with these keys:
    it asks at boot, and again when a fence has come down (`Sentry`)."""
    found = ahead(chain, keys=keys)
    if found:
        put_up("; ".join(str(one) for one in found))
    return is_up()


def put_up(reason: str) -> None:
    """Stop everything on this chain; nothing changes where a fence stands already."""
    with transaction.atomic():
        Fence.objects.bulk_create([Fence(reason=reason[:500])], ignore_conflicts=True)  # two posters find the same


class Sentry:
    """Asks at boot, and again whenever a fence has come down: what was on its way may have been mined since."""

    def __init__(self, keys: Collection[str]) -> None:
        self._keys = keys
        self._lifted: int | None = None

    def step(self, chain: Chain) -> None:
        lifted = Fence.objects.filter(chain=chains.here(), lifted_at__isnull=False).count()
        if lifted != self._lifted:
            check(chain, self._keys)
            self._lifted = lifted


def ahead(chain: Chain, block: int | str = "latest", *, keys: Collection[str] = ()) -> list[Ahead]:
    """Everything that the chain counts further than we do, at this block; at the latest, of nonces also those that the
    node has heard of and no block has used yet. A key of `keys` counts although no row says that it ever sent."""
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
        *_nonces(chain, block, keys),
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
    live = BatchMovement.objects.filter(is_live=True)
    ours = dict(live.values_list("vault_id").annotate(last=Max("contract_seq")))
    return [
        Ahead(f"movements of vault {vault.address}", ours.get(vault.id, 0), count)
        for vault, count in zip(vaults, counts, strict=True)
    ]


def _nonces(chain: Chain, block: int | str, keys: Collection[str]) -> list[Ahead]:
    of_instructions = ChainSender.objects.filter(chain=chains.here(), role__in=ROLES, transactions__isnull=False)
    senders = sorted({*of_instructions.values_list("address", flat=True).distinct(), *keys})
    where = "pending" if block == "latest" else block_name(block)
    used = chain.batch([("eth_getTransactionCount", [address, where]) for address in senders])
    # After the chain: whoever sends stores first, so what the poster does meanwhile is not taken for another's.
    last = dict(ChainTransaction.objects.values_list("sender_id").annotate(last=Max("nonce")))
    return [
        Ahead(f"nonces of {address}", last.get(address, -1) + 1, int(count, 16))
        for address, count in zip(senders, used, strict=True)
    ]
