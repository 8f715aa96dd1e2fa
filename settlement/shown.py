"""What the chain says when a single call did what its instruction asks for: an event of the very contract it is for.

Which transaction was for what is the poster's to write. Whoever held its login could name the instruction of another
client as the purpose of any transaction that succeeded; the ledger believes the contract's own word only.
"""

from uuid import UUID

from intermediary.ids import derive
from intermediary.models import AccountKind, ChainInstruction, ChainTarget, DefaultCase, Posting
from intermediary.outbox import Place
from settlement.models import ChainLog, TransactionAttempt

Kind = ChainInstruction.Kind
EVENTS: dict[str, tuple[str, ...]] = {
    Kind.NOTICE: ("DefaultNoticed", "ClaimRaised"),
    Kind.SEIZE: ("Seized",),
    Kind.RELEASE_NOTICE: ("NoticeWithdrawn", "Determined"),
    Kind.FUND: ("Funded",),
    Kind.APPLY: ("Applied",),
    Kind.RESTORE: ("Restored",),
    Kind.NOTICE_LOSS: ("LossNoticed",),
    Kind.APPLY_LOSS: ("LossApplied",),
    Kind.WRITE_UP: ("WrittenUp",),
    Kind.COUPON: ("CouponPaid",),
    Kind.REPAY: ("Repaid",),
    Kind.DISPOSE: ("Disposed", "TreasuryPaid"),
}
CURED = "cured_by_client"  # the kind of the entry that books a cure


def is_shown(instruction: ChainInstruction, transaction_hash: str) -> bool:
    """Whether this transaction left such an event in a block of the chain."""
    return place_of(instruction, transaction_hash) is not None


def place_of(instruction: ChainInstruction, transaction_hash: str) -> Place | None:
    """Where this transaction shows it."""
    logs = ChainLog.objects.filter(transaction_hash=transaction_hash, block__canonical=True)
    logs = logs.exclude(refusal__startswith=ChainLog.DISPUTED)
    rows = logs.select_related("block").order_by("block__number", "log_index")
    return next((place_in(row) for row in rows if shows(row, instruction)), None)


def place_in(row: ChainLog) -> Place:
    """The place of one log."""
    return Place(row.block.number, row.log_index, row.block.block_time)


def shows(row: ChainLog, instruction: ChainInstruction) -> bool:
    """Whether this log is of the instruction's contract, and of what it asks for."""
    return row.address == instruction.target.address and row.name in EVENTS.get(instruction.kind, ())


def case_noticed(row: ChainLog) -> UUID | None:
    """The default case behind the notice that this log of a vault speaks of, by the number of the claim; None where no
    instruction of ours made it."""
    claims = ChainLog.objects.filter(address=row.address, name__in=EVENTS[Kind.NOTICE], topics__1=row.topics[1])
    claims = claims.filter(block__canonical=True).exclude(refusal__startswith=ChainLog.DISPUTED)
    attempts = TransactionAttempt.objects.filter(hash__in=claims.values("transaction_hash"))
    for attempt in attempts.select_related("transaction__instruction__target"):
        made = attempt.transaction.instruction
        if made is not None and made.kind == Kind.NOTICE and made.target.address == row.address:
            return UUID(made.arguments["case"]) if "case" in made.arguments else None
    return None


def cures_of(case_id: UUID) -> dict[UUID, int]:
    """The vaults whose notice of this case was cured on chain, with what of its margin the client paid for that."""
    cell_id = DefaultCase.objects.values_list("cell_id", flat=True).get(id=case_id)
    vaults = ChainTarget.objects.filter(kind=ChainTarget.Kind.VAULT, cell_id=cell_id)
    found = dict(vaults.values_list("address", "id"))
    logs = ChainLog.objects.filter(cell_id=cell_id, name="Cured", address__in=found, applied=True)
    of_case = [row for row in logs if case_noticed(row) == case_id]
    entries = {entry_of(row, CURED): found[row.address] for row in of_case}
    paid = dict.fromkeys(entries.values(), 0)
    to_house = Posting.objects.filter(entry_id__in=entries, account__kind=AccountKind.HOUSE)
    for entry_id, amount in to_house.values_list("entry_id", "amount_base_units"):
        paid[entries[entry_id]] += amount
    return paid


def entry_of(row: ChainLog, kind: str) -> UUID:
    """The journal entry of this kind that books this log."""
    return derive(kind, row.transaction_hash, row.log_index)
