"""Reading back from the chain what a restored database has lost, and taking the fence down when all agrees.

A batch stands whole in the transaction that posted it: its movements, its statement, the second key's signature. Each
is read back, its digest folded onto the last head we know, and compared with the head the house announced. A movement
whose reference is that of an instruction we still have settles that instruction. Any other was instructed after the
backup: it is booked between the vault and the house account that faces its relationship, for officers to allocate,
since the chain does not say what it was for. Single calls are read back by `settlement.read_back`.

What cannot be read back is the rest of what the database knew: terms, relationships and trades made after the backup.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from eth_utils.address import to_checksum_address

from intermediary import audit, ledger, outbox
from intermediary.default_cases import claim_effect
from intermediary.errors import Refusal
from intermediary.ids import derive
from intermediary.ledger import Line
from intermediary.models import AccountKind, ChainInstruction, ChainTarget, DefaultCase, JournalEntry
from intermediary.typed_data import digest_of
from settlement import chains, closed, fence, finality, packing, read_back, reconcile, shown, watcher
from settlement.bindings import contract, decode_event
from settlement.chain import Chain
from settlement.holders import key_address
from settlement.messages import KIND_CODE, batch_message, ref_of
from settlement.models import (
    Approval,
    Batch,
    BatchMovement,
    ChainLog,
    Fence,
    ReconciliationBreak,
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
OF_THE_PAST = (*watcher.BY_A_MISSING_LOG, ReconciliationBreak.Kind.DUPLICATE)


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


def rebuild(chain: Chain, witnesses: Sequence[Chain] = ()) -> Rebuilt:
    """Read back everything final that is missing, compare with the latest block and the node's pool, and take the
    fence down if nothing differs and every call is explained; else keep with it what did, for two people to decide
    (`settlement.lifting`). Harmless when repeated, or cut off: what is read back is committed batch by batch, call by
    call.

    Refuses `head_differs` where a batch on chain is not the fold of those before it, `unknown_vault` where one moves a
    vault that this database does not know, and `not_a_batch` where a house was called by another way than ours.
    """
    made = Rebuilt()
    watcher.step(chain, witnesses)
    for row in _posted():
        with transaction.atomic():
            read_back.lock()
            made.batches += _read_back(chain, row, made)
        finality.finalize([])
    _, final = chain.head_and_final()
    made.calls = read_back.read_calls(chain, final)
    made.unexplained = read_back.unexplained()
    finality.finalize([])
    closed.settle_transactions()
    reconcile.run(chain, reconcile.latest_final())
    keys = [key_address(role) for role in fence.ROLES]
    ahead = [str(one) for one in fence.ahead(chain, keys=keys)]
    made.differs = [*ahead]
    made.differs += [f"{one.kind} at {one.place}: {one.ledger_value}, {one.chain_value}" for one in _open_breaks()]
    if made.unexplained:  # also where no count is ahead: the keys of acts have none
        fence.put_up(f"unexplained: {made.unexplained[0]}")
    standing = Fence.objects.filter(chain=chains.here(), lifted_at=None)
    if made.differs or made.unexplained:
        found = {"ahead": ahead, "differs": made.differs, "unexplained": made.unexplained}
        standing.update(found=found, looked_at=Now())
        return made
    with transaction.atomic():
        made.is_lifted = bool(standing.update(lifted_at=Now()))
        audit.record(actor="rebuild", action="fence.lifted", subject=chains.here(), batches=made.batches)
    return made


def _open_breaks() -> QuerySet[ReconciliationBreak]:
    """What something that this database does not know of would show as."""
    return reconcile.open_breaks_here().filter(kind__in=OF_THE_PAST).exclude(place=FENCE)


def _posted() -> list[ChainLog]:
    """Where final blocks of all nodes say that a batch was posted, and no row of ours is that batch, oldest first."""
    logs = ChainLog.objects.filter(name="BatchPosted", applied=False, block__canonical=True, block__finalized=True)
    logs = logs.filter(block__chain=chains.here()).exclude(refusal__startswith=ChainLog.DISPUTED)
    return list(logs.order_by("block__number", "log_index").select_related("block"))


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
    drafts = ChainInstruction.objects.filter(is_open=True, state=State.DRAFT, target__in=vaults.values())
    open_ones = drafts.select_related("entry")
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


def _route(kind: str, vault: ChainTarget, amount_base_units: int) -> tuple[AccountKind, AccountKind]:
    """From where to where it went. What a cure took of a stranger's tokens is known again by the cure's log, which is
    booked before any movement is read back; it leaves the house once, whole, and for suspense."""
    taken = ledger.balance(vault.cell_id, AccountKind.SUSPENSE_TAKEN, vault.asset_id)
    if kind == Kind.CREDIT and amount_base_units == taken:
        return AccountKind.SUSPENSE_TAKEN, AccountKind.SUSPENSE
    return ROUTE[Kind(kind)]


def _cured(vault: ChainTarget, amount_base_units: int) -> UUID | None:
    """The default whose client paid just this much by curing it on chain, and to whose vault it has not gone back yet
    by what is known here: the cure would pay it back once more."""
    for case_id in DefaultCase.objects.filter(cell_id=vault.cell_id).order_by("id").values_list("id", flat=True):
        gone_back = JournalEntry.objects.filter(id=claim_effect(case_id, vault.asset_id))
        if shown.cures_of(case_id).get(vault.id) == amount_base_units and not gone_back.exists():
            return case_id
    return None


def _instruct(vault: ChainTarget, move: dict[str, Any], cause: str) -> ChainInstruction:
    """What must have been instructed, by what moved; a movement that failed on chain goes back like any other."""
    kind, amount = KIND_OF_CODE[move["kind"]], move["amount"]
    entry, accounts = None, {}
    if amount:
        source, destination = _route(kind, vault, amount)
        accounts = {"source": source.value, "destination": destination.value}
        to_margin = kind == Kind.CREDIT and destination == AccountKind.CLIENT_MARGIN
        case_id = _cured(vault, amount) if to_margin else None
        accounts |= {"case": str(case_id)} if case_id else {}
        entry = ledger.post(
            entry_id=claim_effect(case_id, vault.asset_id) if case_id else derive("read_back", cause),
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
