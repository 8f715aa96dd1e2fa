"""From drafts to batches: which movements go together, and the number the vault will see for each.

Instructions are taken in the order they were made, one batch a house at a time. A vault's contract counts movements
strictly, and a failed one does not use its number up, so the number is given here, at packing: last live movement
plus one. Two pollers cannot pack at once (an advisory lock a house), and a row locked elsewhere is left for later.
"""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Count, Exists, Max, Min, OuterRef, Q, QuerySet, Subquery
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from intermediary import events
from intermediary.models import ChainInstruction, ChainTarget
from intermediary.models.bulk import TIMES, insert_all
from intermediary.typed_data import digest_of
from settlement import chains, statements
from settlement.messages import KIND_CODE, batch_message, movement_of
from settlement.models import Approval, Batch, BatchMovement, ChainTransaction

Kind, State = ChainInstruction.Kind, ChainInstruction.State
MOVEMENTS = tuple(KIND_CODE)
# 200 movements are 5.6 million gas: a batch fits several times into a block of 30 million even when storage is cold.
BATCH_LIMIT = 200
UNDECIDED = (State.DRAFT, State.BATCHED)
_NOT_FINAL = (Batch.State.PACKED, Batch.State.INCLUDED)


def pack(house: ChainTarget, chain_id: int) -> Batch | None:
    """Put this house's drafts into its next batch and ask for approval; None when there is nothing to pack yet."""
    with transaction.atomic():
        _lock(house)
        if _on_its_way(house).exists():
            return None
        picked = _in_order(list(_drafts(house)[:BATCH_LIMIT]))
        return _write(house, chain_id, picked) if picked else None


def release_refused() -> int:
    """Take apart this chain's batches that the approver refused: what it named waits for two people, the rest is packed
    again. How many that were."""
    refused = Batch.objects.filter(state=Batch.State.PACKED, approval__refusal__isnull=False)
    here = refused.filter(house__asset__chain__in=chains.asset_chains())
    return sum(take_apart(batch, batch.approval.refusal or {}) for batch in here.select_related("house", "approval"))


def take_apart(batch: Batch, reasons: Mapping[str, str]) -> bool:
    """Undo a batch that no transaction carries: movements with a reason fail with it, the rest is packed again. False
    where it has been undone, or has gone out, meanwhile: nothing is changed then."""
    with transaction.atomic():
        _lock(batch.house)
        if not stays(batch) or carried().filter(batch=batch).exists():
            return False
        for movement in batch.movements.select_related("instruction"):
            reason = reasons.get(str(movement.instruction_id), "")
            movement.outcome = BatchMovement.Outcome.FAILED if reason else BatchMovement.Outcome.AGAIN
            movement.reason = reason[:200]
            movement.save(update_fields=["outcome", "reason"])
            if not reason:
                ChainInstruction.objects.filter(id=movement.instruction_id).update(state=State.DRAFT)
        batch.state = Batch.State.REFUSED
        batch.save(update_fields=["state"])
    return True


def stays(batch: Batch) -> bool:
    """Whether this batch waits for the chain as it is; until the caller's transaction ends nobody takes it apart or
    sends it."""
    return Batch.objects.select_for_update().filter(id=batch.id, state=Batch.State.PACKED).exists()


def next_numbers(vault_ids: Collection[UUID], before: Batch | None = None) -> dict[UUID, int]:
    """The next contract number of each vault, `before` a batch if one is given."""
    live = BatchMovement.objects.filter(
        vault_id__among=vault_ids, outcome__in=[BatchMovement.Outcome.PENDING, BatchMovement.Outcome.SETTLED]
    )
    if before is not None:
        live = live.exclude(batch=before)
    last = dict(live.values_list("vault_id").annotate(last=Max("contract_seq")))
    return {vault_id: last.get(vault_id, 0) + 1 for vault_id in vault_ids}


def in_line() -> QuerySet[ChainInstruction]:
    """What later instructions of a target wait for: a call that people must decide on leaves the line meanwhile."""
    return ChainInstruction.objects.filter(state__in=UNDECIDED).exclude(held__given_up=True)


def waiting_for_the_chain() -> QuerySet[Batch]:
    """Signed batches that no transaction carries."""
    alive = carried().filter(batch=OuterRef("pk"))
    return Batch.objects.filter(state=Batch.State.PACKED).exclude(approval__signature="").exclude(Exists(alive))


def carried() -> QuerySet[ChainTransaction]:
    """Transactions that may yet do, or have done, what they are for."""
    ended = (ChainTransaction.State.DISPLACED, ChainTransaction.State.REVERTED)
    return ChainTransaction.objects.exclude(state__in=ended).exclude(
        state=ChainTransaction.State.INCLUDED, succeeded=False
    )


def head_after(previous_head: bytes, digest: bytes) -> bytes:
    """The house's hash chain: keccak(abi.encode(head, digest))."""
    return keccak(encode(["bytes32", "bytes32"], [previous_head, digest]))


def _on_its_way(house: ChainTarget) -> QuerySet[Batch]:
    """Batches that no block holds yet. One that the poster saw in a block counts as there, before the watcher has read
    that block; should the block be dropped, both batches go out again in their order."""
    taken = ChainTransaction.objects.filter(batch=OuterRef("pk"), succeeded=True)
    return Batch.objects.filter(house=house, state=Batch.State.PACKED).exclude(Exists(taken))


def _lock(house: ChainTarget) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [f"settlement.batch.{house.address}"])


def _drafts(house: ChainTarget) -> QuerySet[ChainInstruction]:
    """Movements of this asset, oldest first; none that comes after a single call of its own vault, and none of a vault
    that has a gap in its numbers."""
    calls = in_line().filter(target__kind=ChainTarget.Kind.VAULT).exclude(kind__in=MOVEMENTS)
    behind = Q(pk__in=[])
    for target_id, first in calls.values_list("target_id").annotate(first=Min("seq")):
        behind |= Q(target_id=target_id, seq__gt=first)
    behind |= Q(target_id__in=_vaults_with_a_gap(house))
    return (
        ChainInstruction.objects.filter(
            state=State.DRAFT,
            kind__in=MOVEMENTS,
            target__kind=ChainTarget.Kind.VAULT,
            target__asset_id=house.asset_id,
        )
        .exclude(behind)
        .select_related("target", "entry")
        .defer(*TIMES, *(f"{of}__{name}" for of in ("target", "entry") for name in TIMES), "target__creation")
        .order_by("recorded_at", "seq", "id")
        .select_for_update(skip_locked=True, of=("self",))
    )


def _vaults_with_a_gap(house: ChainTarget) -> list[UUID]:
    """Vaults of which a movement failed while later ones were on their way. The contract waits for the number that came
    free and refuses what follows it: until all of that has come back, a new movement would only join it."""
    on_way = Batch.objects.filter(house=house, state__in=_NOT_FINAL)
    pending = BatchMovement.objects.filter(batch__in=on_way, outcome=BatchMovement.Outcome.PENDING)
    found = pending.values_list("vault_id").annotate(Min("contract_seq"), Max("contract_seq"), Count("id"))
    on_their_way = {vault_id: (first, last, count) for vault_id, first, last, count in found}
    settled = BatchMovement.objects.filter(vault=OuterRef("pk"), outcome=BatchMovement.Outcome.SETTLED)
    newest = settled.order_by("-contract_seq").values("contract_seq")[:1]
    vaults = ChainTarget.objects.filter(id__among=on_their_way).annotate(newest=Subquery(newest))
    done = {vault_id: number or 0 for vault_id, number in vaults.values_list("id", "newest")}
    return [
        vault_id
        for vault_id, (first, last, count) in on_their_way.items()
        if (first, last) != (done[vault_id] + 1, done[vault_id] + count)
    ]


def _in_order(drafts: Sequence[ChainInstruction]) -> list[ChainInstruction]:
    """By vault in the order of its own numbers; what follows a draft that was not picked waits for it."""
    picked = {draft.id for draft in drafts}
    waiting = ChainInstruction.objects.filter(
        target_id__among={draft.target_id for draft in drafts}, state=State.DRAFT, kind__in=MOVEMENTS
    ).exclude(id__among=picked)
    first_left_out: dict[UUID, int] = {}
    for target_id, seq in waiting.values_list("target_id", "seq"):
        first_left_out[target_id] = min(seq, first_left_out.get(target_id, seq))
    kept = [draft for draft in drafts if draft.seq < first_left_out.get(draft.target_id, draft.seq + 1)]
    return sorted(kept, key=lambda draft: draft.seq)


def _write(house: ChainTarget, chain_id: int, picked: Sequence[ChainInstruction]) -> Batch:
    numbers = next_numbers({draft.target_id for draft in picked})
    numbered: list[tuple[ChainInstruction, int]] = []
    for draft in picked:
        numbered.append((draft, numbers[draft.target_id]))
        numbers[draft.target_id] += 1
    leaves = statements.statements_of({draft.cell_id: draft.target.address for draft in picked})
    statement = "0x" + statements.root([statements.leaf(row) for row in leaves]).hex()
    previous = Batch.objects.filter(house=house).exclude(state=Batch.State.REFUSED).order_by("-number").first()
    number = previous.number + 1 if previous else 1
    movements = [movement_of(draft, draft.target.address, seq) for draft, seq in numbered]
    message = batch_message(house.address, chain_id, number, statement, movements)
    previous_head = bytes.fromhex(previous.head[2:]) if previous else bytes(32)
    batch = Batch.objects.create(
        house=house,
        number=number,
        statement=statement,
        leaves=leaves,
        approval=Approval.objects.create(kind=Approval.Kind.BATCH, body=message),
        head="0x" + head_after(previous_head, digest_of(message)).hex(),
    )
    insert_all(
        [
            BatchMovement(
                batch=batch,
                position=position,
                instruction=draft,
                vault_id=draft.target_id,
                contract_seq=seq,
                ref=movement["ref"],
            )
            for position, ((draft, seq), movement) in enumerate(zip(numbered, movements, strict=True))
        ]
    )
    ChainInstruction.objects.filter(id__among=[draft.id for draft in picked]).update(state=State.BATCHED)
    events.notify(events.OUTBOX_CHANNEL)
    return batch
