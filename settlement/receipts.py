"""Booking what a house received from outside as the intermediary's own capital.

Recoveries and sale proceeds are booked by the commands of a default; this is the third kind, and the first money of
any house. The entry carries the receipt's own id, so a receipt is booked once, whatever for.
"""

from uuid import UUID

from django.db import connection

from intermediary import audit, ledger
from intermediary.ledger import Line
from intermediary.models import AccountKind, Cell, JournalEntry
from settlement.models import HouseReceipt


def book_capital(*, receipt_id: UUID, actor: str = "treasury") -> JournalEntry:
    """Tokens in the house become float of the house's own cell, against equity. Refuses `entry_id_reused` when the
    receipt is booked as something else."""
    assert connection.in_atomic_block, "capital is booked in a transaction"
    receipt = HouseReceipt.objects.get(id=receipt_id)
    cell = Cell.objects.get(kind=Cell.Kind.HOUSE)
    ledger.lock_cells([cell.id])
    entry = ledger.post(
        entry_id=receipt.entry_key,
        cell_id=cell.id,
        kind="capital_contributed",
        memo=f"from {receipt.sender}",
        lines=[
            Line(AccountKind.EQUITY, receipt.asset_id, -receipt.amount_base_units),
            Line(AccountKind.FLOAT, receipt.asset_id, receipt.amount_base_units),
        ],
    )
    audit.record(actor=actor, action="capital_booked", subject=receipt.id, amount=receipt.amount_base_units)
    return entry
