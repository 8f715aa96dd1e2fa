"""From drafts to batches: which movements go together, and the number the vault will see for each.

Instructions are taken in the order they were made, one batch a house at a time. A vault's contract counts movements
strictly, and a failed one does not use its number up, so the number is given here, at packing: last live movement
plus one. Two pollers cannot pack at once (an advisory lock a house), and a row locked elsewhere is left for later.

Behind a batch that a transaction carries one more is packed, if there is enough for a full one: the second key signs it
while the chain takes the first. So there is one batch of a house at most that no transaction carries, and it is the
last, unless the chain gave an earlier one back; what is taken apart takes those behind it along.

What was signed and taken apart stays signed until its number is used up: meanwhile it neither fails nor goes under a
lower number. Where nothing else uses that number up, a batch of no movements does.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Count, Exists, Max, Min, OuterRef, Q, QuerySet, Subquery
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from intermediary import events
from intermediary.ids import uuid7
from intermediary.models import ChainInstruction, ChainTarget
from intermediary.models.bulk import insert_plain
from intermediary.typed_data import digest_of
from settlement import chains, statements
from settlement.messages import KIND_CODE, batch_message, movement_of, ref
from settlement.models import Approval, Batch, BatchMovement, ChainTransaction

Kind, State = ChainInstruction.Kind, ChainInstruction.State
MOVEMENTS = tuple(KIND_CODE)
# 200 movements are 5.6 million gas: a batch fits several times into a block of 30 million even when storage is cold.
BATCH_LIMIT = 200
UNDECIDED = (State.DRAFT, State.BATCHED)
_NOT_FINAL = (Batch.State.PACKED, Batch.State.INCLUDED)


class Draft(NamedTuple):
    """An instruction to pack."""

    id: UUID
    target_id: UUID
    vault: str
    cell_id: UUID
    seq: int
    kind: str
    amount_base_units: int
    required_base_units: int
    entry_id: UUID | None
    body_hash: str | None

    @property
    def ref(self) -> str:
        """What names it on chain."""
        return ref(self.id, self.entry_id, self.body_hash)


def with_room(houses: QuerySet[ChainTarget]) -> QuerySet[ChainTarget]:
    """Those of which every batch is on its way, while there is something to pack."""
    uncarried = Batch.objects.filter(house=OuterRef("pk"), state=Batch.State.PACKED).exclude(
        Exists(carried().filter(batch=OuterRef("pk")))
    )
    drafts = ChainInstruction.objects.filter(is_open=True, state=State.DRAFT, kind__in=MOVEMENTS)
    something = Exists(drafts) | Exists(_signed_and_undone().filter(house=OuterRef("pk")))
    return houses.filter(~Exists(uncarried.exclude(Exists(_in_a_block()))), something)


def pack(house: ChainTarget, chain_id: int) -> Batch | None:
    """Put this house's drafts into its next batch and ask for approval; None when there is nothing to pack yet. A batch
    of nothing is packed where something waits for the number alone."""
    with transaction.atomic():
        _lock(house)
        on_its_way = _on_its_way(house)
        if not all(on_its_way.values()):
            return None
        previous = Batch.objects.filter(house=house).exclude(state=Batch.State.REFUSED).order_by("-number").first()
        number = previous.number + 1 if previous else 1
        taken = _taken(house, _signed_for_later(house, number))
        if len(taken) < BATCH_LIMIT and on_its_way:
            return None  # what comes until that one is in a block goes with these
        picked = _in_order(taken)
        if not picked and not (_is_final(previous) and _waits_for(house, number)):
            return None
        head = bytes.fromhex(previous.head[2:]) if previous else bytes(32)
        return _write(house, chain_id, number, head, picked)


def release_refused() -> int:
    """Take apart this chain's batches that the approver refused: what it named waits for two people, the rest is packed
    again. How many that were."""
    refused = Batch.objects.filter(state=Batch.State.PACKED, approval__refusal__isnull=False)
    here = refused.filter(house__asset__chain__in=chains.asset_chains())
    return sum(take_apart(batch, batch.approval.refusal or {}) for batch in here.select_related("house", "approval"))


def take_apart(batch: Batch, reasons: Mapping[str, str]) -> bool:
    """Undo a batch that no transaction carries: movements with a reason fail with it, the rest is packed again. So are
    the batches packed behind it: its number, and those of its vaults, are free again. False where it has been undone,
    or has gone out, meanwhile: nothing is changed then."""
    with transaction.atomic():
        _lock(batch.house)
        behind = Batch.objects.filter(house=batch.house, state=Batch.State.PACKED, number__gt=batch.number)
        if not stays(batch) or carried().filter(Q(batch=batch) | Q(batch__in=behind)).exists():
            return False
        for undone in (*behind.order_by("-number"), batch):
            _undo(undone, reasons)
    return True


def _undo(batch: Batch, reasons: Mapping[str, str]) -> None:
    for movement in batch.movements.select_related("instruction"):
        reason = reasons.get(str(movement.instruction_id), "")
        movement.outcome = BatchMovement.Outcome.FAILED if reason else BatchMovement.Outcome.AGAIN
        movement.reason = reason[:200]
        movement.save(update_fields=["outcome", "reason"])
        if not reason:
            ChainInstruction.objects.filter(id=movement.instruction_id).update(state=State.DRAFT)
    batch.state = Batch.State.REFUSED
    batch.save(update_fields=["state"])


def still_postable(instruction_id: UUID) -> Batch | None:
    """A batch that was taken apart and whose signature could move this instruction still, posted by whoever has the
    poster's key: no other batch of that number is final. The house takes a number once."""
    signed = Batch.objects.filter(movements__instruction=instruction_id, state=Batch.State.REFUSED)
    taken = Batch.objects.filter(house=OuterRef("house"), number=OuterRef("number"), state=Batch.State.FINAL)
    return signed.exclude(approval__signature="").exclude(Exists(taken)).order_by("-number").first()


def stays(batch: Batch) -> bool:
    """Whether this batch waits for the chain as it is; until the caller's transaction ends nobody takes it apart or
    sends it."""
    return Batch.objects.select_for_update().filter(id=batch.id, state=Batch.State.PACKED).exists()


def next_numbers(vault_ids: Collection[UUID], before: Batch | None = None) -> dict[UUID, int]:
    """The next contract number of each vault, `before` a batch if one is given."""
    live = BatchMovement.objects.filter(vault=OuterRef("pk"), is_live=True)
    if before is not None:
        live = live.exclude(batch=before)
    # By the unique key of live movements, one look a vault: a grouping would read every movement there ever was.
    newest = Subquery(live.order_by("-contract_seq").values("contract_seq")[:1])
    vaults = ChainTarget.objects.filter(id__among=vault_ids).annotate(last=newest)
    return {vault_id: (last or 0) + 1 for vault_id, last in vaults.values_list("id", "last")}


def in_line() -> QuerySet[ChainInstruction]:
    """What later instructions of a target wait for: a call that people must decide on leaves the line meanwhile."""
    return ChainInstruction.objects.filter(is_open=True, state__in=UNDECIDED).exclude(held__given_up=True)


def waiting_for_the_chain() -> QuerySet[Batch]:
    """Signed batches that no transaction carries."""
    alive = carried().filter(batch=OuterRef("pk"))
    return Batch.objects.filter(state=Batch.State.PACKED).exclude(approval__signature="").exclude(Exists(alive))


def next_for_the_chain() -> QuerySet[Batch]:
    """Those of them that their houses would take now: none behind another that is in no block yet."""
    before = Batch.objects.filter(house=OuterRef("house"), number__lt=OuterRef("number"), state=Batch.State.PACKED)
    return waiting_for_the_chain().exclude(Exists(before.exclude(Exists(_in_a_block()))))


def carried() -> QuerySet[ChainTransaction]:
    """Transactions that may yet do, or have done, what they are for."""
    ended = (ChainTransaction.State.DISPLACED, ChainTransaction.State.REVERTED)
    return ChainTransaction.objects.exclude(state__in=ended).exclude(
        state=ChainTransaction.State.INCLUDED, succeeded=False
    )


def head_after(previous_head: bytes, digest: bytes) -> bytes:
    """The house's hash chain: keccak(abi.encode(head, digest))."""
    return keccak(encode(["bytes32", "bytes32"], [previous_head, digest]))


def _on_its_way(house: ChainTarget) -> dict[int, bool]:
    """Numbers of the batches that no block holds yet, and whether a transaction carries each. One that the poster saw
    in a block counts as there, before the watcher has read that block; should the block be dropped, both batches go out
    again in their order."""
    packed = Batch.objects.filter(house=house, state=Batch.State.PACKED).exclude(Exists(_in_a_block()))
    return dict(packed.values_list("number", Exists(carried().filter(batch=OuterRef("pk")))))


def _in_a_block() -> QuerySet[ChainTransaction]:
    return ChainTransaction.objects.filter(batch=OuterRef("pk"), succeeded=True)


def _lock(house: ChainTarget) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [f"settlement.batch.{house.address}"])


def _blocked(house: ChainTarget) -> dict[UUID, int]:
    """Vaults of which nothing is packed after an instruction of this number: a single call of its own, or, from the
    first on, a gap in the numbers that the contract saw."""
    calls = in_line().filter(target__kind=ChainTarget.Kind.VAULT).exclude(kind__in=MOVEMENTS)
    blocked = dict(calls.values_list("target_id").annotate(first=Min("seq")))
    return blocked | dict.fromkeys(_vaults_with_a_gap(house), 0)


def _signed_for_later(house: ChainTarget, number: int) -> list[UUID]:
    """What was signed in a later batch of this house, taken apart since: whoever has that signature could post it after
    this batch and move the tokens again. In a batch of that number, or a later one, it excludes itself."""
    signed = Batch.objects.filter(house=house, number__gt=number).exclude(approval__signature="")
    return list(BatchMovement.objects.filter(batch__in=signed).values_list("instruction_id", flat=True))


def _signed_and_undone() -> QuerySet[Batch]:
    """Batches that were signed and taken apart, whose numbers their houses have not been given since."""
    since = Batch.objects.filter(house=OuterRef("house"), number__gte=OuterRef("number"))
    undone = Batch.objects.filter(state=Batch.State.REFUSED).exclude(approval__signature="")
    return undone.exclude(Exists(since.exclude(state=Batch.State.REFUSED)))


def _is_final(previous: Batch | None) -> bool:
    """Whether the next number is the house's for good: until then what is made meanwhile may take it."""
    return previous is None or previous.state == Batch.State.FINAL


def _waits_for(house: ChainTarget, number: int) -> bool:
    """Whether something can go on only when this number is used up: a draft that was signed for a later one, or a
    movement that two people took out of what was signed, to fail."""
    signed = BatchMovement.objects.filter(
        batch__in=_signed_and_undone().filter(house=house, number__gte=number), instruction__is_open=True
    )
    is_for_later = Q(batch__number__gt=number, instruction__state=State.DRAFT)
    live = BatchMovement.objects.filter(instruction=OuterRef("instruction"), is_live=True)
    is_taken_out = Q(instruction__state=State.BATCHED) & ~Exists(live)
    return signed.filter(is_for_later | is_taken_out).exists()


# In the order of the index, up to the limit: sorting the backlog each time costs more than all else here, but to one
# who does not know how long it is (statistics are a minute old) it looks cheaper. So are the places of a vault and an
# entry each looked up, not joined.
_DRAFTS = """
    SELECT made.id, made.target_id, vault.address, made.cell_id, made.seq, made.kind,
        made.amount_base_units, made.required_base_units, made.entry_id, entry.body_hash
    FROM intermediary_chaininstruction AS made
    CROSS JOIN LATERAL (
        SELECT kind, asset_id, address FROM intermediary_chaintarget WHERE id = made.target_id LIMIT 1) AS vault
    LEFT JOIN LATERAL (
        SELECT body_hash FROM intermediary_journalentry WHERE id = made.entry_id LIMIT 1) AS entry ON TRUE
    WHERE made.is_open AND made.state = 'DRAFT' AND made.kind = ANY(%(movements)s)
        AND vault.kind = 'VAULT' AND vault.asset_id = %(asset)s AND made.id <> ALL(%(signed)s::uuid[])
        AND NOT EXISTS (
            SELECT FROM unnest(%(vaults)s::uuid[], %(after)s::int[]) AS blocked (vault, after)
            WHERE blocked.vault = made.target_id AND made.seq > blocked.after)
    ORDER BY made.recorded_at, made.seq, made.id LIMIT %(limit)s FOR UPDATE OF made SKIP LOCKED"""


def _taken(house: ChainTarget, signed_for_later: Sequence[UUID]) -> list[Draft]:
    """The oldest drafts of movements of this asset that nobody else holds, locked until the caller's transaction
    ends."""
    blocked = _blocked(house)
    asked: dict[str, Any] = {
        "movements": list(MOVEMENTS),
        "asset": house.asset_id,
        "signed": list(signed_for_later),
        "vaults": list(blocked),
        "after": list(blocked.values()),
        "limit": BATCH_LIMIT,
    }
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_sort = off")
        cursor.execute(_DRAFTS, asked)
        rows = cursor.fetchall()
        cursor.execute("SET LOCAL enable_sort = on")
    return [Draft(*row)._replace(amount_base_units=int(row[6]), required_base_units=int(row[7])) for row in rows]


def _vaults_with_a_gap(house: ChainTarget) -> list[UUID]:
    """Vaults of which a movement failed while later ones were on their way. The contract waits for the number that came
    free and refuses what follows it: until all of that has come back, a new movement would only join it."""
    on_way = Batch.objects.filter(house=house, state__in=_NOT_FINAL)
    pending = BatchMovement.objects.filter(batch__in=on_way, outcome=BatchMovement.Outcome.PENDING)
    found = pending.values_list("vault_id").annotate(Min("contract_seq"), Max("contract_seq"), Count("id"))
    on_their_way = {vault_id: (first, last, count) for vault_id, first, last, count in found}
    live = BatchMovement.objects.filter(vault=OuterRef("pk"), is_live=True)
    settled = live.filter(outcome=BatchMovement.Outcome.SETTLED)
    newest = settled.order_by("-contract_seq").values("contract_seq")[:1]
    vaults = ChainTarget.objects.filter(id__among=on_their_way).annotate(newest=Subquery(newest))
    done = {vault_id: number or 0 for vault_id, number in vaults.values_list("id", "newest")}
    return [
        vault_id
        for vault_id, (first, last, count) in on_their_way.items()
        if (first, last) != (done[vault_id] + 1, done[vault_id] + count)
    ]


# By each vault's unfinished instructions, and of those only what comes before a picked one.
_LEFT_OUT = """
    SELECT picked.vault, other.seq FROM unnest(%s::uuid[], %s::int[]) AS picked (vault, last)
    CROSS JOIN LATERAL (
        SELECT seq FROM intermediary_chaininstruction
        WHERE target_id = picked.vault AND seq < picked.last
            AND is_open AND state = 'DRAFT' AND kind = ANY(%s) AND id <> ALL(%s)
        ORDER BY seq LIMIT 1) AS other"""


def _in_order(drafts: Sequence[Draft]) -> list[Draft]:
    """By vault in the order of its own numbers; what follows a draft that was not picked waits for it."""
    last = {draft.target_id: draft.seq for draft in sorted(drafts, key=lambda draft: draft.seq)}
    with connection.cursor() as cursor:
        cursor.execute(_LEFT_OUT, [list(last), list(last.values()), list(MOVEMENTS), [draft.id for draft in drafts]])
        left_out: dict[UUID, int] = dict(cursor.fetchall())
    kept = [draft for draft in drafts if draft.seq < left_out.get(draft.target_id, draft.seq + 1)]
    return sorted(kept, key=lambda draft: draft.seq)


def _write(house: ChainTarget, chain_id: int, number: int, head: bytes, picked: Sequence[Draft]) -> Batch:
    numbers = next_numbers({draft.target_id for draft in picked})
    numbered: list[tuple[Draft, int]] = []
    for draft in picked:
        numbered.append((draft, numbers[draft.target_id]))
        numbers[draft.target_id] += 1
    leaves = statements.statements_of({draft.cell_id: draft.vault for draft in picked})
    statement = "0x" + statements.root([statements.leaf(row) for row in leaves]).hex()
    movements = [movement_of(draft, draft.ref, draft.vault, seq) for draft, seq in numbered]
    message = batch_message(house.address, chain_id, number, statement, movements)
    batch = Batch.objects.create(
        house=house,
        number=number,
        statement=statement,
        leaves=leaves,
        approval=Approval.objects.create(kind=Approval.Kind.BATCH, body=message),
        head="0x" + head_after(head, digest_of(message)).hex(),
    )
    insert_plain(
        BatchMovement,
        [
            {
                "id": uuid7(),
                "batch_id": batch.id,
                "position": position,
                "instruction_id": draft.id,
                "vault_id": draft.target_id,
                "contract_seq": seq,
                "ref": movement["ref"],
                "outcome": BatchMovement.Outcome.PENDING.value,
                "reason": "",
            }
            for position, ((draft, seq), movement) in enumerate(zip(numbered, movements, strict=True))
        ],
    )
    ChainInstruction.objects.filter(id__among=[draft.id for draft in picked]).update(state=State.BATCHED)
    events.notify(events.OUTBOX_CHANNEL)
    return batch
