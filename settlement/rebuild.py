"""Reading back from the chain what a restored database has lost, and taking the fence down when all agrees.

A batch stands whole in the transaction that posted it: its movements, its statement, the second key's signature. Each
is read back, its digest folded onto the last head we know, and compared with the head the house announced. A movement
whose reference is that of an instruction we still have settles that instruction. Any other was instructed after the
backup: it is booked between the vault and the house account that faces its relationship, for officers to allocate,
since the chain does not say what it was for. Single calls are found by their nonces and matched by what they cite.

What cannot be read back is the rest of what the database knew: terms, relationships and trades made after the backup.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection, transaction
from django.db.models import Max
from django.db.models.functions import Now
from eth_utils.address import to_checksum_address

from intermediary import audit, ledger, outbox
from intermediary.errors import Refusal
from intermediary.ids import derive
from intermediary.ledger import Line
from intermediary.models import AccountKind, ChainInstruction, ChainTarget
from intermediary.typed_data import digest_of
from settlement import chains, fence, finality, packing, reconcile, watcher
from settlement.bindings import contract, decode_event
from settlement.chain import Chain
from settlement.messages import KIND_CODE, batch_message, ref_of
from settlement.models import (
    Approval,
    Batch,
    BatchMovement,
    ChainLog,
    ChainSender,
    ChainTransaction,
    Fence,
    ReconciliationBreak,
    TransactionAttempt,
)
from settlement.questions import FENCE

Kind, State = ChainInstruction.Kind, ChainInstruction.State
KIND_OF_CODE = {code: kind for kind, code in KIND_CODE.items()}
# Where what is not known any more is booked: the vault's side is certain, the house's is for officers to allocate.
ROUTE = {
    Kind.DEBIT: (AccountKind.CLIENT_MARGIN, AccountKind.HOUSE),
    Kind.CREDIT: (AccountKind.HOUSE, AccountKind.CLIENT_MARGIN),
    Kind.RETURN: (AccountKind.CLIENT_MARGIN, AccountKind.OUTSIDE),
}
BLOCKS_AT_ONCE = 10  # whole blocks of a busy chain are some 300 kB each
_LOCK = "settlement.rebuild"


@dataclass
class Rebuilt:
    """What was read back, and what keeps the fence up."""

    batches: int = 0
    settled: int = 0
    booked_anew: int = 0
    calls: int = 0
    unexplained: list[str] = field(default_factory=list)
    differs: list[str] = field(default_factory=list)
    is_lifted: bool = False


def rebuild(chain: Chain) -> Rebuilt:
    """Read back everything final that is missing, compare, and take the fence down if nothing differs. Harmless when
    repeated, or cut off: what is read back is committed batch by batch.

    Refuses `head_differs` where a batch on chain is not the fold of those before it, `unknown_vault` where one moves a
    vault that this database does not know, and `not_a_batch` where a house was called by another way than ours.
    """
    made = Rebuilt()
    watcher.step(chain)
    for row in _posted():
        with transaction.atomic():
            _lock()
            made.batches += _read_back(chain, row, made)
        finality.finalize([])
    _, final = chain.head_and_final()
    for sender in ChainSender.objects.filter(chain=chains.here()):
        _read_calls(chain, sender, final, made)
    finality.finalize([])
    finality.settle_transactions()
    reconcile.run(chain, reconcile.latest_final())
    made.differs = [str(one) for one in fence.ahead(chain, final)]
    made.differs += [f"{one.kind} at {one.place}: {one.ledger_value}, {one.chain_value}" for one in _open_breaks()]
    if not made.differs and not made.unexplained:
        with transaction.atomic():
            made.is_lifted = bool(Fence.objects.filter(chain=chains.here(), lifted_at=None).update(lifted_at=Now()))
            audit.record(actor="rebuild", action="fence.lifted", subject=chains.here(), batches=made.batches)
    return made


def _lock() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [_LOCK])


def _open_breaks() -> Iterator[ReconciliationBreak]:
    person = (ReconciliationBreak.Kind.UNKNOWN_SENDER, ReconciliationBreak.Kind.APPROVAL)
    yield from ReconciliationBreak.objects.filter(resolved_block=None).exclude(kind__in=person).exclude(place=FENCE)


def _posted() -> list[ChainLog]:
    """Where final blocks say that a batch was posted, and no row of ours is that batch, oldest first."""
    logs = ChainLog.objects.filter(name="BatchPosted", applied=False, block__canonical=True, block__finalized=True)
    return list(logs.filter(block__chain=chains.here()).order_by("block__number", "log_index").select_related("block"))


def _read_back(chain: Chain, row: ChainLog, made: Rebuilt) -> int:
    house = ChainTarget.objects.get(address=row.address, kind=ChainTarget.Kind.HOUSE)
    event = decode_event(row.topics, row.data)
    assert event is not None, "it has the name of a batch"
    number, head = event.arguments["id"], "0x" + event.arguments["head"].hex()
    ours = Batch.objects.filter(house=house, number=number).exclude(state=Batch.State.REFUSED).first()
    if ours is not None and ours.head == head:
        return 0  # packed before the backup, and posted after it
    if ours is not None:
        packing.take_apart(ours, {})
    sent = chain.call("eth_getTransactionByHash", row.transaction_hash)
    posted = _arguments(sent, house)
    message = batch_message(house.address, chain.id(), number, posted["statement"], posted["movements"])
    before = Batch.objects.filter(house=house, number=number - 1).exclude(state=Batch.State.REFUSED).first()
    previous = bytes.fromhex(before.head[2:]) if before else bytes(32)
    if "0x" + packing.head_after(previous, digest_of(message)).hex() != head:
        raise Refusal("head_differs", f"Batch {number} of {house.address} does not follow from those before it.")
    approval = Approval.objects.create(kind=Approval.Kind.BATCH, body=message)
    Approval.objects.filter(id=approval.id).update(
        signer=posted["approver"], signature=posted["signature"], signed_at=Now()
    )
    batch = Batch.objects.create(
        house=house,
        number=number,
        statement=posted["statement"],
        leaves=[],
        approval=approval,
        head=head,
        state=Batch.State.INCLUDED,
    )
    _movements(batch, posted["movements"], row, made)
    return 1


def _arguments(sent: dict[str, Any], house: ChainTarget) -> dict[str, Any]:
    """What `postBatch` was called with."""
    bound = contract("House")
    data = bytes.fromhex(sent["input"][2:])
    if to_checksum_address(sent["to"] or "0x" + "00" * 20) != house.address or data[:4] != bound.selector("postBatch"):
        raise Refusal("not_a_batch", f"{sent['hash']} is no call of ours.", hash=sent["hash"])
    _, statement, movements, approver, signature = bound.decode_arguments("postBatch", data[4:])
    return {
        "statement": "0x" + statement.hex(),
        "approver": approver,
        "signature": "0x" + signature.hex(),
        "movements": [move | {"ref": "0x" + move["ref"].hex()} for move in movements],
    }


def _movements(batch: Batch, said: Sequence[dict[str, Any]], row: ChainLog, made: Rebuilt) -> None:
    vaults = {target.address: target for target in ChainTarget.objects.filter(kind=ChainTarget.Kind.VAULT)}
    unknown = [move["vault"] for move in said if move["vault"] not in vaults]
    if unknown:
        raise Refusal("unknown_vault", f"Batch {batch.number} moves vaults that are not known here.", vaults=unknown)
    ledger.lock_cells({vaults[move["vault"]].cell_id for move in said})
    open_ones = ChainInstruction.objects.filter(target__in=vaults.values(), state=State.DRAFT).select_related("entry")
    by_ref = {ref_of(one): one for one in open_ones.filter(kind__in=packing.MOVEMENTS)}
    # What failed on chain and was sent again there cites what it cited before.
    again = BatchMovement.objects.filter(instruction__in=open_ones, outcome=BatchMovement.Outcome.AGAIN)
    by_ref |= {one.ref: one.instruction for one in again.select_related("instruction")}
    for position, move in enumerate(said):
        instruction = by_ref.get(move["ref"])
        if instruction is None:
            instruction = _instruct(vaults[move["vault"]], move, f"{row.transaction_hash} {position}")
            made.booked_anew += 1
        else:
            made.settled += 1
        ChainInstruction.objects.filter(id=instruction.id).update(state=State.BATCHED)
        BatchMovement.objects.create(
            batch=batch,
            position=position,
            instruction=instruction,
            vault=vaults[move["vault"]],
            contract_seq=move["seq"],
            ref=move["ref"],
        )


def _instruct(vault: ChainTarget, move: dict[str, Any], cause: str) -> ChainInstruction:
    """What must have been instructed, by what moved; a movement that failed on chain goes back like any other."""
    kind, amount = KIND_OF_CODE[move["kind"]], move["amount"]
    entry, accounts = None, {}
    if amount:
        source, destination = ROUTE[kind]
        accounts = {"source": source.value, "destination": destination.value}
        entry = ledger.post(
            entry_id=derive("read_back", cause),
            cell_id=vault.cell_id,
            kind=f"{kind.lower()}_read_back",
            memo=f"read back from the chain: {cause}"[:200],
            lines=[
                Line(source, vault.asset_id, -amount),
                Line(AccountKind.IN_TRANSIT, vault.asset_id, amount),
            ],
        )
    return outbox.instruct(
        target=vault,
        cell_id=vault.cell_id,
        kind=kind,
        amount_base_units=amount,
        required_base_units=move["required"],
        entry=entry,
        **accounts,
    )


def _read_calls(chain: Chain, sender: ChainSender, final: int, made: Rebuilt) -> None:
    """The final transactions of a key after the last one that is known."""
    known = sender.transactions.aggregate(nonce=Max("nonce"), block=Max("block_number"))
    used = int(chain.call("eth_getTransactionCount", sender.address, hex(final)), 16)
    last = -1 if known["nonce"] is None else known["nonce"]
    if used <= last + 1:
        return
    is_first = known["nonce"] is None
    for start in range(known["block"] or watcher.first_block(), final + 1, BLOCKS_AT_ONCE):
        wanted = range(start, min(start + BLOCKS_AT_ONCE, final + 1))
        for block in chain.batch([("eth_getBlockByNumber", [hex(number), True]) for number in wanted]):
            for sent in block["transactions"] if block else ():
                if to_checksum_address(sent["from"]) == sender.address and int(sent["nonce"], 16) > last:
                    is_first = not _keep_call(chain, sender, sent, made, is_first=is_first) and is_first


def _keep_call(chain: Chain, sender: ChainSender, sent: dict[str, Any], made: Rebuilt, *, is_first: bool) -> bool:
    """Whether the call was kept. Before the first one of ours (`is_first`) a key has set up contracts, which no
    instruction explains, nor has to."""
    (receipt,) = chain.receipts([sent["hash"]])
    if receipt is None:
        raise Refusal("no_receipt", f"The node has no receipt of final transaction {sent['hash']}.")
    posted = ChainLog.objects.filter(transaction_hash=sent["hash"], name="BatchPosted").first()
    is_batch = sent["input"][2:10] == contract("House").selector("postBatch").hex()
    is_beat = sent["input"][2:10] == contract("House").selector("beat").hex()
    instruction = None if is_batch or is_beat else _cited(sent["input"])
    succeeded = int(receipt["status"], 16) == 1
    if is_first and instruction is None and not is_batch and not is_beat:
        return False
    with transaction.atomic():
        _lock()
        kept = ChainTransaction.objects.create(
            sender=sender,
            nonce=int(sent["nonce"], 16),
            batch=_batch_of(posted),
            instruction=instruction,
            to=to_checksum_address(sent["to"]),
            data=sent["input"],
            gas_limit=int(sent["gas"], 16),
            state=ChainTransaction.State.INCLUDED,
            block_number=int(receipt["blockNumber"], 16),
            block_hash=receipt["blockHash"],
            transaction_hash=sent["hash"],
            succeeded=succeeded,
        )
        TransactionAttempt.objects.create(
            transaction=kept,
            hash=sent["hash"],
            raw="",
            max_fee_wei=int(sent.get("maxFeePerGas") or sent["gasPrice"], 16),
            priority_fee_wei=int(sent.get("maxPriorityFeePerGas") or "0x0", 16),
            sent_block=int(receipt["blockNumber"], 16),
        )
        if instruction is not None:
            ChainInstruction.objects.filter(id=instruction.id, state=State.DRAFT).update(state=State.BATCHED)
    made.calls += 1
    if succeeded and instruction is None and not is_batch and not is_beat:
        made.unexplained.append(f"transaction {sent['hash']} of {sender}")
    return True


def _batch_of(posted: ChainLog | None) -> Batch | None:
    event = decode_event(posted.topics, posted.data) if posted is not None else None
    if posted is None or event is None:
        return None
    of_house = Batch.objects.filter(house__address=posted.address, number=event.arguments["id"])
    return of_house.exclude(state=Batch.State.REFUSED).first()


def _cited(calldata: str) -> ChainInstruction | None:
    """The waiting instruction whose reference or evidence the call cites; every one has its own."""
    for one in ChainInstruction.objects.filter(state=State.DRAFT).exclude(kind__in=packing.MOVEMENTS):
        cited = str(one.arguments.get("evidence") or ref_of(one)).removeprefix("0x")
        if cited in calldata:
            return one
    return None
