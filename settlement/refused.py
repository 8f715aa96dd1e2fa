"""Deposits that the ledger would not take as margin: whose they are is not in doubt, what they count for is.

One that a named rule refuses can never count, so its tokens go to that vault's suspense at once, as an unknown sender's
do. One that fails for a reason nobody thought of is our fault, not its sender's: it is tried again with every final
block, and calls whose deadline it keeps wait, until it is booked or an officer puts it into suspense too. Either way it
is set aside then: no clock waits for it any more, and nothing that lies in suspense is counted as margin.
"""

from uuid import UUID

from django.contrib.auth.models import User
from django.db import connection
from django.db.models import QuerySet

from intermediary import access, audit, ledger
from intermediary.errors import Refusal
from intermediary.ledger import Line
from intermediary.margining import deposit_entry_id
from intermediary.models import AccountKind, Cell, ChainTarget
from settlement.bindings import DecodedEvent, decode_event
from settlement.models import ChainLog


def waiting() -> QuerySet[ChainLog]:
    """Final transfers to clients that the ledger refuses for a reason that nobody has judged yet, oldest first. One to
    a house holds no call: it shows as a break alone."""
    refused = ChainLog.objects.filter(name="Transfer", applied=False, set_aside=False, block__canonical=True)
    return (
        refused.filter(cell__kind=Cell.Kind.CLIENT)
        .exclude(refusal="")
        .exclude(refusal__startswith=ChainLog.DISPUTED)  # perhaps no node's but a lying one's
        .select_related("block", "cell")
        .order_by("block__number", "log_index")
    )


def put_in_suspense(*, officer: User, log_id: UUID, reason: str) -> ChainLog:
    """An officer's judgement that a deposit which cannot be booked is not to hold its relationship's calls any longer.

    Refuses `not_refused` what is booked, set aside, or no deposit into a vault.
    """
    assert connection.in_atomic_block, "a judgement belongs to a transaction"
    access.require_officer(officer)
    row = waiting().select_for_update(of=("self",)).filter(id=log_id).first()
    event = decode_event(row.topics, row.data) if row is not None else None
    if row is None or event is None or not set_aside(row, event, f"{row.refusal}; {officer.get_username()}: {reason}"):
        raise Refusal("not_refused", "This is no deposit that waits to be judged.")
    audit.record(actor=officer.get_username(), action="deposit.suspend", subject=row.id, reason=reason)
    return row


def set_aside(row: ChainLog, event: DecodedEvent, reason: str) -> bool:
    """Book a deposit into its vault's suspense for this reason; False for what is none. The row is saved."""
    said = event.arguments
    target = ChainTarget.objects.filter(kind=ChainTarget.Kind.VAULT, address=said.get("to", "")).first()
    if target is None or target.asset.token_address != row.address:
        return False
    ledger.lock_cells([target.cell_id])
    ledger.post(
        entry_id=deposit_entry_id(row.transaction_hash, row.log_index),
        cell_id=target.cell_id,
        kind="deposit",
        memo=f"from {said['from']} in block {row.block.number}, not counted: {reason}"[:200],
        lines=[
            Line(AccountKind.OUTSIDE, target.asset_id, -said["value"]),
            Line(AccountKind.SUSPENSE, target.asset_id, said["value"]),
        ],
    )
    row.applied = row.set_aside = True
    row.refusal = reason[:300]
    row.save(update_fields=["applied", "set_aside", "refusal"])
    return True
