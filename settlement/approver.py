"""The second key: signs only what the ledger shows.

It runs in a process of its own, with its own key and a database role that can read the ledger and write an answer,
nothing else. It does not trust the request: every movement is derived again from the instruction, its journal entry
and its postings, the vault's numbers are counted again, and the digest is computed from that. What differs is
refused by name, and nothing of that batch goes out.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.db.models.functions import Now

from intermediary import audit, events
from intermediary.errors import Refusal
from intermediary.models import AccountKind, ChainInstruction, ChainTarget, DefaultCase, Posting, Proposal
from intermediary.models.journal import HOUSE_KINDS, VAULT_KINDS
from settlement import chains, numbers, sender_alarms, signed, statements
from settlement.acts import caps, plans
from settlement.messages import batch_message, claim_message, movement_of, ref
from settlement.models import Approval, Batch
from settlement.packing import next_numbers
from settlement.signer import Signer

Kind = ChainInstruction.Kind
Reasons = dict[str, str]
Derived = tuple[dict[str, object], Reasons, Sequence[UUID]]  # what to sign, why not, and the instructions it moves
PostingLine = tuple[str, str, UUID, int]
Sides = tuple[AccountKind, ...]
OF_HOUSE = tuple(kind for kind in HOUSE_KINDS if kind != AccountKind.SUSPENSE_TAKEN)
# From where to where each movement may take tokens. What is a stranger's goes back to where it was taken, and nowhere
# else.
ROUTES: dict[str, tuple[tuple[Sides, Sides], ...]] = {
    Kind.DEBIT: ((VAULT_KINDS, OF_HOUSE),),
    Kind.CREDIT: (
        (OF_HOUSE, (AccountKind.CLIENT_MARGIN,)),
        ((AccountKind.SUSPENSE_TAKEN,), (AccountKind.SUSPENSE,)),
    ),
    Kind.RETURN: ((VAULT_KINDS, (AccountKind.OUTSIDE,)),),
}


# Asked several times a batch, mostly to be told that nothing waits: of all chains, which two indexes answer at once.
# Who took a batch apart, or ended a notice with the cure of its default, asks no more: an answer would come too late,
# and a refusal would alarm people.
_ANYTHING = """
    SELECT EXISTS (SELECT FROM settlement_approval AS approval
                   LEFT JOIN settlement_batch AS batch ON batch.approval_id = approval.id
                   LEFT JOIN intermediary_chaininstruction AS claim ON claim.id = approval.instruction_id
                   WHERE approval.signature = '' AND approval.refusal IS NULL
                       AND batch.state IS DISTINCT FROM 'REFUSED' AND claim.state IS DISTINCT FROM 'FAILED'),
        EXISTS (SELECT FROM settlement_senderalarm WHERE role = 'approver' AND cleared_at IS NULL)
"""
_WAITING = """
    SELECT approval.id FROM settlement_approval AS approval
        LEFT JOIN settlement_batch AS batch ON batch.approval_id = approval.id
        LEFT JOIN intermediary_chaininstruction AS claim ON claim.id = approval.instruction_id
        LEFT JOIN intermediary_chaintarget AS target ON target.id IN (batch.house_id, claim.target_id)
        LEFT JOIN intermediary_asset AS asset ON asset.code = target.asset_id
        LEFT JOIN settlement_chainact AS act ON act.id = approval.act_id
    WHERE approval.signature = '' AND approval.refusal IS NULL
        AND batch.state IS DISTINCT FROM 'REFUSED' AND claim.state IS DISTINCT FROM 'FAILED'
        AND (asset.chain = ANY(%s) OR act.chain = %s)
    ORDER BY approval.id
"""


def step(signer: Signer, chain_id: int) -> int:
    """Answer every open request; how many were answered. What the signer does not sign stays open, is asked again, and
    holds up no other request; a person is told."""
    with connection.cursor() as cursor:
        cursor.execute(_ANYTHING)
        waits, alarmed = cursor.fetchone()
    answered, failed = _answer_all(signer, chain_id) if waits else (0, False)
    if alarmed and not failed:
        sender_alarms.clear("approver", *sender_alarms.KIND_OF.values())
    return answered


def _answer_all(signer: Signer, chain_id: int) -> tuple[int, bool]:
    """How many requests of this chain were answered, and whether the signer failed on one."""
    with connection.cursor() as cursor:
        cursor.execute(_WAITING, [chains.asset_chains(), chains.here()])
        waiting = [approval_id for (approval_id,) in cursor.fetchall()]
    answered, failed = 0, False
    for approval_id in waiting:
        try:
            answered += answer(approval_id, signer, chain_id)
        except Refusal as error:
            if error.code not in sender_alarms.KIND_OF:
                raise
            failed = True
            sender_alarms.tell(sender_alarms.KIND_OF[error.code], "approver", str(error))
            if error.code == "signer_away":
                break
    return answered, failed


def answer(approval_id: UUID, signer: Signer, chain_id: int) -> bool:
    """Sign one request, or refuse it with reasons; False when somebody else is at it."""
    with transaction.atomic():
        unanswered = Approval.objects.filter(id=approval_id, signature="", refusal__isnull=True)
        approval = unanswered.select_for_update(skip_locked=True).first()
        if approval is None:
            return False
        try:
            message, reasons, moved = _DERIVED[Approval.Kind(approval.kind)](approval, chain_id)
        except signed.NotYet:
            return False
        if message != approval.body and not reasons:
            reasons = {"request": "the request is not what the ledger gives"}
        if reasons:
            approval.refusal = reasons
        else:
            approval.signature = "0x" + signer.sign_typed(message).hex()
            signed.record(approval.id, moved)
        approval.signer = signer.address
        approval.signed_at = Now()
        approval.save(update_fields=["signer", "signature", "signed_at", "refusal"])
        action = f"{approval.kind.lower()}_{'refused' if reasons else 'signed'}"
        audit.record(actor=signer.address, action=action, subject=approval.id, reasons=reasons)
        events.notify(events.OUTBOX_CHANNEL)
    return True


class _Asked(NamedTuple):
    """A movement of a request, beside its instruction as the ledger has it."""

    instruction_id: UUID
    vault_id: UUID
    contract_seq: int
    target_id: UUID
    target_kind: str
    target_cell_id: UUID
    target_asset_id: str
    vault: str
    cell_id: UUID
    kind: str
    state: str
    amount_base_units: int
    required_base_units: int
    arguments: dict[str, Any]
    entry_id: UUID | None
    body_hash: str | None


_ASKED = (
    *("instruction_id", "vault_id", "contract_seq", "instruction__target_id"),
    *(f"instruction__target__{name}" for name in ("kind", "cell_id", "asset_id", "address")),
    *(f"instruction__{name}" for name in ("cell_id", "kind", "state", "amount_base_units", "required_base_units")),
    *("instruction__arguments", "instruction__entry_id", "instruction__entry__body_hash"),
)


def _batch(approval: Approval, chain_id: int) -> Derived:
    batch = Batch.objects.select_related("house").get(approval=approval)
    movements = [_Asked(*row) for row in batch.movements.order_by("position").values_list(*_ASKED)]
    reasons: Reasons = {}
    postings = _postings([movement.entry_id for movement in movements if movement.entry_id])
    numbers = next_numbers({movement.vault_id for movement in movements}, before=batch)
    for movement in movements:
        reason = _off(movement, batch.house, postings, numbers[movement.vault_id])
        numbers[movement.vault_id] += 1
        if reason:
            reasons[str(movement.instruction_id)] = reason
    moved = [movement.instruction_id for movement in movements]
    reasons |= signed.twice(batch.house.address, batch.number, moved)
    if not moved and (reason := signed.off_nothing(batch.house.address, batch.number)):
        reasons["batch"] = reason
    if batch.statement != "0x" + statements.root([statements.leaf(row) for row in batch.leaves]).hex():
        reasons["statement"] = "the statement is not the root of its leaves"
    if batch.house.kind != ChainTarget.Kind.HOUSE:
        reasons["house"] = "the target is not a house"
    rebuilt = [
        movement_of(made, ref(made.instruction_id, made.entry_id, made.body_hash), made.vault, made.contract_seq)
        for made in movements
    ]
    return batch_message(batch.house.address, chain_id, batch.number, batch.statement, rebuilt), reasons, moved


def _postings(entries: list[UUID]) -> dict[UUID, list[PostingLine]]:
    """The lines of each entry: (account kind, asset, cell, amount)."""
    found: dict[UUID, list[PostingLine]] = defaultdict(list)
    read = Posting.objects.filter(entry_id__among=entries)
    for entry_id, kind, asset, cell_id, amount in read.values_list(
        "entry_id", "account__kind", "asset_id", "cell_id", "amount_base_units"
    ):
        found[entry_id].append((kind, asset, cell_id, amount))
    return found


def _off(movement: _Asked, house: ChainTarget, postings: dict[UUID, list[PostingLine]], number: int) -> str:
    """Why the ledger does not show this movement; empty when it does."""
    if movement.vault_id != movement.target_id or movement.target_kind != ChainTarget.Kind.VAULT:
        return "the vault is not the instruction's"
    if movement.target_cell_id != movement.cell_id or movement.target_asset_id != house.asset_id:
        return "the vault is of another cell or asset"
    if movement.state != ChainInstruction.State.BATCHED:
        return f"the instruction is {movement.state}"
    if movement.contract_seq != number:
        return f"the vault's next number is {number}, not {movement.contract_seq}"
    if movement.kind == Kind.REQUIRE:
        return "a requirement moves no money" if movement.amount_base_units or movement.entry_id else ""
    return _money_off(movement, postings)


def _money_off(movement: _Asked, postings: dict[UUID, list[PostingLine]]) -> str:
    if movement.kind not in ROUTES:
        return f"{movement.kind} is not a movement of a batch"
    if movement.entry_id is None:
        return "there is no journal entry"
    source, destination = movement.arguments.get("source"), movement.arguments.get("destination")
    if not any(source in sources and destination in reached for sources, reached in ROUTES[movement.kind]):
        return f"a {movement.kind} does not go from {source} to {destination}"
    amount, asset, cell_id = movement.amount_base_units, movement.target_asset_id, movement.cell_id
    expected = [(source, asset, cell_id, -amount), (AccountKind.IN_TRANSIT.value, asset, cell_id, amount)]
    if sorted(postings.get(movement.entry_id, [])) != sorted(expected):  # not a set: no line twice
        return "the journal entry does not move this amount between these accounts"
    return ""


def _claim(approval: Approval, chain_id: int) -> Derived:
    assert approval.instruction_id is not None, "the database lets no claim be without its instruction"
    signed.hold_claims([approval.instruction_id])
    instruction = ChainInstruction.objects.select_related("target").get(id=approval.instruction_id)
    if instruction.state == ChainInstruction.State.FAILED:
        raise signed.NotYet  # it has ended since it was asked for, and with it the request
    house = ChainTarget.objects.get(kind=ChainTarget.Kind.HOUSE, asset_id=instruction.target.asset_id)
    evidence = str(instruction.arguments.get("evidence", "")).removeprefix("0x")
    number, notice = int(approval.body["message"]["nonce"]), instruction.arguments.get("act") != "raise"
    live = DefaultCase.objects.filter(cell_id=instruction.cell_id, notice__state=Proposal.State.APPROVED)
    live = live.filter(notice__kind=Proposal.Kind.DEFAULT_NOTICE)
    live = live.exclude(state__in=[DefaultCase.State.CURED, DefaultCase.State.CLOSED])
    decided = live.filter(notice__hash=evidence) if notice else live  # a claim rises on new evidence
    if instruction.kind != Kind.NOTICE or instruction.state != ChainInstruction.State.DRAFT:
        reason = "it is not a notice waiting to be sent"
    elif not decided.exists():
        reason = "no live default that two people approved stands behind it"
    elif instruction.amount_base_units <= 0:
        reason = "a claim is more than nothing"
    else:
        reason = numbers.off_claim(instruction, evidence, number)
    message = claim_message(
        house.address,
        chain_id,
        instruction.target.address,
        number,
        instruction.amount_base_units,
        f"0x{evidence}",
    )
    return message, {str(instruction.id): reason} if reason else {}, ()


def _cap(approval: Approval, chain_id: int) -> Derived:
    act = approval.act
    assert act is not None, "the database lets no cap be without its act"
    message, reason = caps.expected(act, plans.body_of(act), approval.body, chain_id)
    if not reason and message == approval.body:
        reason = numbers.off_cap(act, message["domain"]["verifyingContract"], message["message"]["nonce"])
    return message, {"act": reason} if reason else {}, ()


_DERIVED: dict[Approval.Kind, Callable[[Approval, int], Derived]] = {
    Approval.Kind.BATCH: _batch,
    Approval.Kind.CLAIM: _claim,
    Approval.Kind.CAP: _cap,
}
