"""What the ledger says of each contract, and what the chain says of it, at one final block.

What the ledger says lies in a contract is the sum of its accounts there, plus what is instructed and has not moved
yet, plus (for a house) receipts nobody has booked, or (for a retention or an escrow) what strangers sent. All of that
is read in one snapshot, so the books cannot move in between; the chain is read at the block the books are final at.
Each vault, retention and series is compared by itself, so that no shortfall hides behind another's surplus. What agrees
is counted, not made an object of: of thousands of vaults almost all do.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple
from uuid import UUID

from django.db import connection, transaction

from intermediary.models import ChainTarget
from intermediary.models.journal import ESCROW_KINDS, HOUSE_KINDS, RETENTION_KINDS, VAULT_KINDS
from settlement import chains, misfits
from settlement.breaks import ReconciliationBreak
from settlement.chain import Chain
from settlement.escrows import is_on_risk, standing
from settlement.models import ChainBlock
from settlement.strays import lying_at
from settlement.views import Answers, View, answers_at, view, words_in

Kind = ReconciliationBreak.Kind
TargetKind = ChainTarget.Kind
# (place, cell, asset) -> base units; the place is an account kind, "receipt", or one of strays. What lies in a house or
# an escrow is of no cell here: many have their part in it.
Books = dict[tuple[str, str | None, str], int]
OF_KIND = {
    TargetKind.VAULT.value: [kind.value for kind in VAULT_KINDS],
    TargetKind.RETENTION.value: [*(kind.value for kind in RETENTION_KINDS), "stray"],
}
OF_HOUSES = [*(kind.value for kind in HOUSE_KINDS), "receipt"]
OF_ESCROWS = [*(kind.value for kind in ESCROW_KINDS), "escrow_stray"]
BY_CELL = [place for places in OF_KIND.values() for place in places]
ZERO_HASH = "0x" + bytes(32).hex()

_BOOKS = """
    SELECT place, CASE WHEN place = ANY(%(by_cell)s) THEN cell_id::text END AS cell, asset_id, sum(amount) FROM (
        SELECT kind AS place, cell_id, asset_id, balance_base_units AS amount FROM intermediary_account
        WHERE balance_base_units <> 0
        UNION ALL
        SELECT i.arguments ->> 'source', i.cell_id, t.asset_id, i.amount_base_units
        FROM intermediary_chaininstruction i JOIN intermediary_chaintarget t ON t.id = i.target_id
        WHERE i.entry_id IS NOT NULL AND i.is_open
        UNION ALL
        SELECT 'receipt', NULL, r.asset_id, r.amount_base_units FROM settlement_housereceipt r
        WHERE NOT EXISTS (SELECT FROM intermediary_journalentry e WHERE e.id = r.entry_key)
        UNION ALL
        SELECT CASE t.kind WHEN 'RETENTION' THEN 'stray' ELSE 'escrow_stray' END, t.cell_id, t.asset_id,
            s.amount_base_units
        FROM settlement_stray s JOIN intermediary_chaintarget t ON t.id = s.target_id
        WHERE t.kind = 'RETENTION' OR (t.creation ->> 'on_risk')::boolean
    ) AS lying WHERE place = ANY(%(places)s) GROUP BY place, cell, asset_id
"""
# By the unique keys of live movements and of batches, one look a vault and a house: a grouping would read every one
# there ever was.
_HOLDERS = """
    SELECT target.id::text, target.kind, target.address, target.cell_id::text, target.asset_id, asset.token_address,
        CASE WHEN target.kind = 'ESCROW' THEN (target.creation ->> 'on_risk')::boolean END,
        movement.contract_seq, batch.number, batch.head,
        told.ledger_base_units, told.chain_base_units, told.ledger_seq, told.chain_seq
    FROM intermediary_chaintarget AS target JOIN intermediary_asset AS asset ON asset.code = target.asset_id
    LEFT JOIN LATERAL (
        SELECT contract_seq FROM settlement_batchmovement
        WHERE target.kind = 'VAULT' AND vault_id = target.id AND is_live AND outcome = 'SETTLED'
        ORDER BY contract_seq DESC LIMIT 1
    ) AS movement ON true
    LEFT JOIN LATERAL (
        SELECT number, head FROM settlement_batch
        WHERE target.kind = 'HOUSE' AND house_id = target.id AND state <> 'REFUSED' AND state = 'FINAL'
        ORDER BY number DESC LIMIT 1
    ) AS batch ON true
    LEFT JOIN settlement_comparedvault AS told ON told.target_id = target.id
    WHERE asset.chain = ANY(%s) AND target.kind <> 'NOTE'
"""


@dataclass(frozen=True)
class Comparison:
    """One thing said twice."""

    kind: ReconciliationBreak.Kind
    place: str
    ledger: str
    chain: str
    cell_id: UUID | None = None
    asset_id: str | None = None

    @property
    def agrees(self) -> bool:
        return self.ledger == self.chain


class Holder(NamedTuple):
    """A contract that holds tokens, as the ledger knows it, and what was noted of it last (`settlement.compared`)."""

    id: str
    kind: str
    address: str
    cell_id: str
    asset_id: str
    token_address: str
    on_risk: bool | None  # of escrows
    last_movement: int | None  # settled, of vaults
    last_batch: int | None  # final, of houses
    head: str | None
    noted_ledger: int | None
    noted_chain: int | None
    noted_ledger_seq: int | None
    noted_chain_seq: int | None


class Holding(NamedTuple):
    """What one contract holds by either side, base units, and for a vault the number of its last movement."""

    target: Holder
    ledger: int
    chain: int
    ledger_seq: int | None = None
    chain_seq: int | None = None


Said = tuple[str, View, int, str]  # what of a series, where the chain says it, what the ledger says, its asset


@dataclass(frozen=True)
class Ledger:
    """The ledger's side of everything, at one moment."""

    books: Books
    holders: list[Holder]
    series: list[Said]

    @cached_property
    def vaults(self) -> list[Holder]:
        return [holder for holder in self.holders if holder.kind == TargetKind.VAULT]

    @cached_property
    def houses(self) -> list[Holder]:
        return [holder for holder in self.holders if holder.kind == TargetKind.HOUSE]

    @cached_property
    def views(self) -> list[View]:
        """Where the chain says the same: of each holder, vault and house, and of the series."""
        asked = [view(one.token_address, "DemoUSDC", "balanceOf", one.address) for one in self.holders]
        asked += [view(one.address, "MarginVault", "seq") for one in self.vaults]
        asked += [view(house.address, "House", what) for house in self.houses for what in ("batchId", "head")]
        return asked + [where for _, where, _, _ in self.series]


@dataclass(frozen=True)
class Compared:
    """Everything that was compared at a block: vaults and retentions as they are, all else as it was said, and what of
    either differs."""

    holdings: list[Holding]
    alone: list[Comparison]
    off: list[Comparison]

    @property
    def count(self) -> int:
        """How many things were compared."""
        return len(self.holdings) + sum(one.ledger_seq is not None for one in self.holdings) + len(self.alone)


@contextmanager
def one_moment() -> Iterator[None]:
    """All that is read within is of one moment, whatever is booked meanwhile; in a caller's transaction, of its own."""
    if connection.in_atomic_block:
        yield
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield


def ledger_side() -> Ledger:
    """Read it, in `one_moment`."""
    with connection.cursor() as cursor:
        cursor.execute(_HOLDERS, [chains.asset_chains()])
        holders = [Holder(*row) for row in cursor.fetchall()]
        cursor.execute(_BOOKS, {"by_cell": BY_CELL, "places": [*BY_CELL, *OF_HOUSES, *OF_ESCROWS]})
        books = {(place, cell, asset): int(amount) for place, cell, asset, amount in cursor.fetchall()}
    return Ledger(books, holders, list(_series()) if any(one.on_risk for one in holders) else [])


def chain_side(chain: Chain, ledger: Ledger, numbers: Sequence[int]) -> Iterator[Answers]:
    """What the chain says of the same at each of these blocks. Equal answers compare alike."""
    return answers_at(chain, ledger.views, numbers)


def compare(ledger: Ledger, answers: Answers, block: ChainBlock) -> Compared:
    """Both sides in full."""
    words = iter([word or 0 for word in words_in(answers, len(ledger.views))])
    balances = [next(words) for _ in ledger.holders]
    numbers = {vault.id: next(words) for vault in ledger.vaults}
    holdings = [_holding(one, ledger.books, held, numbers) for one, held in zip(ledger.holders, balances, strict=True)]
    by_itself = [one for one in holdings if one.target.kind in OF_KIND]
    alone = [*_totals(holdings, ledger.books, block), *_houses(ledger.houses, words), *_standings(ledger.series, words)]
    off = [found for one in by_itself for found in _off(one, block)]
    return Compared(by_itself, alone, off + [one for one in alone if not one.agrees])


def _holding(one: Holder, books: Books, held: int, numbers: dict[str, int]) -> Holding:
    """A house and an escrow by the chain's side alone."""
    ledger = sum([books.get((place, one.cell_id, one.asset_id), 0) for place in OF_KIND.get(one.kind, ())])
    number = numbers.get(one.id)
    return Holding(one, ledger, held, None if number is None else one.last_movement or 0, number)


def _off(one: Holding, block: ChainBlock) -> Iterator[Comparison]:
    """What differs of one vault or retention: its balance, or the number of its last movement: none is missing on
    either side."""
    if one.ledger == one.chain and one.ledger_seq == one.chain_seq:
        return
    target, cell_id = one.target, UUID(one.target.cell_id)
    if one.ledger != one.chain:
        yield _amount(f"{target.kind.lower()} {target.address}", one.ledger, one.chain, target, block, cell_id)
    if one.ledger_seq is not None and one.chain_seq is not None and one.ledger_seq != one.chain_seq:
        kind = Kind.MISSING_ON_CHAIN if one.ledger_seq > one.chain_seq else Kind.MISSING_IN_LEDGER
        said = (str(one.ledger_seq), str(one.chain_seq))
        yield Comparison(kind, f"vault {target.address}", *said, cell_id, target.asset_id)


def _amount(
    place: str, ledger: int, on_chain: int, target: Holder, block: ChainBlock, cell_id: UUID | None = None
) -> Comparison:
    """Under the kind that says best why it differs, if it does."""
    kind = Kind.AMOUNT if ledger == on_chain else misfits.kind_of(place, ledger, on_chain, target, block.number)
    return Comparison(kind, place, str(ledger), str(on_chain), cell_id, target.asset_id)


def _totals(holdings: Sequence[Holding], books: Books, block: ChainBlock) -> Iterator[Comparison]:
    """Houses and escrows hold the tokens of many cells: by token."""
    places = (("house", TargetKind.HOUSE, OF_HOUSES), ("escrows", TargetKind.ESCROW, OF_ESCROWS))
    for asset in sorted({one.target.asset_id for one in holdings}):
        for place, kind, accounts in places:
            of_kind = [one for one in holdings if one.target.kind == kind and one.target.asset_id == asset]
            on_chain = sum(one.chain for one in of_kind if kind == TargetKind.HOUSE or one.target.on_risk)
            in_ledger = sum(books.get((account, None, asset), 0) for account in accounts)
            if of_kind:
                yield _amount(f"{place} {asset}", in_ledger, on_chain, of_kind[0].target, block)
            else:
                yield Comparison(Kind.AMOUNT, f"{place} {asset}", str(in_ledger), "0", None, asset)


def _houses(houses: Sequence[Holder], words: Iterator[int]) -> Iterator[Comparison]:
    """How many batches each house took, and their hash chain."""
    for house in houses:
        ours, taken, head = house.last_batch or 0, next(words), next(words)
        place, about = f"house {house.address}", (None, house.asset_id)
        kind = Kind.MISSING_ON_CHAIN if ours > taken else Kind.MISSING_IN_LEDGER
        yield Comparison(kind, f"{place}: batches", str(ours), str(taken), *about)
        yield Comparison(Kind.HEAD, place, house.head or ZERO_HASH, "0x" + head.to_bytes(32, "big").hex(), *about)


def _standings(series: Sequence[Said], words: Iterator[int]) -> Iterator[Comparison]:
    for what, _, ours, asset in series:
        yield Comparison(Kind.AMOUNT, what, str(ours), str(next(words)), None, asset)


def _series() -> Iterable[Said]:
    """Each series on risk: its cash, what it owes its holders, principal of each slice, and principal, loss, repaid and
    supply of each class."""
    here = ChainTarget.objects.filter(asset__chain__in=chains.asset_chains()).select_related("asset")
    targets = list(here.filter(kind__in=(TargetKind.ESCROW, TargetKind.NOTE)))
    for escrow in targets:
        if escrow.kind == TargetKind.ESCROW and is_on_risk(escrow):
            for what, where, ours in _said_of(escrow, targets):
                yield f"series {escrow.creation['series']}: {what}", where, ours, escrow.asset_id


def _said_of(escrow: ChainTarget, targets: Sequence[ChainTarget]) -> Iterator[tuple[str, View, int]]:
    """(what, where the chain says it, what the ledger says) of one series."""
    series, now = escrow.creation["series"], standing(escrow)
    yield "cash", view(escrow.asset.token_address, "DemoUSDC", "balanceOf", escrow.address), now.cash + lying_at(escrow)
    yield "owed", view(escrow.address, "SeriesEscrow", "owedTotal"), now.owed
    for index, parts in enumerate(now.principal):  # ring-fenced: a loss of one relationship touches its own slice alone
        yield f"principal of slice {index}", view(escrow.address, "SeriesEscrow", "slicePrincipal", index), sum(parts)
    for note in targets:
        if note.kind == TargetKind.NOTE and note.creation["series"] == series:
            tranche = note.creation["tranche"]
            principal, lost = now.of_tranche(tranche)
            issued = sum(slice_["principal_base_units"][tranche] for slice_ in escrow.creation["slices"])
            functions = {"principal": principal, "writtenDown": lost, "redeemed": issued - principal - lost}
            for function, ours in (functions | {"totalSupply": issued}).items():
                yield f"{function} of class {tranche}", view(note.address, "TrancheNote", function), ours
