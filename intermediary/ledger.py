"""The ledger: the only writer of the journal.

Every movement of money is one balanced entry inside one cell. Postings are signed base units and sum to zero per
asset; the database keeps the balances and refuses what this file should not do (intermediary/sql). A caller makes the
entry's id from what caused it (`ids.derive`), so a repeated cause finds its first entry instead of paying twice.

What is on its way to the chain stands in `in_transit` until it is final; see `intermediary.outbox`.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection
from django.db.models import Sum

from intermediary.canonical import hash_of
from intermediary.errors import Refusal
from intermediary.ids import uuid7
from intermediary.models import Account, AccountKind, Asset, Cell, JournalEntry, Posting
from intermediary.models.bulk import TIMES, insert_plain

Key = tuple[str, str, str]  # cell, kind, asset: one account, in the words of the database
_TO_WRITE = """
    SELECT cell_id::text, kind, asset_id, id::text, balance_base_units::text, version
    FROM accounts_to_write(%s::uuid[], %s)
"""  # as text, since making an object of every id takes longer than finding it


class Held(NamedTuple):
    """An account, what it holds before the lines that are about to be written, and how many lines it has."""

    account_id: str
    base_units: int
    version: int


@dataclass(frozen=True)
class Line:
    """One posting to come: positive adds to the account."""

    kind: AccountKind
    asset: str
    amount_base_units: int


@dataclass(frozen=True)
class Draft:
    """One entry to come; a line that moves nothing is left out of it."""

    entry_id: UUID
    cell_id: UUID
    kind: str
    memo: str
    lines: tuple[Line, ...]

    @cached_property
    def moving(self) -> list[Line]:
        """The lines that will be postings."""
        return [line for line in self.lines if line.amount_base_units]

    @property
    def body_hash(self) -> str:
        """Names what the entry does."""
        lines = [[line.kind.value, line.asset, line.amount_base_units] for line in self.moving]
        return hash_of([str(self.cell_id), self.kind, lines])


def lock_cells(cell_ids: Iterable[UUID]) -> dict[UUID, Cell]:
    """Take the locks that every write needs, all cells once and sorted, so that no two writers wait for each other."""
    wanted = sorted(set(cell_ids))
    cells = Cell.objects.select_for_update().defer(*TIMES).filter(id__among=wanted)
    return {cell.id: cell for cell in cells.order_by("id")}


def hold_cells(cell_ids: Collection[UUID]) -> None:
    """`lock_cells` for a writer that needs nothing of the cells but that they are still."""
    wanted = Cell.objects.select_for_update().filter(id__among=cell_ids).order_by("id")
    list(wanted.values_list("id"))


def post(*, entry_id: UUID, cell_id: UUID, kind: str, memo: str, lines: Sequence[Line]) -> JournalEntry:
    """Write one entry, or return the one that this id already stands for.

    Raises `entry_id_reused` when the id stands for a different entry, `entry_unbalanced` when a sum is not zero,
    `account_overdrawn` when a client's, retention's or escrow's account would go below zero.
    """
    post_all([Draft(entry_id, cell_id, kind, memo, tuple(lines))])
    return JournalEntry.objects.get(id=entry_id)


def post_all(drafts: Sequence[Draft]) -> None:
    """`post` for entries of different ids: all or, when one is refused, none. A handful of queries for any number."""
    assert connection.in_atomic_block, "an entry belongs to the transaction of its cause"
    written_before = JournalEntry.objects.filter(id__among=[draft.entry_id for draft in drafts])
    known = dict(written_before.values_list("id", "body_hash"))
    for draft in drafts:
        if draft.entry_id in known and known[draft.entry_id] != draft.body_hash:
            raise Refusal("entry_id_reused", "This id stands for another entry.", entry_id=str(draft.entry_id))
    new = [draft for draft in drafts if draft.entry_id not in known]
    for draft in new:
        _refuse_unbalanced(draft.moving)
    if new:
        postings = _postings(new, _accounts(new))
        insert_plain(JournalEntry, [_entry(draft) for draft in new])
        insert_plain(Posting, postings)


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
        if not isinstance(line.amount_base_units, int):
            raise TypeError(f"base units are whole: {line.amount_base_units!r}")
        sums[line.asset] = sums.get(line.asset, 0) + line.amount_base_units
    off = {asset: amount for asset, amount in sums.items() if amount}
    if off or len(lines) < 2:
        raise Refusal("entry_unbalanced", "The lines of an entry sum to zero in every asset.", off_by=off)


def _entry(draft: Draft) -> dict[str, Any]:
    return {
        "id": draft.entry_id,
        "cell_id": draft.cell_id,
        "kind": draft.kind,
        "memo": draft.memo,
        "body_hash": draft.body_hash,
        "line_count": len(draft.moving),
    }


def _postings(drafts: Sequence[Draft], held: dict[Key, Held]) -> list[dict[str, Any]]:
    """The lines, each counted on from the one before it of its account, as if written one after the other. The accounts
    are held still, and the database refuses a line that does not go on from what its account holds
    (intermediary/sql/0032)."""
    rows: list[dict[str, Any]] = []
    for draft in drafts:
        cell_id, entry_id = str(draft.cell_id), str(draft.entry_id)
        for line in draft.moving:
            key = cell_id, line.kind.value, line.asset
            account_id, before, version = held[key]
            after = before + line.amount_base_units
            held[key] = Held(account_id, after, version + 1)
            rows.append(
                {
                    "id": uuid7(),
                    "cell_id": cell_id,
                    "entry_id": entry_id,
                    "account_id": account_id,
                    "asset_id": line.asset,
                    "amount_base_units": line.amount_base_units,
                    "balance_before_base_units": before,
                    "balance_after_base_units": after,
                    "version": version + 1,
                }
            )
        _refuse_overdraft(draft, held)
    return rows


def _accounts(drafts: Sequence[Draft]) -> dict[Key, Held]:
    """The accounts of these entries, held still until the transaction ends; those that are missing are made."""
    wanted = {(str(draft.cell_id), line.kind.value, line.asset) for draft in drafts for line in draft.moving}
    found = _existing(wanted)
    missing = sorted(wanted - found.keys())
    if missing:
        Account.objects.bulk_create(
            [Account(id=uuid7(), cell_id=cell_id, kind=kind, asset_id=asset) for cell_id, kind, asset in missing],
            ignore_conflicts=True,
        )
        found = _existing(wanted)
    return found


def _existing(keys: Collection[Key]) -> dict[Key, Held]:
    cells, kinds = {cell_id for cell_id, _, _ in keys}, {kind for _, kind, _ in keys}
    with connection.cursor() as cursor:
        cursor.execute(_TO_WRITE, [list(cells), list(kinds)])
        return {
            (cell_id, kind, asset): Held(account_id, int(balance), version)
            for cell_id, kind, asset, account_id, balance, version in cursor.fetchall()
        }


NEVER_NEGATIVE = frozenset(
    {
        AccountKind.CLIENT_MARGIN,
        AccountKind.SUSPENSE,
        AccountKind.SUSPENSE_TAKEN,
        AccountKind.FIRST_LOSS,
        AccountKind.SENIOR_RETENTION,
        AccountKind.ESCROW,
        AccountKind.COUPONS,
    }
)


def _refuse_overdraft(draft: Draft, held: Mapping[Key, Held]) -> None:
    """An entry leaves every account of these kinds at zero or above; `held` is what is left."""
    for line in draft.moving:
        left = held[str(draft.cell_id), line.kind.value, line.asset].base_units
        if left < 0 and line.kind in NEVER_NEGATIVE:
            of_account = (one for one in draft.moving if (one.kind, one.asset) == (line.kind, line.asset))
            needed = -sum(one.amount_base_units for one in of_account)
            raise Refusal(
                "account_overdrawn",
                f"{line.kind.label} holds {left + needed} base units of {line.asset}, {needed} are needed.",
                held_base_units=left + needed,
                needed_base_units=needed,
                asset=line.asset,
            )
