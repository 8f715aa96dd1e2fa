"""Tokens that reached a house contract from outside: disposal proceeds and recoveries.

A receipt is named by its log on chain and booked once, for one purpose: the entry's id is made from that name, so a
second booking for the same purpose finds the first, and one for another purpose is refused by the ledger.
"""

from uuid import UUID

from intermediary import ledger
from intermediary.errors import BadInput
from intermediary.ids import derive
from intermediary.ledger import Line
from intermediary.models import AccountKind, JournalEntry


def receipt_entry_id(transaction_hash: str, log_index: int) -> UUID:
    """The id of the entry that books this receipt; it exists exactly when the receipt is booked."""
    return derive("house_receipt", transaction_hash, log_index)


def is_booked(transaction_hash: str, log_index: int) -> bool:
    """Whether this receipt has been booked, for whatever purpose."""
    return JournalEntry.objects.filter(id=receipt_entry_id(transaction_hash, log_index)).exists()


def book(
    *, cell_id: UUID, kind: str, memo: str, account: AccountKind, amount_base_units: int, receipt: tuple[str, int]
) -> JournalEntry:
    """Book settlement tokens that arrived from outside into a house account facing the cell."""
    if amount_base_units <= 0:
        raise BadInput("amount_not_positive", "A receipt has a positive amount.", amount_base_units=amount_base_units)
    asset = ledger.settlement_asset().code
    return ledger.post(
        entry_id=receipt_entry_id(*receipt),
        cell_id=cell_id,
        kind=kind,
        memo=memo,
        lines=[Line(AccountKind.OUTSIDE, asset, -amount_base_units), Line(account, asset, amount_base_units)],
    )
