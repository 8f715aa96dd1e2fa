"""The ledger: the only writer of the journal.

Every movement of money is one balanced entry inside one cell. Postings are signed base units and sum to zero per
asset; the database keeps the balances and refuses what this file should not do (intermediary/sql). A caller makes the
entry's id from what caused it (`ids.derive`), so a repeated cause finds its first entry instead of paying twice.

What is on its way to the chain stands in `in_transit` until it is final; see `intermediary.outbox`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import connection
from django.db.models import Sum

from intermediary.canonical import hash_of
from intermediary.errors import Refusal
from intermediary.ids import uuid7
from intermediary.models import Account, AccountKind, Asset, Cell, JournalEntry, Posting


@dataclass(frozen=True)
class Line:
    """One posting to come: positive adds to the account."""

    kind: AccountKind
    asset: str
    amount_base_units: int


def lock_cells(cell_ids: Iterable[UUID]) -> dict[UUID, Cell]:
    """Take the locks that every write needs, all cells once and sorted, so that no two writers wait for each other."""
    wanted = sorted(set(cell_ids))
    return {cell.id: cell for cell in Cell.objects.select_for_update().filter(id__in=wanted).order_by("id")}


def post(*, entry_id: UUID, cell_id: UUID, kind: str, memo: str, lines: Sequence[Line]) -> JournalEntry:
    """Write one entry, or return the one that this id already stands for.

    Raises `entry_id_reused` when the id stands for a different entry, `entry_unbalanced` when a sum is not zero,
    `account_overdrawn` when a client's, retention's or escrow's account would go below zero.
    """
    assert connection.in_atomic_block, "an entry belongs to the transaction of its cause"
    lines = [line for line in lines if line.amount_base_units]
    body_hash = hash_of([str(cell_id), kind, [[line.kind.value, line.asset, line.amount_base_units] for line in lines]])
    existing = JournalEntry.objects.filter(id=entry_id).first()
    if existing is not None:
        if existing.body_hash != body_hash:
            raise Refusal("entry_id_reused", "This id stands for another entry.", entry_id=str(entry_id))
        return existing
    _refuse_unbalanced(lines)
    accounts = _accounts(cell_id, lines)
    _refuse_overdraft(lines, accounts)
    entry = JournalEntry.objects.create(
        id=entry_id, cell_id=cell_id, kind=kind, memo=memo, body_hash=body_hash, line_count=len(lines)
    )
    for line in sorted(lines, key=lambda line: accounts[line.kind, line.asset].id):
        Posting.objects.create(
            cell_id=cell_id,
            entry=entry,
            account=accounts[line.kind, line.asset],
            asset_id=line.asset,
            amount_base_units=line.amount_base_units,
        )
    return entry


def balance(cell_id: UUID, kind: AccountKind, asset: str) -> int:
    """Balance of one account in base units; zero when it was never used."""
    found = Account.objects.filter(cell_id=cell_id, kind=kind, asset_id=asset).values_list("balance_base_units").first()
    return found[0] if found else 0


def total(kinds: Iterable[AccountKind], asset: str) -> int:
    """The house total of these kinds over all cells, in base units."""
    found = Account.objects.filter(kind__in=list(kinds), asset_id=asset).aggregate(total=Sum("balance_base_units"))
    return int(found["total"] or 0)


def settlement_asset() -> Asset:
    """The token that variation margin, losses and layers are counted in."""
    return Asset.objects.get(is_settlement=True)


def _refuse_unbalanced(lines: Sequence[Line]) -> None:
    sums: dict[str, int] = {}
    for line in lines:
        sums[line.asset] = sums.get(line.asset, 0) + line.amount_base_units
    off = {asset: amount for asset, amount in sums.items() if amount}
    if off or len(lines) < 2:
        raise Refusal("entry_unbalanced", "The lines of an entry sum to zero in every asset.", off_by=off)


def _accounts(cell_id: UUID, lines: Sequence[Line]) -> dict[tuple[AccountKind, str], Account]:
    wanted = {(line.kind, line.asset) for line in lines}
    Account.objects.bulk_create(
        [Account(id=uuid7(), cell_id=cell_id, kind=kind, asset_id=asset) for kind, asset in sorted(wanted)],
        ignore_conflicts=True,
    )
    found = Account.objects.filter(cell_id=cell_id, kind__in={kind for kind, _ in wanted})
    return {(AccountKind(account.kind), account.asset_id): account for account in found}


NEVER_NEGATIVE = frozenset(
    {
        AccountKind.CLIENT_MARGIN,
        AccountKind.SUSPENSE,
        AccountKind.FIRST_LOSS,
        AccountKind.SENIOR_RETENTION,
        AccountKind.ESCROW,
        AccountKind.COUPONS,
    }
)


def _refuse_overdraft(lines: Sequence[Line], accounts: dict[tuple[AccountKind, str], Account]) -> None:
    for key in {(line.kind, line.asset) for line in lines if line.kind in NEVER_NEGATIVE}:
        change = sum(line.amount_base_units for line in lines if (line.kind, line.asset) == key)
        held = accounts[key].balance_base_units
        if held + change < 0:
            raise Refusal(
                "account_overdrawn",
                f"{key[0].label} holds {held} base units of {key[1]}, {-change} are needed.",
                held_base_units=held,
                needed_base_units=-change,
                asset=key[1],
            )
